//! Requests, and what is asked about them.
//!
//! Invariant: the headers are checked before anything is decided, and copied only for the calls that may block.

use tollbar::client_ip::CanonicalIp;
use tollbar::{Action, Asked, Incoming, Question, Request, Resource};

use crate::boundary::{self, Checked};
use crate::decision::tollbar_reason::{
    TOLLBAR_REASON_AGENT_NOT_ALLOWED, TOLLBAR_REASON_SERVICE_NOT_ALLOWED,
};
use crate::decision::{Refused, tollbar_reason};
use crate::ip::tollbar_ip;
use crate::raw::{raw_action, raw_bool};
use crate::sized::{self, Versioned};
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// What a client wants to do.
#[repr(u8)]
#[derive(Clone, Copy)]
pub enum tollbar_action {
    /// Send events.
    TOLLBAR_ACTION_INGEST = 0,
    /// Read the agent's central configuration.
    TOLLBAR_ACTION_AGENT_CONFIG = 1,
    /// Upload a source map.
    TOLLBAR_ACTION_SOURCEMAP = 2,
}

/// The action of this number.
#[inline]
pub(crate) fn action(raw: raw_action) -> Checked<Action> {
    match raw {
        0 => Ok(Action::Ingest),
        1 => Ok(Action::AgentConfig),
        2 => Ok(Action::Sourcemap),
        _ => Err(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE),
    }
}

/// The action of a number that passed [`action`] before.
#[inline]
fn checked_action(raw: raw_action) -> Action {
    // A table: of a `match`, compilers make three times as many instructions.
    const ACTIONS: [Action; 4] = [
        Action::Ingest,
        Action::AgentConfig,
        Action::Sourcemap,
        Action::Ingest,
    ];
    ACTIONS[usize::from(raw & 3)]
}

/// A header of a request: the name in any case, and the value as it came.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_header {
    /// Such as `X-Forwarded-For`.
    pub name: tollbar_str,
    /// Bytes; they need not be UTF-8.
    pub value: tollbar_str,
}

/// What there is to know of a request before its body is read. Begin with TOLLBAR_REQUEST_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_request {
    /// sizeof(tollbar_request)
    pub size: usize,
    /// The value of the first `Authorization` header. NULL: it is looked up among `headers`.
    pub authorization: tollbar_str,
    /// The headers in order of arrival. Read are only `Forwarded`, `X-Real-IP`, `X-Forwarded-For`, and those only if the peer is a
    /// trusted proxy, and `Authorization`: you may leave out all others.
    pub headers: *const tollbar_header,
    /// How many headers.
    pub headers_len: usize,
    /// The address of the socket's peer.
    pub peer: tollbar_ip,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers and pointers.
unsafe impl Versioned for tollbar_request {}

impl tollbar_request {
    /// Whether it is one, its headers not looked at.
    ///
    /// # Safety
    /// Its texts and headers are there.
    #[inline]
    pub(crate) unsafe fn check(&self) -> Checked<()> {
        // SAFETY: the caller's promise.
        unsafe {
            self.authorization.bytes()?;
            boundary::slice(self.headers, self.headers_len)?;
        }
        self.peer.check()
    }
}

/// What is asked about a request. Begin with TOLLBAR_QUESTION_INIT, which is also what NULL stands for: may one event of an agent
/// and a service that are not known be ingested now?
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_question {
    /// sizeof(tollbar_question)
    pub size: usize,
    /// How many events an anonymous client is charged: 1 by TOLLBAR_QUESTION_INIT. 0 charges nothing.
    pub cost: u64,
    /// On whose behalf: the agent's name in UTF-8, such as `rum-js`. NULL: not known.
    pub agent: tollbar_str,
    /// The service's name in UTF-8. NULL: not known.
    pub service: tollbar_str,
    /// What the client wants to do.
    pub action: raw_action,
    /// Whether the route is a RUM route, which `apm-server.rum.enabled` opens.
    pub rum: raw_bool,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers and pointers.
unsafe impl Versioned for tollbar_question {}

/// What NULL stands for.
static DEFAULT: Shared = Shared(tollbar_question {
    size: size_of::<tollbar_question>(),
    cost: 1,
    agent: tollbar_str::NONE,
    service: tollbar_str::NONE,
    action: tollbar_action::TOLLBAR_ACTION_INGEST as u8,
    rum: 0,
});

struct Shared(tollbar_question);

// SAFETY: its pointers are NULL.
unsafe impl Sync for Shared {}

impl tollbar_question {
    /// Whether it is one.
    ///
    /// # Safety
    /// Its texts are there.
    #[inline(always)]
    pub(crate) unsafe fn check(&self) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe {
            if self.action < 3 && tollbar_str::are_plain(self.agent, self.service) {
                return Ok(());
            }
            self.check_slowly()
        }
    }

    /// # Safety
    /// As [`tollbar_question::check`].
    #[cold]
    #[inline(never)]
    unsafe fn check_slowly(&self) -> Result<(), Refused> {
        action(self.action)?;
        // SAFETY: the caller's promise.
        unsafe { resource(self.agent, self.service) }.map(drop)
    }

    /// The core's, of one that passed [`tollbar_question::check`] before.
    ///
    /// # Safety
    /// As there, while the question lives; and it let it pass.
    #[inline]
    pub(crate) unsafe fn checked(&self) -> Passed<'_> {
        Passed(self)
    }
}

