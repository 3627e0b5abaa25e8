//! Decisions: what comes out of the engine, flat.
//!
//! Invariants: `allowed` is true if and only if the reason is `TOLLBAR_REASON_ALLOWED`, and a zeroed decision allows nothing. What
//! takes a division to tell is worked out when it is asked for.

use std::ffi::c_char;

use tollbar::client_ip::ClientKey;
use tollbar::{Action, Decision, Method, Rate, RateLimits, Reason};

use crate::boundary::{self, Checked, guarded};
use crate::buffer::Buffer;
use crate::raw::{raw_action, raw_bool, raw_method, raw_reason, raw_status};
use crate::request::{self, tollbar_action};
use crate::sized::{self, Output, Outputs, Versioned};
use crate::status::tollbar_status;
use crate::text::{c_text, tollbar_str};

/// Why a decision came out as it did.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum tollbar_reason {
    /// No decision was made: see the status.
    TOLLBAR_REASON_UNDECIDED = 0,
    /// The request is allowed.
    TOLLBAR_REASON_ALLOWED = 1,
    /// No credential was sent, and anonymous clients are not allowed: 401.
    TOLLBAR_REASON_MISSING_CREDENTIAL = 2,
    /// The scheme of the authorization header is neither `Bearer` nor `ApiKey`: 401.
    TOLLBAR_REASON_UNKNOWN_SCHEME = 3,
    /// `Bearer`, but the token equals none of the secret tokens: 401.
    TOLLBAR_REASON_INVALID_TOKEN = 4,
    /// `ApiKey`, but the key is malformed, unknown or holds no privilege: 401.
    TOLLBAR_REASON_INVALID_API_KEY = 5,
    /// `ApiKey`, but API keys are not configured: 401.
    TOLLBAR_REASON_API_KEY_NOT_CONFIGURED = 6,
    /// The route is a RUM route and `apm-server.rum.enabled` is false: 403.
    TOLLBAR_REASON_RUM_DISABLED = 7,
    /// An anonymous client named an agent that is not in `allow_agent`: 403.
    TOLLBAR_REASON_AGENT_NOT_ALLOWED = 8,
    /// An anonymous client named a service that is not in `allow_service`: 403.
    TOLLBAR_REASON_SERVICE_NOT_ALLOWED = 9,
    /// An anonymous client asked for something that needs a credential: 403.
    TOLLBAR_REASON_ANONYMOUS_NOT_PERMITTED = 10,
    /// The credential is valid but lacks the privilege for this action: 403.
    TOLLBAR_REASON_MISSING_PRIVILEGE = 11,
    /// The client's counter has no room now; it will have after `retry_after_ns`: 429.
    TOLLBAR_REASON_RATE_LIMITED = 12,
    /// More events at once than the burst: they never fit, whatever the client waits: 429.
    TOLLBAR_REASON_EXCEEDS_BURST = 13,
    /// The credential cannot be verified now: 503. Not an authentication failure.
    TOLLBAR_REASON_UNAVAILABLE = 14,
    /// The API key has to be verified first, which would block: go on with tollbar_verify(), tollbar_start_verification() or
    /// tollbar_verify_async(). 503 to those who don't.
    TOLLBAR_REASON_PENDING = 15,
}

/// How a client was identified.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum tollbar_method {
    /// It was not.
    TOLLBAR_METHOD_UNIDENTIFIED = 0,
    /// No authentication is configured: everybody gets in, without a rate limit.
    TOLLBAR_METHOD_NONE = 1,
    /// `Authorization: Bearer <secret token>`.
    TOLLBAR_METHOD_SECRET_TOKEN = 2,
    /// `Authorization: ApiKey base64(id:key)`.
    TOLLBAR_METHOD_API_KEY = 3,
    /// No credential was sent, and anonymous clients are allowed.
    TOLLBAR_METHOD_ANONYMOUS = 4,
}

use tollbar_action::*;
use tollbar_method::*;
use tollbar_reason::*;

