//! Clients that were identified: plain values, and the steps that are asked about them.
//!
//! Invariant: what is no client of this engine's is told apart from one, and gets in nowhere.

use std::time::Duration;

use tollbar::{Client, Engine, Identity};

use crate::boundary::{self, Checked};
use crate::decision::{Refused, decide, decide_batch, tollbar_decision};
use crate::engine::{core, tollbar_engine};
use crate::raw::raw_action;
use crate::request::{self, question, tollbar_question};
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// A client that was identified, for servers that decide in steps: authorize each stream, admit each batch. A plain value of 80 bytes
/// that needs no free: copy it, keep it with the connection, drop it. It means something only to the engine that made it, as
/// long as that lives.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_client {
    /// The library's own.
    pub opaque: [u64; 10],
}

/// What a client begins with.
const MAGIC: u64 = u64::from_le_bytes(*b"tollbar1");

impl tollbar_client {
    #[inline]
    pub(crate) fn new(engine: &Engine, identity: Identity) -> Self {
        let [a, b, c, d, e, f, g] = identity.to_words();
        Self {
            opaque: [MAGIC, engine.number(), a, b, c, d, e, f, g, 0],
        }
    }

    /// Who it is to this engine.
    #[inline]
    pub(crate) fn identity(&self, engine: &Engine) -> Checked<Identity> {
        let [magic, made_by, words @ .., _] = self.opaque;
        if magic == MAGIC
            && made_by == engine.number()
            && let Some(identity) = Identity::from_words(words)
        {
            return Ok(identity);
        }
        Err(tollbar_status::TOLLBAR_STATUS_INVALID_CLIENT)
    }
}

/// # Safety
/// If neither is NULL or misaligned, the engine lives during `'a`, and the client is there.
#[inline]
unsafe fn client<'a>(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
) -> Checked<Client<'a>> {
    // SAFETY: the caller's promise.
    let (core, client) = unsafe { (core(engine)?, boundary::shared(client)?) };
    Ok(core.client(client.identity(core)?))
}

/// What authentication came to: allowed, 401, or pending.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_decision(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            place.answer(&self::client(engine, client)?.decision())
        })
    }
}

/// The rest of what tollbar_check() does, for a client that was identified already: the charge, the route, authorization.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_check(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    question: *const tollbar_question,
    now_ns: *const u64,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let client = self::client(engine, client)?;
            let question = self::question(question)?;
            place.answer(&client.check(&question.into(), boundary::optional(now_ns)?.copied()))
        })
    }
}

/// Whether RUM routes are open: 403 while `apm-server.rum.enabled` is false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_rum_route(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            place.answer(&self::client(engine, client)?.rum_route())
        })
    }
}

/// Whether the client may do this on behalf of this agent and service, each NULL if it is not known. Charges nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_authorize(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    action: raw_action,
    agent: tollbar_str,
    service: tollbar_str,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let client = self::client(engine, client)?;
            let resource = request::resource(agent, service)?;
            place.answer(&client.authorize(request::action(action)?, resource))
        })
    }
}

/// Charges a batch of `n` events, if the client is anonymous; before any of them is accepted. 0 is a peek: it charges nothing and
/// tells what remains.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_admit(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    n: u64,
    now_ns: *const u64,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let client = self::client(engine, client)?;
            place.answer(&client.admit(n, boundary::optional(now_ns)?.copied()))
        })
    }
}

/// As tollbar_client_admit(), but also charges a batch that will fit within `max_wait_ns`. If it is allowed, sleep
/// `decision->wait_ns` before you accept it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_reserve(
    engine: *const tollbar_engine,
    client: *const tollbar_client,
    n: u64,
    max_wait_ns: u64,
    now_ns: *const u64,
    decision: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide(decision, |place| {
            let client = self::client(engine, client)?;
            let max_wait = Duration::from_nanos(max_wait_ns);
            place.answer(&client.reserve(n, max_wait, boundary::optional(now_ns)?.copied()))
        })
    }
}

/// As tollbar_client_admit() for many clients at one instant: `decisions[i]` says whether the `ns[i]` events of `clients[i]` are
/// admitted, as if all had been asked in order.
///
/// The size of each decision is that of the first; the others' need not be set. A client that is none is refused and told by its
/// decision's `status`, the first of which is returned; the others are decided all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_admit_batch(
    engine: *const tollbar_engine,
    clients: *const tollbar_client,
    ns: *const u64,
    len: usize,
    now_ns: *const u64,
    decisions: *mut tollbar_decision,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        decide_batch(decisions, len, |places| {
            let core = core(engine)?;
            let clients = boundary::slice(clients, len)?;
            let ns = boundary::slice(ns, len)?;
            let now = boundary::optional(now_ns)?.copied();
            let identity = |i: usize| clients[i].identity(core);
            let mut status = tollbar_status::TOLLBAR_STATUS_OK;
            core.admit_each(
                len,
                |i| {
                    let checked = identity(i).map(drop).map_err(Refused::from);
                    places.pass(i, checked, &mut status)
                },
                // The check let it pass, so the default is never taken.
                |i| (identity(i).unwrap_or(Identity::NOBODY), ns[i]),
                now,
                |i, decision| places.write::<false>(i, decision),
            );
            Ok(status)
        })
    }
}
