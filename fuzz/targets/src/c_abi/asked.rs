//! What is asked, in C and in Rust; and what is answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tollbar::{Action, Decision, Question, Request, Resource};
use tollbar_ffi::*;

use super::memory::{Structs, Text, Wrongs};
use super::{amount, numbers};
use crate::bytes::Bytes;

const PEERS: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    // The same client as the first.
    IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xcb00, 0x7109)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 9, 9, 9, 9)),
    // A trusted proxy of one of the configurations.
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
];
const AUTHORIZATIONS: [&[u8]; 12] = [
    b"",
    b"Bearer first-token",
    b"Bearer second-token",
    b"bearer third-token",
    b"Basic x",
    b"Bearer",
    // one:good, two:good, one:reads, one:none, one:down, one:bad
    b"ApiKey b25lOmdvb2Q=",
    b"ApiKey dHdvOmdvb2Q=",
    b"ApiKey b25lOnJlYWRz",
    b"ApiKey b25lOm5vbmU=",
    b"ApiKey b25lOmRvd24=",
    b"ApiKey b25lOmJhZA==",
];
const NAMES: [&[u8]; 5] = [
    b"X-Forwarded-For",
    b"x-real-ip",
    b"Forwarded",
    b"Authorization",
    b"Accept",
];
/// Few addresses, so that there are always fewer clients than counters.
const VALUES: [&[u8]; 6] = [
    b"198.51.100.1",
    b"198.51.100.1, 10.0.0.2",
    b"for=\"[2001:db8:1:2::7]:80\"",
    b"unknown",
    b"Bearer first-token",
    b"\xff\x00",
];
const RESOURCES: [&[u8]; 6] = [
    b"rum-js",
    b"js-base",
    b"shop",
    b"",
    b"cart",
    b"\xff\xfe\xfd\xfc",
];

/// A request, as both sides get it.
pub(super) struct AskedRequest {
    authorization: Text,
    headers: Box<[tollbar_header]>,
    /// Keeps the headers' texts; those headers that are none are left out.
    texts: Vec<(Text, Text)>,
    peer: tollbar_ip,
    address: IpAddr,
    /// Whether a header is none.
    pub(super) malformed: bool,
    /// No headers, but a number of them.
    lost: usize,
}

impl AskedRequest {
    pub(super) fn new(bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        let authorization = Text::new(bytes, &AUTHORIZATIONS, wrongs);
        let mut malformed = false;
        let mut texts = Vec::new();
        for _ in 0..bytes.u8() % 4 {
            let mut wrong = Vec::new();
            let name = Text::new(bytes, &NAMES, &mut wrong);
            // Arbitrary values would name more clients than there are counters.
            let value = VALUES[usize::from(bytes.u8()) % VALUES.len()];
            let value = Text::one(value, bytes, &mut wrong);
            malformed |= !wrong.is_empty();
            texts.push((name, value, wrong.is_empty()));
        }
        let headers = texts
            .iter()
            .map(|(name, value, _)| tollbar_header {
                name: name.raw(),
                value: value.raw(),
            })
            .collect();
        let texts = texts
            .into_iter()
            .filter(|(.., fine)| *fine)
            .map(|(name, value, _)| (name, value))
            .collect();

        let kind = bytes.u8();
        let address = PEERS[usize::from(kind) % PEERS.len()];
        let mut peer = tollbar_ip {
            bytes: [0; 16],
            family: 0,
        };
        match address {
            IpAddr::V4(ip) => {
                peer.bytes[..4].copy_from_slice(&ip.octets());
                peer.family = 4;
            }
            IpAddr::V6(ip) => {
                peer.bytes = ip.octets();
                peer.family = 6;
            }
        }
        if kind >= 250 {
            peer.family = [0, 1, 5, 7, 44, 255][usize::from(kind) - 250];
            wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_ADDRESS);
        }
        let lost = match bytes.u8() {
            255 => {
                wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
                usize::from(bytes.u8()) + 1
            }
            254 => {
                wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
                usize::MAX
            }
            _ => 0,
        };
        Self {
            authorization,
            headers,
            texts,
            peer,
            address,
            malformed: malformed && lost == 0,
            lost,
        }
    }

    pub(super) fn raw(&self) -> tollbar_request {
        let there = self.lost == 0 && !self.headers.is_empty();
        tollbar_request {
            size: size_of::<tollbar_request>(),
            authorization: self.authorization.raw(),
            headers: if there {
                self.headers.as_ptr()
            } else {
                std::ptr::null()
            },
            headers_len: if there { self.headers.len() } else { self.lost },
            peer: self.peer,
        }
    }

    /// The same in Rust; headers that are none are passed over.
    pub(super) fn with<R>(&self, ask: impl FnOnce(&Request<'_>) -> R) -> R {
        let headers: Vec<_> = self
            .texts
            .iter()
            .map(|(name, value)| {
                (
                    name.bytes().unwrap_or_default(),
                    value.bytes().unwrap_or_default(),
                )
            })
            .collect();
        ask(&Request {
            authorization: self.authorization.bytes(),
            peer: self.address,
            headers: &headers,
        })
    }
}