/// The reasons of the core, and their numbers here.
pub(crate) const REASONS: [(Reason, tollbar_reason); 15] = [
    (Reason::Allowed, TOLLBAR_REASON_ALLOWED),
    (Reason::MissingCredential, TOLLBAR_REASON_MISSING_CREDENTIAL),
    (Reason::UnknownScheme, TOLLBAR_REASON_UNKNOWN_SCHEME),
    (Reason::InvalidToken, TOLLBAR_REASON_INVALID_TOKEN),
    (Reason::InvalidApiKey, TOLLBAR_REASON_INVALID_API_KEY),
    (
        Reason::ApiKeyNotConfigured,
        TOLLBAR_REASON_API_KEY_NOT_CONFIGURED,
    ),
    (Reason::RumDisabled, TOLLBAR_REASON_RUM_DISABLED),
    (Reason::AgentNotAllowed, TOLLBAR_REASON_AGENT_NOT_ALLOWED),
    (
        Reason::ServiceNotAllowed,
        TOLLBAR_REASON_SERVICE_NOT_ALLOWED,
    ),
    (
        Reason::AnonymousNotPermitted,
        TOLLBAR_REASON_ANONYMOUS_NOT_PERMITTED,
    ),
    (Reason::MissingPrivilege, TOLLBAR_REASON_MISSING_PRIVILEGE),
    (Reason::RateLimited, TOLLBAR_REASON_RATE_LIMITED),
    (Reason::ExceedsBurst, TOLLBAR_REASON_EXCEEDS_BURST),
    (Reason::Unavailable, TOLLBAR_REASON_UNAVAILABLE),
    (Reason::Pending, TOLLBAR_REASON_PENDING),
];

/// The number of a reason.
pub(crate) fn reason_number(reason: Reason) -> raw_reason {
    let known = REASONS.iter().find(|(core, _)| *core == reason);
    // A reason that the core has and this file does not is seen by the test below.
    known.map_or(TOLLBAR_REASON_UNAVAILABLE, |(_, number)| *number) as u8
}

fn reason(number: raw_reason) -> Option<Reason> {
    let found = REASONS.iter().find(|(_, known)| *known as u8 == number);
    found.map(|(reason, _)| *reason)
}

#[inline]
pub(crate) fn method_number(method: Option<Method>) -> raw_method {
    let number = match method {
        None => TOLLBAR_METHOD_UNIDENTIFIED,
        Some(Method::None) => TOLLBAR_METHOD_NONE,
        Some(Method::SecretToken) => TOLLBAR_METHOD_SECRET_TOKEN,
        Some(Method::ApiKey) => TOLLBAR_METHOD_API_KEY,
        Some(Method::Anonymous) => TOLLBAR_METHOD_ANONYMOUS,
        // As above.
        Some(_) => TOLLBAR_METHOD_UNIDENTIFIED,
    };
    number as u8
}

fn method(number: raw_method) -> Option<Method> {
    match number {
        1 => Some(Method::None),
        2 => Some(Method::SecretToken),
        3 => Some(Method::ApiKey),
        4 => Some(Method::Anonymous),
        _ => None,
    }
}

#[inline]
pub(crate) const fn action_number(action: Action) -> raw_action {
    let number = match action {
        Action::Ingest => TOLLBAR_ACTION_INGEST,
        Action::AgentConfig => TOLLBAR_ACTION_AGENT_CONFIG,
        Action::Sourcemap => TOLLBAR_ACTION_SOURCEMAP,
    };
    number as u8
}

/// The engine's answer: a plain value. Begin with TOLLBAR_DECISION_INIT; it may be used again and again.
///
/// A function that takes one writes it whatever comes of it, if it is no NULL and large enough: where no decision could be made,
/// `allowed` is false.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_decision {
    /// sizeof(tollbar_decision)
    pub size: usize,
    /// Whether the request may go on.
    pub allowed: raw_bool,
    /// Why.
    pub reason: raw_reason,
    /// How the client was identified.
    pub method: raw_method,
    /// What was asked for.
    pub action: raw_action,
    /// 202 (200 for agent configuration), 401, 403, 429 or 503.
    pub http_status: u16,
    /// gRPC's own number: 0 OK, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED.
    pub grpc_status: u8,
    /// How many bits of `client` are counted, from the left: 128 for IPv4.
    pub client_prefix: u8,
    /// Whom the rate limit counts: an IPv6 address in network byte order, or IPv4 as `::ffff:a.b.c.d`. tollbar_client_text() writes it.
    pub client: [u8; 16],
    /// Why no decision was made, if none was: what the function returned or, of a batch, what it would have returned for this one alone.
    pub status: raw_status,
    /// The value of HTTP's `Retry-After`: whole seconds, rounded up; 0: none.
    pub retry_after_s: u32,
    /// Nanoseconds until the refused batch (of a peek: the next event) would fit, exact. 0: it fits now, or was not counted.
    /// TOLLBAR_NEVER: it never will.
    pub retry_after_ns: u64,
    /// Nanoseconds that the caller of tollbar_client_reserve() must sleep before it accepts the batch; 0 otherwise.
    pub wait_ns: u64,
    /// The number of the configuration under which this was decided: 1 at start, one more at each reload.
    pub generation: u64,
    /// The counter's theoretical arrival time after this decision, in nanoseconds of the same clock as `now_ns`.
    pub tat_ns: u64,
    /// The limit that it was decided under, in events a second; 0: no counter was consulted.
    pub event_limit: u32,
    /// The largest batch that ever fits is `event_limit` times this.
    pub burst_multiplier: u32,
    /// The instant of the decision.
    pub now_ns: u64,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers.