/// A question of the caller's, in the form that the core asks.
#[derive(Clone, Copy)]
pub(crate) struct Passed<'a>(
    /// It was let pass, and its texts are there during `'a`.
    &'a tollbar_question,
);

impl<'a> Asked<'a> for Passed<'a> {
    #[inline]
    fn action(&self) -> Action {
        checked_action(self.0.action)
    }

    #[inline]
    fn resource(&self) -> Resource<'a> {
        // SAFETY: the question was let pass.
        unsafe {
            Resource {
                agent: self.0.agent.checked_utf8(),
                service: self.0.service.checked_utf8(),
            }
        }
    }

    #[inline]
    fn rum(&self) -> bool {
        self.0.rum != 0
    }

    #[inline]
    fn cost(&self) -> u64 {
        self.0.cost
    }
}

impl<'a> From<Passed<'a>> for Question<'a> {
    fn from(passed: Passed<'a>) -> Self {
        Self {
            action: passed.action(),
            resource: passed.resource(),
            rum: passed.rum(),
            cost: passed.cost(),
        }
    }
}

/// A question of the caller's, or what NULL stands for.
///
/// # Safety
/// NULL, or a question whose texts are there during `'a`.
#[inline(always)]
pub(crate) unsafe fn question<'a>(pointer: *const tollbar_question) -> Result<Passed<'a>, Refused> {
    // SAFETY: the caller's promise.
    unsafe {
        let question = sized::optional_input(pointer)?.unwrap_or(&DEFAULT.0);
        question.check()?;
        Ok(question.checked())
    }
}

/// What is asked where there are no questions.
#[inline]
pub(crate) fn default_question() -> &'static tollbar_question {
    &DEFAULT.0
}

/// An agent and a service. A name that is not UTF-8 is nobody's that is allowed.
///
/// # Safety
/// The texts are there.
#[inline(always)]
pub(crate) unsafe fn resource<'a>(
    agent: tollbar_str,
    service: tollbar_str,
) -> Result<Resource<'a>, Refused> {
    // SAFETY: the caller's promise.
    let (agent, service) = unsafe { (agent.utf8(), service.utf8()) };
    match (agent, service) {
        (Ok(agent), Ok(service)) => Ok(Resource { agent, service }),
        (Err(status), _) => Err(no_name(status, TOLLBAR_REASON_AGENT_NOT_ALLOWED)),
        (_, Err(status)) => Err(no_name(status, TOLLBAR_REASON_SERVICE_NOT_ALLOWED)),
    }
}

#[cold]
fn no_name(status: tollbar_status, reason: tollbar_reason) -> Refused {
    match status {
        tollbar_status::TOLLBAR_STATUS_INVALID_UTF8 => Refused { status, reason },
        other => other.into(),
    }
}

/// A request of the caller's that was let pass, in the form that the core asks. It lies where the caller's lies.
#[repr(transparent)]
pub(crate) struct Borrowed(tollbar_request);

impl Borrowed {
    /// # Safety
    /// If it is neither NULL nor misaligned, a request whose texts and headers are there during `'a`.
    #[inline]
    pub(crate) unsafe fn new<'a>(pointer: *const tollbar_request) -> Checked<&'a Self> {
        // SAFETY: the caller's promise.
        unsafe {
            let request = sized::input(pointer)?;
            request.check()?;
            Ok(Self::checked(request))
        }
    }

    /// Of a request that passed [`tollbar_request::check`] before.
    ///
    /// # Safety
    /// As there, while the request is borrowed; and it let it pass.
    #[inline]
    pub(crate) unsafe fn checked(request: &tollbar_request) -> &Self {
        // SAFETY: the same type in another wrapping.
        unsafe { &*std::ptr::from_ref(request).cast() }
    }

    /// Whether every header is one.
    #[inline]
    pub(crate) fn check_headers(&self) -> Checked<()> {
        // Those that are none are passed over.
        if self.headers().count() == self.0.headers_len {
            Ok(())
        } else {
            Err(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)
        }
    }

    /// For the calls that may block, to which an allocation is nothing.
    pub(crate) fn with_request<R>(&self, use_it: impl FnOnce(&Request<'_>) -> R) -> Checked<R> {
        self.check_headers()?;
        let headers: Vec<(&[u8], &[u8])> = self.headers().collect();
        Ok(use_it(&Request {
            authorization: self.credential(),
            peer: self.peer().ip(),
            headers: &headers,
        }))
    }
}

impl Incoming for Borrowed {
    #[inline]
    fn peer(&self) -> CanonicalIp {
        self.0.peer.checked()
    }

    #[inline]
    fn credential(&self) -> Option<&[u8]> {
        // SAFETY: the request was let pass.
        unsafe { self.0.authorization.checked_bytes() }
    }

    #[inline]
    fn has_headers(&self) -> bool {
        self.0.headers_len != 0
    }

    #[inline]
    fn headers(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        let headers = match self.0.headers_len {
            0 => &[],
            // SAFETY: the request was let pass.
            len => unsafe { std::slice::from_raw_parts(self.0.headers, len) },
        };
        headers.iter().filter_map(|header| {
            // SAFETY: promised to `Borrowed::new` and `Borrowed::checked`.
            match unsafe { (header.name.bytes(), header.value.bytes()) } {
                (Ok(name), Ok(value)) => {
                    Some((name.unwrap_or_default(), value.unwrap_or_default()))
                }
                _ => None,
            }
        })
    }
}