/// A request and a question.
pub(super) struct Asked {
    pub(super) request: AskedRequest,
    agent: Text,
    service: Text,
    action: u8,
    rum: u8,
    cost: u64,
}

impl Asked {
    pub(super) fn new(bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        let request = AskedRequest::new(bytes, wrongs);
        Self::about(request, bytes, wrongs)
    }

    /// A question about a client that is known already.
    pub(super) fn question_only(bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        // Zeros are a request with nothing wrong.
        let request = AskedRequest::new(&mut Bytes::new(&[]), &mut Vec::new());
        Self::about(request, bytes, wrongs)
    }

    fn about(request: AskedRequest, bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        let agent = Text::utf8(bytes, &RESOURCES, wrongs);
        let service = Text::utf8(bytes, &RESOURCES, wrongs);
        let action = match bytes.u8() {
            action @ 0..=239 => action % 3,
            action => action,
        };
        if action > 2 {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_VALUE);
        }
        Self {
            request,
            agent,
            service,
            action,
            // A `bool` of C may hold anything.
            rum: bytes.u8() & 3,
            cost: amount(bytes),
        }
    }

    pub(super) fn raw_question(&self) -> tollbar_question {
        tollbar_question {
            size: size_of::<tollbar_question>(),
            cost: self.cost,
            agent: self.agent.raw(),
            service: self.service.raw(),
            action: self.action,
            rum: self.rum,
        }
    }

    pub(super) fn resource(&self) -> Resource<'_> {
        Resource {
            agent: self.agent.str(),
            service: self.service.str(),
        }
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            action: [Action::Ingest, Action::AgentConfig, Action::Sourcemap]
                [usize::from(self.action)],
            resource: self.resource(),
            rum: self.rum != 0,
            cost: self.cost,
        }
    }
}

/// Where decisions are written.
pub(super) struct Answer(Structs<tollbar_decision>);

impl Answer {
    /// Room for as many, which holds garbage before.
    pub(super) fn room(bytes: &mut Bytes<'_>, count: usize, wrongs: &mut Wrongs) -> Self {
        let mut garbage = std::mem::MaybeUninit::<tollbar_decision>::uninit();
        // SAFETY: every pattern of bits is one.
        let garbage = unsafe {
            garbage.as_mut_ptr().write_bytes(0x5a, 1);
            garbage.assume_init()
        };
        Self(Structs::outputs(bytes, &vec![garbage; count], wrongs))
    }

    pub(super) fn pointer(&mut self) -> *mut tollbar_decision {
        self.0.pointer()
    }

    /// No decision was made, for one of these reasons.
    pub(super) fn assert_refused(
        &self,
        i: usize,
        status: tollbar_status,
        wrongs: &[tollbar_status],
    ) {
        let known = wrongs.iter().any(|wrong| *wrong as u32 == status as u32);
        assert!(known, "{} for {:?}", status as u32, numbers(wrongs));
        if let Some(decision) = self.0.read(i) {
            assert_eq!(decision.status, status as u32);
            assert_nothing_decided(&decision);
        }
        self.0.assert_untouched();
    }

    /// Those of a batch: none was made if something is wrong with all of it; else each is that of Rust, or says what is wrong with it, and
    /// the batch says what the first of those did.
    pub(super) fn assert_each<'a>(
        &self,
        status: tollbar_status,
        wrongs: &[tollbar_status],
        wrongs_of_each: &[&Wrongs],
        expected: impl Fn(usize) -> (Decision, Resource<'a>),
    ) {
        if !wrongs.is_empty() {
            (0..wrongs_of_each.len()).for_each(|i| self.assert_refused(i, status, wrongs));
            return;
        }
        let mut first = 0;
        for (i, wrongs) in wrongs_of_each.iter().enumerate() {
            if wrongs.is_empty() {
                let (decision, resource) = expected(i);
                self.assert_is(i, &decision, resource);
            } else {
                let said = self.assert_refused_by(i, wrongs);
                first = if first == 0 { said } else { first };
            }
        }
        assert_eq!(status as u32, first, "not what went wrong first");
    }