unsafe impl Versioned for tollbar_decision {}

/// For each action and reason of the core, in its order, the eight bytes from `allowed` on, but for those of `method` and
/// `client_prefix`.
const CODES: [[u64; 16]; 4] = {
    use std::mem::offset_of;
    assert!(offset_of!(tollbar_decision, allowed) == 8);
    assert!(offset_of!(tollbar_decision, reason) == 9);
    assert!(offset_of!(tollbar_decision, method) == 10);
    assert!(offset_of!(tollbar_decision, action) == 11);
    assert!(offset_of!(tollbar_decision, http_status) == 12);
    assert!(offset_of!(tollbar_decision, grpc_status) == 14);
    assert!(offset_of!(tollbar_decision, client_prefix) == 15);

    let mut codes = [[0; 16]; 4];
    let actions = [Action::Ingest, Action::AgentConfig, Action::Sourcemap];
    let mut i = 0;
    while i < actions.len() {
        let mut j = 0;
        while j < REASONS.len() {
            let (reason, number) = REASONS[j];
            let decision = Decision {
                reason,
                action: actions[i],
                ..NOBODY
            };
            let [high, low] = decision.http_status().to_ne_bytes();
            let grpc = decision.grpc_status() as u8;
            let bytes = [
                decision.allowed() as u8,
                number as u8,
                0,
                action_number(actions[i]),
                high,
                low,
                grpc,
                0,
            ];
            codes[actions[i] as usize][reason as usize] = u64::from_ne_bytes(bytes);
            j += 1;
        }
        i += 1;
    }
    codes
};

/// A decision on nobody: 401.
const NOBODY: Decision = Decision {
    reason: Reason::MissingCredential,
    action: Action::Ingest,
    method: None,
    client: ClientKey::from_parts(0, 128),
    rate: None,
    generation: 0,
};

impl tollbar_decision {
    /// Writes a decision but for its size, field by field: what is put together elsewhere first has to be waited for when it is copied.
    ///
    /// # Safety
    /// `place` is writable.
    #[inline(always)]
    unsafe fn write(place: *mut Self, decision: &Decision) {
        // SAFETY: the caller's promise.
        unsafe {
            // What the reason, the action and the method say stands side by side, and is written at once.
            let codes = CODES[(decision.action as usize) & 3][(decision.reason as usize) & 15];
            let method = method_number(decision.method);
            let prefix = decision.client.prefix();
            let others = u64::from_ne_bytes([0, 0, method, 0, 0, 0, 0, prefix]);
            (&raw mut (*place).allowed)
                .cast::<u64>()
                .write(codes | others);
            (*place).client = decision.client.bits().to_be_bytes();
            (*place).status = tollbar_status::TOLLBAR_STATUS_OK as u32;
            (*place).generation = decision.generation;
            match &decision.rate {
                None => {
                    (*place).retry_after_s = 0;
                    (*place).retry_after_ns = 0;
                    (*place).wait_ns = 0;
                    (*place).tat_ns = 0;
                    (*place).now_ns = 0;
                    (*place).event_limit = 0;
                    (*place).burst_multiplier = 0;
                }
                Some(rate) => {
                    let seconds = decision.retry_after_seconds().unwrap_or(0);
                    (*place).retry_after_s = seconds.try_into().unwrap_or(u32::MAX);
                    (*place).retry_after_ns = rate.retry_after_ns.unwrap_or(TOLLBAR_NEVER);
                    (*place).wait_ns = rate.wait_ns;
                    // Apart in the struct, so that no compiler copies the two as one, which would have to wait for both.
                    (*place).tat_ns = rate.tat_ns();
                    (*place).event_limit = rate.limits.event_limit;
                    (*place).burst_multiplier = rate.limits.burst_multiplier;
                    (*place).now_ns = rate.now_ns();
                }
            }
        }
    }

