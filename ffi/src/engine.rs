//! Engines: made, asked, freed.
//!
//! Invariant: a handle is a counted reference to the core's engine. What outlives a call (a verification under way) holds one of its own.

use std::sync::Arc;

use tollbar::{Engine, Request};

use crate::boundary::{self, Checked, guarded};
use crate::client::tollbar_client;
use crate::config::{self, tollbar_config};
use crate::decision::{Places, Refused, decide, decide_batch, tollbar_decision};
use crate::error::{Failure, Report, tollbar_error};
use crate::request::{Borrowed, default_question, question, tollbar_question, tollbar_request};
use crate::sized::Inputs;
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// Decides who gets in. Make one and share it among all threads: every function may be called from any of them at any time, but for
/// tollbar_engine_free().
pub struct tollbar_engine {
    _opaque: [u8; 0],
}

/// The engine behind a handle.
///
/// # Safety
/// If it is not NULL, it is a handle that lives during `'a`.
#[inline]
pub(crate) unsafe fn core<'a>(engine: *const tollbar_engine) -> Checked<&'a Engine> {
    // SAFETY: a handle points to an `Engine` in an `Arc`.
    unsafe { boundary::shared(engine.cast::<Engine>()) }
}

/// Another reference to the engine behind a handle.
///
/// # Safety
/// As [`core`].
pub(crate) unsafe fn counted(engine: *const tollbar_engine) -> Checked<Arc<Engine>> {
    let engine = engine.cast::<Engine>();
    boundary::usable(engine)?;
    // SAFETY: a handle came from `Arc::into_raw`, and lives.
    unsafe {
        Arc::increment_strong_count(engine);
        Ok(Arc::from_raw(engine))
    }
}

/// Makes an engine and hands it out.
///
/// # Safety
/// `engine` and `error` are as the header asks.
unsafe fn made(
    engine: *mut *mut tollbar_engine,
    error: *mut tollbar_error,
    make: impl FnOnce() -> Result<Engine, Failure>,
) -> tollbar_status {
    // SAFETY: the caller's promise.
    unsafe {
        Report::to(error, || {
            boundary::write(engine, std::ptr::null_mut())?;
            let made = Arc::into_raw(Arc::new(make()?)).cast::<tollbar_engine>();
            Ok(boundary::write(engine, made.cast_mut())?)
        })
    }
}

/// Makes an engine with the configuration of a file in the shape of apm-server.yml. Variables `${VAR}` are taken from the
/// process environment; relative paths begin at the file's folder.
///
/// `*engine` is a new engine, to be freed with tollbar_engine_free(), or NULL if the status is not TOLLBAR_STATUS_OK.
/// TOLLBAR_STATUS_CONFIG: everything that is wrong is in `*error`, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_from_file(
    path: tollbar_str,
    engine: *mut *mut tollbar_engine,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        made(engine, error, || {
            Ok(Engine::from_file(config::path(path)?)?)
        })
    }
}

/// As tollbar_engine_from_file(), with a configuration as YAML text. Relative paths begin at the working directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_from_yaml(
    yaml: tollbar_str,
    engine: *mut *mut tollbar_engine,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe { made(engine, error, || Ok(Engine::from_yaml(yaml.required()?)?)) }
}

/// As tollbar_engine_from_file(), with a configuration that the program builds. Everything is copied; NULL stands for
/// TOLLBAR_CONFIG_INIT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_from_config(
    config: *const tollbar_config,
    engine: *mut *mut tollbar_engine,
    error: *mut tollbar_error,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe { made(engine, error, || Ok(Engine::new(config::config(config)?)?)) }
}

/// Frees an engine; NULL is fine. No other call on it may be under way or follow. Verifications that are under way end in their own
/// time, and watchers have nothing more to do, but must be stopped all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_free(engine: *mut tollbar_engine) {
    guarded((), || {
        if boundary::usable(engine).is_ok() {
            // SAFETY: a handle came from `Arc::into_raw`, and the caller gives it up.
            drop(unsafe { Arc::from_raw(engine.cast_const().cast::<Engine>()) });
        }
    });
}

/// Decides a whole request: authentication; if anonymous, the charge of `question->cost` events; with `question->rum`, whether RUM routes
/// are open; authorization. Blocks never: an API key that has to be verified first is TOLLBAR_REASON_PENDING.
///
/// `question` NULL: as TOLLBAR_QUESTION_INIT. `now_ns`: nanoseconds of a monotonic clock of yours, always the same one; NULL: the
/// library's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_check(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    question: *const tollbar_question,
    now_ns: *const u64,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let core = core(engine)?;
            let request = Borrowed::new(request)?;
            let question = self::question(question)?;
            let now = boundary::optional(now_ns)?.copied();
            // Before anybody is charged: what can't be read may be who it is.
            request.check_headers()?;
            core.check_incoming(request, &question, now, move |decision| {
                place.answer(decision)
            })
        })
    }
}