    /// The same of one of a batch, which says itself what is wrong with it.
    fn assert_refused_by(&self, i: usize, wrongs: &[tollbar_status]) -> u32 {
        let decision = self.0.read(i).expect("it is there");
        let known = wrongs.iter().any(|wrong| *wrong as u32 == decision.status);
        assert!(known, "{} for {:?}", decision.status, numbers(wrongs));
        assert_nothing_decided(&decision);
        self.0.assert_untouched();
        decision.status
    }

    /// The decision is that of Rust.
    pub(super) fn assert_is(&self, i: usize, expected: &Decision, resource: Resource<'_>) {
        self.0.assert_untouched();
        let mut decision = self.0.read(i).expect("it is there");
        assert_eq!(
            decision.size,
            self.0.size(),
            "another size than the caller's"
        );
        // This copy is no larger than what is known here.
        decision.size = size_of::<tollbar_decision>();
        let pointer = &raw const decision;
        // SAFETY: it is there, and what is returned is static text with a NUL at its end.
        unsafe {
            assert_eq!(
                text(tollbar_reason_str(decision.reason)),
                expected.reason.as_str()
            );
            let method = expected
                .method
                .map_or("unidentified", |method| method.as_str());
            assert_eq!(text(tollbar_method_str(decision.method)), method);
            assert_eq!(
                text(tollbar_action_str(decision.action)),
                expected.action.as_str()
            );
            let asked = tollbar_decision_www_authenticate(pointer);
            let asked = (!asked.is_null()).then(|| text(asked));
            assert_eq!(asked, expected.www_authenticate());
        }
        assert_eq!(decision.status, 0);
        assert_eq!(decision.allowed != 0, expected.allowed());
        assert_eq!(decision.http_status, expected.http_status());
        assert_eq!(
            i32::from(decision.grpc_status),
            expected.grpc_status() as i32
        );
        assert_eq!(decision.generation, expected.generation);
        assert_eq!(u128::from_be_bytes(decision.client), expected.client.bits());
        assert_eq!(decision.client_prefix, expected.client.prefix());
        let seconds = expected.retry_after_seconds().unwrap_or(0);
        assert_eq!(
            u64::from(decision.retry_after_s),
            seconds.min(u32::MAX.into())
        );

        let retry = expected.rate.map_or(Some(0), |rate| rate.retry_after_ns);
        assert_eq!(decision.retry_after_ns, retry.unwrap_or(TOLLBAR_NEVER));
        assert_eq!(
            decision.wait_ns,
            expected.rate.map_or(0, |rate| rate.wait_ns)
        );
        // SAFETY: it is there.
        let (remaining, burst) = unsafe {
            (
                tollbar_decision_remaining(pointer),
                tollbar_decision_burst(pointer),
            )
        };
        assert_eq!(
            remaining,
            expected.rate.map_or(TOLLBAR_NEVER, |rate| rate.remaining())
        );
        assert_eq!(
            burst,
            expected.rate.map_or(TOLLBAR_NEVER, |rate| rate.burst())
        );
        // What has passed is passed: it doesn't matter when.
        let tat = |tat: u64, now: u64| tat.max(now);
        assert_eq!(
            tat(decision.tat_ns, decision.now_ns),
            expected
                .rate
                .map_or(0, |rate| tat(rate.tat_ns(), rate.now_ns()))
        );

        let mut message = [0_u8; TOLLBAR_MESSAGE];
        let raw = |text: Option<&str>| tollbar_str {
            data: text.map_or(std::ptr::null(), |text| text.as_ptr().cast()),
            len: text.map_or(0, str::len),
        };
        // SAFETY: all of it is there.
        let len = unsafe {
            tollbar_decision_message(
                pointer,
                raw(resource.agent),
                raw(resource.service),
                message.as_mut_ptr().cast(),
                message.len(),
            )
        };
        assert!(len < TOLLBAR_MESSAGE, "longer than the header says");
        assert_eq!(
            &message[..len],
            expected.message(resource).to_string().as_bytes()
        );
    }
}

fn assert_nothing_decided(decision: &tollbar_decision) {
    assert_eq!(decision.allowed, 0);
    assert!(
        // Undecided; or the name of an agent or a service that is none, which is not allowed.
        matches!(decision.reason, 0 | 8 | 9),
        "undecided, for a reason: {}",
        decision.reason
    );
    assert!((400..600).contains(&decision.http_status));
    assert_ne!(decision.grpc_status, 0);
}

/// # Safety
/// Static text with a NUL at its end.
pub(super) unsafe fn text(pointer: *const std::ffi::c_char) -> &'static str {
    // SAFETY: the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(pointer) }
        .to_str()
        .unwrap()
}