    /// Writes that no decision was made.
    ///
    /// # Safety
    /// `place` is writable.
    #[cold]
    unsafe fn refuse(place: *mut Self, refused: &Refused) {
        let default = Decision::default();
        let decision = Decision {
            reason: reason(refused.reason as u8).unwrap_or(default.reason),
            ..default
        };
        // SAFETY: the caller's promise.
        unsafe {
            Self::write(place, &decision);
            (*place).reason = refused.reason as u8;
            (*place).status = refused.status as u32;
        }
    }

    /// The core's; `None`: no decision was made.
    fn get(&self) -> Option<Decision> {
        let rate = (self.event_limit != 0).then(|| {
            let mut rate = Rate::default();
            rate.retry_after_ns =
                (self.retry_after_ns != TOLLBAR_NEVER).then_some(self.retry_after_ns);
            rate.wait_ns = self.wait_ns;
            rate.limits = RateLimits {
                event_limit: self.event_limit,
                burst_multiplier: self.burst_multiplier,
            };
            rate.at(self.tat_ns, self.now_ns)
        });
        Some(Decision {
            reason: reason(self.reason)?,
            action: request::action(self.action).ok()?,
            method: method(self.method),
            client: ClientKey::from_parts(u128::from_be_bytes(self.client), self.client_prefix),
            rate,
            generation: self.generation,
        })
    }
}

/// `retry_after_ns` of what never fits.
pub const TOLLBAR_NEVER: u64 = u64::MAX;

/// Why no decision was made, and what the decision says then.
pub(crate) struct Refused {
    pub(crate) status: tollbar_status,
    pub(crate) reason: tollbar_reason,
}

impl From<tollbar_status> for Refused {
    #[inline]
    fn from(status: tollbar_status) -> Self {
        Self {
            status,
            reason: TOLLBAR_REASON_UNDECIDED,
        }
    }
}

/// Where a decision is written.
#[derive(Clone, Copy)]
pub(crate) struct Place(Output<tollbar_decision>);

impl Place {
    #[inline(always)]
    pub(crate) fn write(self, decision: &Decision) {
        // SAFETY: the place is writable.
        unsafe { tollbar_decision::write(self.0.place(), decision) };
    }

    /// Writes it, for the end of what [`decide`] asks.
    #[inline(always)]
    pub(crate) fn answer(self, decision: &Decision) -> Result<(), Refused> {
        self.write(decision);
        Ok(())
    }

    /// Writes that no decision was made.
    #[cold]
    fn refuse(self, refused: &Refused) {
        // SAFETY: the place is writable.
        unsafe { tollbar_decision::refuse(self.0.place(), refused) };
    }
}

/// Where the decisions of a batch are written.
#[derive(Clone, Copy)]
pub(crate) struct Places(Outputs<tollbar_decision>);

impl Places {
    /// See [`Outputs::is_usual`].
    pub(crate) fn is_usual(&self) -> bool {
        self.0.is_usual()
    }

    /// How many there is room for.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub(crate) fn write<const USUAL: bool>(&self, i: usize, decision: &Decision) {
        if let Some(place) = self.0.at::<USUAL>(i) {
            Place(place).write(decision);
        }
    }

    /// Writes that no decision was made.
    #[cold]
    fn refuse(&self, i: usize, refused: &Refused) {
        if let Some(place) = self.0.at::<false>(i) {
            Place(place).refuse(refused);
        }
    }

    /// Whether the i-th is to be decided: if not, why is written, and kept in `first` if nothing went wrong before.
    #[inline]
    pub(crate) fn pass(
        &self,
        i: usize,
        checked: Result<(), Refused>,
        first: &mut tollbar_status,
    ) -> bool {
        match checked {
            Ok(()) => true,
            Err(refused) => {
                if *first == tollbar_status::TOLLBAR_STATUS_OK {
                    *first = refused.status;
                }
                self.refuse(i, &refused);
                false
            }
        }
    }
}