/// As tollbar_check() for many requests at one instant: `decisions[i]` answers `requests[i]` and `questions[i]`, as if all had been
/// asked in order. `questions` NULL: each as TOLLBAR_QUESTION_INIT.
///
/// The size of each struct is that of the first in its array; the others' need not be set. A request that is malformed is refused and told
/// by its decision's `status`, the first of which is returned; the others are decided all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_check_batch(
    engine: *const tollbar_engine,
    requests: *const tollbar_request,
    questions: *const tollbar_question,
    len: usize,
    now_ns: *const u64,
    decisions: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide_batch(decisions, len, |places| {
            let core = core(engine)?;
            let requests = Inputs::new(requests, len)?;
            let questions = if questions.is_null() {
                Inputs::same(default_question())
            } else {
                Inputs::new(questions, len)?
            };
            let now = boundary::optional(now_ns)?.copied();
            let usual = requests.is_usual() && questions.is_usual() && places.is_usual();
            Ok(if usual && all_pass(requests, questions, len) {
                check_all::<true>(core, requests, questions, now, *places)
            } else {
                check_all::<false>(core, requests, questions, now, *places)
            })
        })
    }
}

/// Whether a request of a batch is one, with its question.
///
/// # Safety
/// They are as the header asks.
#[inline(always)]
unsafe fn check(request: &tollbar_request, question: &tollbar_question) -> Result<(), Refused> {
    // SAFETY: the caller's promise.
    unsafe {
        request.check()?;
        if request.headers_len != 0 {
            Borrowed::checked(request).check_headers()?;
        }
        question.check()
    }
}

/// Whether all are well-formed, of structs of the sizes that are known here.
///
/// # Safety
/// There are `len` of each, of those sizes, and they are as the header asks.
unsafe fn all_pass(
    requests: Inputs<tollbar_request>,
    questions: Inputs<tollbar_question>,
    len: usize,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        // Not `zip`: of two slices that makes an index, to be multiplied by the size of either.
        let mut questions = questions.all(len).iter();
        let mut requests = requests.all(len).iter();
        requests.all(|request| {
            let question = questions.next();
            question.is_some_and(|question| check(request, question).is_ok())
        })
    }
}

/// Checks every request with its question; those that are malformed are refused. `PLAIN`: none is, and all have the sizes that are known
/// here: then the steps are constants, and nobody has to be left out.
///
/// # Safety
/// There are as many requests and questions as places, and they are as the header asks. `PLAIN` is true only if [`all_pass`] said so.
unsafe fn check_all<const PLAIN: bool>(
    core: &Engine,
    requests: Inputs<tollbar_request>,
    questions: Inputs<tollbar_question>,
    now: Option<u64>,
    places: Places,
) -> tollbar_status {
    let mut status = tollbar_status::TOLLBAR_STATUS_OK;
    let pass = |i| {
        // SAFETY: the caller's promise.
        let check = || unsafe { check(requests.at::<PLAIN>(i), questions.at::<PLAIN>(i)) };
        PLAIN || places.pass(i, check(), &mut status)
    };
    let ask = |i| {
        // SAFETY: it was let pass.
        unsafe {
            let request = Borrowed::checked(requests.at::<PLAIN>(i));
            (request, questions.at::<PLAIN>(i).checked())
        }
    };
    let answer = |i, decision: &_| places.write::<PLAIN>(i, decision);
    core.check_each(places.len(), pass, ask, now, answer);
    status
}

/// Identifies a client, for a server that decides the rest in steps. Charges nothing. A client that was refused is written as well: it
/// answers every later question with that refusal, so there is nothing to look at here.
///
/// If the status is not TOLLBAR_STATUS_OK, `*client` is zeroed: every call refuses it with TOLLBAR_STATUS_INVALID_CLIENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_authenticate(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    now_ns: *const u64,
    client: *mut tollbar_client,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        identified(client, || {
            let core = core(engine)?;
            let request = Borrowed::new(request)?;
            let now = boundary::optional(now_ns)?.copied();
            request.check_headers()?;
            let identity = core.authenticate_incoming(request, now).identity();
            Ok(tollbar_client::new(core, identity))
        })
    }
}

/// Writes the client that `identify` finds, or a zeroed one.
///
/// # Safety
/// `client` is as the header asks.
#[inline]
pub(crate) unsafe fn identified(
    client: *mut tollbar_client,
    identify: impl FnOnce() -> Checked<tollbar_client>,
) -> tollbar_status {
    boundary::status(|| {
        // SAFETY: the caller's promise.
        unsafe {
            boundary::write(client, tollbar_client { opaque: [0; 10] })?;
            boundary::write(client, identify()?)
        }
    })
}

/// As tollbar_check(), but never TOLLBAR_REASON_PENDING: waits as tollbar_verify() does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_check_blocking(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    question: *const tollbar_question,
    now_ns: *const u64,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let core = core(engine)?;
            let request = Borrowed::new(request)?;
            let question = self::question(question)?;
            let now = boundary::optional(now_ns)?.copied();
            let decide =
                |request: &Request<'_>| core.check_blocking(request, &question.into(), now);
            place.answer(&request.with_request(decide)?)
        })
    }
}
