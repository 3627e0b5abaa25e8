//! Requests, and what is asked about them.
//!
//! Invariant: the headers are walked only where the decision takes it, and never copied.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};

use tollbar::{Action, Incoming, Question, Request, Resource};

use crate::boundary::{self, Checked};
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

impl tollbar_question {
    /// # Safety
    /// Its texts are there.
    #[inline]
    pub(crate) unsafe fn get<'a>(&self) -> Result<Question<'a>, Refused> {
        Ok(Question {
            action: action(self.action)?,
            // SAFETY: the caller's promise.
            resource: unsafe { resource(self.agent, self.service) }?,
            rum: self.rum != 0,
            cost: self.cost,
        })
    }
}

/// A question that passed [`tollbar_question::get`] before; `None`: the default.
///
/// # Safety
/// As there; and it let it pass.
#[inline]
pub(crate) unsafe fn checked_question<'a>(question: Option<&tollbar_question>) -> Question<'a> {
    let Some(question) = question else {
        return Question::default();
    };
    // SAFETY: the text was looked at.
    let text = |text: tollbar_str| unsafe {
        (!text.data.is_null()).then(|| {
            let bytes = std::slice::from_raw_parts(text.data.cast(), text.len);
            std::str::from_utf8_unchecked(bytes)
        })
    };
    Question {
        action: action(question.action).unwrap_or_default(),
        resource: Resource {
            agent: text(question.agent),
            service: text(question.service),
        },
        rum: question.rum != 0,
        cost: question.cost,
    }
}

/// # Safety
/// NULL, or a question whose texts are there.
#[inline]
pub(crate) unsafe fn question<'a>(
    pointer: *const tollbar_question,
) -> Result<Question<'a>, Refused> {
    // SAFETY: the caller's promise.
    match unsafe { sized::optional_input(pointer) }? {
        // SAFETY: the caller's promise.
        Some(question) => unsafe { question.get() },
        None => Ok(Question::default()),
    }
}

/// An agent and a service. A name that is not UTF-8 is nobody's that is allowed.
///
/// # Safety
/// The texts are there.
#[inline]
pub(crate) unsafe fn resource<'a>(
    agent: tollbar_str,
    service: tollbar_str,
) -> Result<Resource<'a>, Refused> {
    // SAFETY: the caller's promise.
    let (agent, service) = unsafe { (agent.utf8(), service.utf8()) };
    let refused = |reason| {
        move |status| match status {
            tollbar_status::TOLLBAR_STATUS_INVALID_UTF8 => Refused { status, reason },
            other => other.into(),
        }
    };
    Ok(Resource {
        agent: agent.map_err(refused(tollbar_reason::TOLLBAR_REASON_AGENT_NOT_ALLOWED))?,
        service: service.map_err(refused(tollbar_reason::TOLLBAR_REASON_SERVICE_NOT_ALLOWED))?,
    })
}

/// A request of the caller's, in the form that the core asks.
pub(crate) struct Borrowed<'a> {
    authorization: Option<&'a [u8]>,
    headers: &'a [tollbar_header],
    peer: IpAddr,
    /// Whether a header was met that is none. It was passed over.
    malformed: Cell<bool>,
}

impl<'a> Borrowed<'a> {
    /// # Safety
    /// If it is neither NULL nor misaligned, a request whose texts and headers are there during `'a`.
    #[inline]
    pub(crate) unsafe fn new(pointer: *const tollbar_request) -> Checked<Self> {
        // SAFETY: the caller's promise.
        unsafe { Self::of(sized::input(pointer)?) }
    }

    /// # Safety
    /// Its texts and headers are there during `'a`.
    #[inline]
    pub(crate) unsafe fn of(request: &tollbar_request) -> Checked<Self> {
        Ok(Self {
            // SAFETY: the caller's promise.
            authorization: unsafe { request.authorization.bytes() }?,
            // SAFETY: the caller's promise.
            headers: unsafe { boundary::slice(request.headers, request.headers_len) }?,
            peer: request.peer.get()?,
            malformed: Cell::new(false),
        })
    }

    /// As [`Borrowed::of`], of a request that passed it before.
    ///
    /// # Safety
    /// As there; and `of` let it pass.
    #[inline]
    pub(crate) unsafe fn checked(request: &tollbar_request) -> Self {
        let bytes = request.authorization;
        let present = !bytes.data.is_null();
        Self {
            authorization: present.then(|| {
                // SAFETY: `of` looked at it.
                unsafe { std::slice::from_raw_parts(bytes.data.cast(), bytes.len) }
            }),
            headers: match request.headers_len {
                0 => &[],
                // SAFETY: as above.
                len => unsafe { std::slice::from_raw_parts(request.headers, len) },
            },
            // `of` let no other family pass than 4 and 6.
            peer: request
                .peer
                .get()
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            malformed: Cell::new(false),
        }
    }

    /// Whether every header is one.
    #[inline]
    pub(crate) fn check_headers(&self) -> Checked<()> {
        self.headers().for_each(drop);
        self.well_formed()
    }

    /// Whether every header that was walked by was one.
    #[inline]
    pub(crate) fn well_formed(&self) -> Checked<()> {
        if self.malformed.get() {
            return Err(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
        }
        Ok(())
    }

    /// For the calls that may block, to which an allocation is nothing.
    pub(crate) fn with_request<R>(&self, use_it: impl FnOnce(&Request<'_>) -> R) -> Checked<R> {
        let headers: Vec<(&[u8], &[u8])> = self.headers().collect();
        self.well_formed()?;
        Ok(use_it(&Request {
            authorization: self.authorization,
            peer: self.peer,
            headers: &headers,
        }))
    }
}

impl Incoming for Borrowed<'_> {
    #[inline]
    fn peer(&self) -> IpAddr {
        self.peer
    }

    #[inline]
    fn credential(&self) -> Option<&[u8]> {
        self.authorization
    }

    #[inline]
    fn headers(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        self.headers.iter().filter_map(|header| {
            // SAFETY: promised to `Borrowed::of`.
            match unsafe { (header.name.bytes(), header.value.bytes()) } {
                (Ok(name), Ok(value)) => {
                    Some((name.unwrap_or_default(), value.unwrap_or_default()))
                }
                _ => {
                    self.malformed.set(true);
                    None
                }
            }
        })
    }
}