/// Has `ask` write the decision, or writes why none was made.
///
/// # Safety
/// If it is neither NULL nor misaligned, `place` has room for a decision of the size that it says.
#[inline]
pub(crate) unsafe fn decide(
    place: *mut tollbar_decision,
    ask: impl FnOnce(Place) -> Result<(), Refused>,
) -> tollbar_status {
    let asked = boundary::guarded(Err(tollbar_status::TOLLBAR_STATUS_PANIC.into()), || {
        // SAFETY: the caller's promise.
        ask(Place(unsafe { Output::new(place) }?))
    });
    match asked {
        Ok(()) => tollbar_status::TOLLBAR_STATUS_OK,
        // SAFETY: the caller's promise.
        Err(refused) => unsafe { refuse_all(place, 1, refused) },
    }
}

/// As [`decide`] for `len` decisions. `ask` writes them, or returns why none was made.
///
/// # Safety
/// If it is neither NULL nor misaligned, `first` has room for `len` decisions of the size that the first says.
#[inline]
pub(crate) unsafe fn decide_batch(
    first: *mut tollbar_decision,
    len: usize,
    ask: impl FnOnce(&Places) -> Checked<tollbar_status>,
) -> tollbar_status {
    let asked = boundary::guarded(Err(tollbar_status::TOLLBAR_STATUS_PANIC), || {
        // SAFETY: the caller's promise.
        ask(&Places(unsafe { Outputs::new(first, len) }?))
    });
    match asked {
        Ok(status) => status,
        // SAFETY: the caller's promise.
        Err(status) => unsafe { refuse_all(first, len, status.into()) },
    }
}

/// Writes that no decision was made, as far as there is room. Returns why.
///
/// # Safety
/// As [`Outputs::new`].
#[cold]
unsafe fn refuse_all(first: *mut tollbar_decision, len: usize, refused: Refused) -> tollbar_status {
    boundary::guarded((), || {
        // SAFETY: the caller's promise.
        if let Ok(places) = unsafe { Outputs::new(first, len) }.map(Places) {
            (0..len).for_each(|i| places.refuse(i, &refused));
        }
    });
    refused.status
}

/// The stable name of a reason: "allowed", "invalid_token", "rate_limited"; "undecided" if it is none. Static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_reason_str(reason: raw_reason) -> *const c_char {
    guarded(std::ptr::null(), || match reason {
        1 => c_text!(Reason::Allowed.as_str()),
        2 => c_text!(Reason::MissingCredential.as_str()),
        3 => c_text!(Reason::UnknownScheme.as_str()),
        4 => c_text!(Reason::InvalidToken.as_str()),
        5 => c_text!(Reason::InvalidApiKey.as_str()),
        6 => c_text!(Reason::ApiKeyNotConfigured.as_str()),
        7 => c_text!(Reason::RumDisabled.as_str()),
        8 => c_text!(Reason::AgentNotAllowed.as_str()),
        9 => c_text!(Reason::ServiceNotAllowed.as_str()),
        10 => c_text!(Reason::AnonymousNotPermitted.as_str()),
        11 => c_text!(Reason::MissingPrivilege.as_str()),
        12 => c_text!(Reason::RateLimited.as_str()),
        13 => c_text!(Reason::ExceedsBurst.as_str()),
        14 => c_text!(Reason::Unavailable.as_str()),
        15 => c_text!(Reason::Pending.as_str()),
        _ => c_text!("undecided"),
    })
}

/// The stable name of a method: "none", "secret_token", "api_key", "anonymous"; "unidentified" if it is none. Static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_method_str(method: raw_method) -> *const c_char {
    guarded(std::ptr::null(), || match method {
        1 => c_text!(Method::None.as_str()),
        2 => c_text!(Method::SecretToken.as_str()),
        3 => c_text!(Method::ApiKey.as_str()),
        4 => c_text!(Method::Anonymous.as_str()),
        _ => c_text!("unidentified"),
    })
}

/// The stable name of an action: "ingest", "agent_config", "sourcemap"; "unknown" if it is none. Static text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn tollbar_action_str(action: raw_action) -> *const c_char {
    guarded(std::ptr::null(), || match action {
        0 => c_text!(Action::Ingest.as_str()),
        1 => c_text!(Action::AgentConfig.as_str()),
        2 => c_text!(Action::Sourcemap.as_str()),
        _ => c_text!("unknown"),
    })
}

/// Why, as a sentence for the client. It names the agent or service that is not permitted, with its first 64 bytes, escaped; and no
/// secret. `agent` and `service` are those that were asked about, or NULL. Needs at most TOLLBAR_MESSAGE bytes.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `decision` is NULL or too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_decision_message(
    decision: *const tollbar_decision,
    agent: tollbar_str,
    service: tollbar_str,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    guarded(0, || {
        // SAFETY: the header asks for a buffer of that size.
        let buffer = unsafe { Buffer::new(buffer, capacity) };
        // SAFETY: the header asks for a decision.
        let Ok(decision) = (unsafe { sized::input(decision) }) else {
            return 0;
        };
        // SAFETY: the header asks for texts that are there. A name that is no UTF-8 is not shown.
        let resource = unsafe { request::resource(agent, service) }.unwrap_or_default();
        match decision.get() {
            Some(core) => buffer.print(core.message(resource)),
            None => buffer.print("no decision was made"),
        }
    })
}

/// Room for any text of tollbar_decision_message() and its NUL.
pub const TOLLBAR_MESSAGE: usize = 1024;

/// Events that would still fit at the instant of the decision; TOLLBAR_NEVER where no counter was consulted, since there is no limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_decision_remaining(decision: *const tollbar_decision) -> u64 {
    // SAFETY: the header asks for a decision.
    unsafe { about_rate(decision, |rate| rate.remaining()) }
}

/// The largest batch that ever fits, in events; TOLLBAR_NEVER where no counter was consulted, since there is no limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_decision_burst(decision: *const tollbar_decision) -> u64 {
    // SAFETY: the header asks for a decision.
    unsafe { about_rate(decision, |rate| rate.burst()) }
}

/// # Safety
/// As [`sized::input`].
unsafe fn about_rate(decision: *const tollbar_decision, ask: impl FnOnce(Rate) -> u64) -> u64 {
    guarded(TOLLBAR_NEVER, || {
        // SAFETY: the caller's promise.
        let rate = unsafe { sized::input(decision) }
            .ok()
            .and_then(|decision| decision.get()?.rate);
        rate.map_or(TOLLBAR_NEVER, ask)
    })
}

/// The value of HTTP's `WWW-Authenticate`: static text for a 401, NULL for all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_decision_www_authenticate(
    decision: *const tollbar_decision,
) -> *const c_char {
    const VALUE: &str = match NOBODY.www_authenticate() {
        Some(value) => value,
        None => "",
    };
    guarded(std::ptr::null(), || {
        // SAFETY: the header asks for a decision.
        let decision = unsafe { sized::input(decision) }.ok();
        match decision.and_then(|decision| decision.get()?.www_authenticate()) {
            Some(_) => c_text!(VALUE),
            None => std::ptr::null(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn text(pointer: *const c_char) -> &'static str {
        // SAFETY: static text with a NUL at its end.
        unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
    }

    #[test]
    fn every_reason_of_the_core_has_a_number_and_its_name() {
        let engine = tollbar::Engine::from_yaml("").unwrap();
        let stats = engine.stats();
        assert_eq!(stats.refused.len() + 1, REASONS.len());
        for (core, number) in REASONS {
            assert_eq!(reason_number(core), number as u8);
            assert_eq!(reason(number as u8), Some(core));
            assert_eq!(text(tollbar_reason_str(number as u8)), core.as_str());
        }
        assert_eq!(stats.allowed.len(), 4);
        for (core, _) in stats.allowed {
            let number = method_number(Some(core));
            assert_eq!(method(number), Some(core));
            assert_eq!(text(tollbar_method_str(number)), core.as_str());
        }
        for core in [Action::Ingest, Action::AgentConfig, Action::Sourcemap] {
            let number = action_number(core);
            assert_eq!(request::action(number).ok(), Some(core));
            assert_eq!(text(tollbar_action_str(number)), core.as_str());
        }
    }

    #[test]
    fn a_decision_comes_back_from_c_as_it_was() {
        let engine = tollbar::Engine::from_yaml(
            "{apm-server.auth.secret_token: abcdefgh, apm-server.auth.anonymous.enabled: true}",
        )
        .unwrap();
        let request = tollbar::Request::from_peer([203, 0, 113, 9].into());
        for cost in [0, 1, 900, 899, 901] {
            let question = tollbar::Question {
                cost,
                ..tollbar::Question::default()
            };
            let decision = engine.check(&request, &question, Some(7));
            let mut c = std::mem::MaybeUninit::<tollbar_decision>::uninit();
            // SAFETY: written, then read.
            let c = unsafe {
                (*c.as_mut_ptr()).size = size_of::<tollbar_decision>();
                tollbar_decision::write(c.as_mut_ptr(), &decision);
                c.assume_init()
            };
            assert_eq!(c.get(), Some(decision));
        }
    }
}
