//! The C ABI: calls of every kind in any order, with structs and texts that are right, or wrong in any way that a library can notice.
//!
//! Beside the C engine stands one that is asked in Rust. What is right must have the same answer from both; what is wrong must be
//! called by its name, decide nothing, charge nothing, and write nothing beyond the caller's memory. With `SANITIZER=address`, nothing is
//! read there either.
//!
//! An engine has as many counters as there are candidates for each client, and more than there are clients, so its answers don't depend
//! on the key of its hash, which two engines have not in common.

mod asked;
mod memory;
mod others;

use std::ffi::c_void;
use std::net::Ipv6Addr;
use std::sync::Arc;

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::client_ip::CanonicalIp;
use tollbar::config::Privilege;
use tollbar::{Admission, Decision, Engine, Identity, Resource};
use tollbar_ffi::*;

use crate::bytes::Bytes;
use asked::{Answer, Asked, AskedRequest};
use memory::{Structs, Text, Values, Wrongs};

const CONFIGS: [&str; 6] = [
    "{apm-server.auth: {secret_token: first-token, anonymous: {enabled: true, allow_service: [shop], rate_limit: {ip_limit: 16, event_limit: 10}}}, tollbar.trusted_proxies: [10.0.0.0/8]}",
    "{apm-server: {rum: {enabled: true, allow_origins: ['http://*.shop'], allow_headers: [X-One, X-Two]}, auth: {secret_token: [first-token, second-token], api_key.enabled: true, anonymous.rate_limit: {ip_limit: 16, event_limit: 3}}}}",
    "{apm-server.auth: {api_key.enabled: true, anonymous: {enabled: true, allow_agent: [], rate_limit: {ip_limit: 16, event_limit: 1000}}}}",
    "apm-server.auth: {secret_token: second-token, api_key: {enabled: true, limit: 2}, anonymous.rate_limit.ip_limit: 16}",
    "apm-server.auth.anonymous.rate_limit.ip_limit: 16",
    "{apm-server.auth: {secret_tokens: first-token}, tollbar.ipv6_prefix: 200}",
];
const MOST_CALLS: usize = 48;
const MOST_CLIENTS: usize = 8;
/// So late that the engine's own clock is long past it never: nothing is paid while texts are compared.
const BEGIN: u64 = 1 << 60;

/// See the module's documentation.
pub fn c_abi(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut both = Both::new(&mut bytes);
    for _ in 0..MOST_CALLS {
        if bytes.is_empty() {
            break;
        }
        both.call(&mut bytes);
    }
    both.compare_stats(&mut bytes);
}

/// An engine of C's, and one of Rust's that is asked the same.
struct Both {
    c: *mut tollbar_engine,
    rust: Engine,
    now: u64,
    clients: Vec<(tollbar_client, Identity)>,
}

impl Drop for Both {
    fn drop(&mut self) {
        // SAFETY: made once, freed once.
        unsafe { tollbar_engine_free(self.c) };
    }
}

impl Both {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        // The last one is no configuration.
        let yaml = CONFIGS[usize::from(bytes.u8()) % (CONFIGS.len() - 1)];
        let mut c = std::ptr::null_mut();
        let text = tollbar_str {
            data: yaml.as_ptr().cast(),
            len: yaml.len(),
        };
        // SAFETY: the text is there, and room for the engine.
        let status = unsafe { tollbar_engine_from_yaml(text, &raw mut c, std::ptr::null_mut()) };
        assert_eq!(status as u32, 0);
        let rust = Engine::from_yaml(yaml).unwrap();
        let mut both = Self {
            c,
            rust,
            now: BEGIN,
            clients: Vec::new(),
        };
        both.set_verifier();
        both
    }

    /// Without one, Elasticsearch would be asked, of which there is none.
    fn set_verifier(&mut self) {
        // SAFETY: the callback takes any userdata.
        let status = unsafe {
            tollbar_set_verifier(
                self.c,
                Some(verify),
                std::ptr::null_mut(),
                None,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(status as u32, 0);
        self.rust.set_verifier(Some(Arc::new(Verify))).unwrap();
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let call = bytes.u8();
        if call & 0x80 != 0 {
            // Never backwards: then it would matter which counters a client lost meanwhile.
            self.now += u64::from(bytes.u32());
        }
        match call & 0x7f {
            0..=23 => self.check(bytes, tollbar_check, false),
            24..=27 => self.check(bytes, tollbar_check_blocking, true),
            28..=39 => self.check_batch(bytes),
            40..=55 => self.authenticate(bytes),
            56..=71 => self.ask_client(bytes),
            72..=79 => self.admit_batch(bytes),
            80..=87 => self.admit_ips(bytes),
            88..=95 => self.reload(bytes),
            96..=99 => self.compare_stats(bytes),
            100..=111 => self.texts(bytes),
            112..=115 => self.refusals(bytes),
            116..=119 => self.build_config(bytes),
            _ => others::small(bytes),
        }
    }

    /// The engine, as it is passed: now and then as NULL or misaligned.
    fn engine(&self, bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> *const tollbar_engine {
        match bytes.u8() {
            255 => {
                wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
                std::ptr::null()
            }
            254 => {
                wrongs.push(tollbar_status::TOLLBAR_STATUS_MISALIGNED);
                self.c.wrapping_byte_add(1)
            }
            _ => self.c,
        }
    }

    /// The time, as it is passed. It is always given: the engines' own clocks differ.
    fn time(&self, bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Values<u64> {
        loop {
            let mut wrong = Vec::new();
            let time = Values::new(bytes, &[self.now], true, &mut wrong);
            if !time.is_null() {
                wrongs.append(&mut wrong);
                return time;
            }
        }
    }

    fn check(
        &mut self,
        bytes: &mut Bytes<'_>,
        function: unsafe extern "C" fn(
            *const tollbar_engine,
            *const tollbar_request,
            *const tollbar_question,
            *const u64,
            *mut tollbar_decision,
        ) -> tollbar_status,
        blocking: bool,
    ) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let asked = Asked::new(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let mut request = Structs::input(bytes, asked.request.raw(), &mut wrongs);
        let mut question = optional_question(bytes, &asked, &mut wrongs);
        let mut answer = Answer::room(bytes, 1, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            function(
                engine,
                request.pointer(),
                question.pointer(),
                time.pointer(),
                answer.pointer(),
            )
        };
        if !wrongs.is_empty() {
            answer.assert_refused(0, status, &wrongs);
            return;
        }
        if asked.request.malformed {
            let wrongs = [
                tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT,
                tollbar_status::TOLLBAR_STATUS_TOO_LONG,
            ];
            answer.assert_refused(0, status, &wrongs);
            return;
        }
        assert_eq!(status as u32, 0, "what is right was refused");
        let expected = self.in_rust(&asked, blocking);
        answer.assert_is(0, &expected, asked.resource());
    }

    /// The same in Rust.
    fn in_rust(&self, asked: &Asked, blocking: bool) -> Decision {
        asked.request.with(|request| {
            if blocking {
                self.rust
                    .check_blocking(request, &asked.question(), Some(self.now))
            } else {
                self.rust.check(request, &asked.question(), Some(self.now))
            }
        })
    }

    fn check_batch(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let count = usize::from(bytes.u8() % 4) + 1;
        let mut each = Vec::new();
        for _ in 0..count {
            let mut wrong = Vec::new();
            let asked = Asked::new(bytes, &mut wrong);
            if asked.request.malformed {
                wrong.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
            }
            each.push((asked, wrong));
        }
        let requests: Vec<_> = each.iter().map(|(asked, _)| asked.request.raw()).collect();
        let questions: Vec<_> = each.iter().map(|(asked, _)| asked.raw_question()).collect();
        let mut requests = Structs::inputs(bytes, &requests, &mut wrongs);
        let mut questions = Structs::inputs(bytes, &questions, &mut wrongs);
        if questions.pointer().is_null() {
            // Those are the default ones, which is another case.
            return;
        }
        let mut answers = Answer::room(bytes, count, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            tollbar_check_batch(
                engine,
                requests.pointer(),
                questions.pointer(),
                count,
                time.pointer(),
                answers.pointer(),
            )
        };
        let of_each: Vec<_> = each.iter().map(|(_, wrongs)| wrongs).collect();
        answers.assert_each(status, &wrongs, &of_each, |i| {
            let (asked, _) = &each[i];
            (self.in_rust(asked, false), asked.resource())
        });
    }

    fn authenticate(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let asked = AskedRequest::new(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let mut request = Structs::input(bytes, asked.raw(), &mut wrongs);
        let mut place = Values::new(bytes, &[GARBAGE], false, &mut wrongs);
        // Who starts to verify, and then has no place for the client, has verified all the same.
        let way = match bytes.u8() % 8 {
            1 if place.read(0).is_none() => 2,
            way => way,
        };
        let (request, now) = (request.pointer(), time.pointer());
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            match way {
                0 => tollbar_verify(engine, request, now, place.pointer()),
                1 => {
                    let mut started = std::ptr::null_mut();
                    let status = tollbar_start_verification(engine, request, now, &raw mut started);
                    assert_eq!(started.is_null(), status as u32 != 0);
                    let waited = tollbar_verification_wait(started, u64::MAX, place.pointer());
                    tollbar_verification_free(started);
                    if started.is_null() { status } else { waited }
                }
                _ => tollbar_authenticate(engine, request, now, place.pointer()),
            }
        };
        let client = place.read(0);
        let waits = way < 2;
        if !wrongs.is_empty() || asked.malformed {
            assert!(status as u32 != 0, "what is wrong was taken");
            if !wrongs.is_empty() {
                let known = wrongs.iter().any(|wrong| *wrong as u32 == status as u32);
                assert!(known, "{} for {:?}", status as u32, numbers(&wrongs));
            }
            // Without an engine, or a verification, nothing is written.
            if let Some(client) = client
                && way != 1
            {
                assert_eq!(client.opaque, [0; 10], "a client all the same");
            }
            return;
        }
        assert_eq!(status as u32, 0, "what is right was refused");
        let identity = asked.with(|request| {
            let client = if waits {
                self.rust.verify(request, Some(self.now))
            } else {
                self.rust.authenticate_at(request, Some(self.now))
            };
            client.identity()
        });
        if self.clients.len() < MOST_CLIENTS {
            self.clients.push((client.expect("it is there"), identity));
        }
    }

    /// A client of before, or what is none.
    fn client(&self, bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> (tollbar_client, Identity) {
        let kind = bytes.u8();
        let known = self
            .clients
            .get(usize::from(kind & 15) % self.clients.len().max(1));
        if let Some(&known) = known
            && kind < 240
        {
            return known;
        }
        wrongs.push(tollbar_status::TOLLBAR_STATUS_INVALID_CLIENT);
        let mut client = known.map_or(tollbar_client { opaque: [0; 10] }, |known| known.0);
        // No client of this library's, or one of another engine's.
        client.opaque[usize::from(kind & 1)] ^= bytes.u64() | 1;
        (client, Identity::NOBODY)
    }

    fn ask_client(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let (client, identity) = self.client(bytes, &mut wrongs);
        let mut client = Values::new(bytes, &[client], false, &mut wrongs);
        let mut answer = Answer::room(bytes, 1, &mut wrongs);
        let place = answer.pointer();
        let rust = self.rust.client(identity);
        let (way, n, max_wait) = (
            bytes.u8() % 6,
            amount(bytes),
            bytes.u64() >> (bytes.u8() & 63),
        );
        let mut resource = None;
        // SAFETY: everything is as large as it says.
        let (status, expected) = unsafe {
            match way {
                0 => (
                    tollbar_client_decision(engine, client.pointer(), place),
                    wrongs.is_empty().then(|| rust.decision()),
                ),
                1 => (
                    tollbar_client_rum_route(engine, client.pointer(), place),
                    wrongs.is_empty().then(|| rust.rum_route()),
                ),
                2 => {
                    let asked = Asked::question_only(bytes, &mut wrongs);
                    let mut time = self.time(bytes, &mut wrongs);
                    let mut question = optional_question(bytes, &asked, &mut wrongs);
                    let status = tollbar_client_check(
                        engine,
                        client.pointer(),
                        question.pointer(),
                        time.pointer(),
                        place,
                    );
                    let expected = wrongs
                        .is_empty()
                        .then(|| rust.check(&asked.question(), Some(self.now)));
                    resource = Some(asked);
                    (status, expected)
                }
                3 => {
                    let asked = Asked::question_only(bytes, &mut wrongs);
                    let question = asked.raw_question();
                    let status = tollbar_client_authorize(
                        engine,
                        client.pointer(),
                        question.action,
                        question.agent,
                        question.service,
                        place,
                    );
                    let expected = wrongs.is_empty().then(|| {
                        let question = asked.question();
                        rust.authorize(question.action, question.resource)
                    });
                    resource = Some(asked);
                    (status, expected)
                }
                4 => {
                    let mut time = self.time(bytes, &mut wrongs);
                    let status =
                        tollbar_client_admit(engine, client.pointer(), n, time.pointer(), place);
                    let expected = wrongs.is_empty().then(|| rust.admit(n, Some(self.now)));
                    (status, expected)
                }
                _ => {
                    let mut time = self.time(bytes, &mut wrongs);
                    let status = tollbar_client_reserve(
                        engine,
                        client.pointer(),
                        n,
                        max_wait,
                        time.pointer(),
                        place,
                    );
                    let wait = std::time::Duration::from_nanos(max_wait);
                    let expected = wrongs
                        .is_empty()
                        .then(|| rust.reserve(n, wait, Some(self.now)));
                    (status, expected)
                }
            }
        };
        match expected {
            None => answer.assert_refused(0, status, &wrongs),
            Some(expected) => {
                assert_eq!(status as u32, 0, "what is right was refused");
                let resource = resource.as_ref().map(Asked::resource).unwrap_or_default();
                answer.assert_is(0, &expected, resource);
            }
        }
    }

    fn admit_batch(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let count = usize::from(bytes.u8() % 4) + 1;
        let mut each = Vec::new();
        for _ in 0..count {
            let mut wrong = Vec::new();
            each.push((self.client(bytes, &mut wrong), amount(bytes), wrong));
        }
        let clients: Vec<_> = each.iter().map(|(client, ..)| client.0).collect();
        let ns: Vec<_> = each.iter().map(|&(_, n, _)| n).collect();
        let mut clients = Values::new(bytes, &clients, false, &mut wrongs);
        let mut ns = Values::new(bytes, &ns, false, &mut wrongs);
        let mut answers = Answer::room(bytes, count, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            tollbar_admit_batch(
                engine,
                clients.pointer(),
                ns.pointer(),
                count,
                time.pointer(),
                answers.pointer(),
            )
        };
        let of_each: Vec<_> = each.iter().map(|(.., wrongs)| wrongs).collect();
        answers.assert_each(status, &wrongs, &of_each, |i| {
            let ((_, identity), n, _) = &each[i];
            let client = self.rust.client(*identity);
            (client.admit(*n, Some(self.now)), Resource::default())
        });
    }

    fn admit_ips(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let charges: Vec<_> = (0..bytes.u8() % 4 + 1)
            .map(|_| tollbar_ip_charge {
                high: 0x2001_0db8_0001_0000 + u64::from(bytes.u8() % 3),
                low: bytes.u64(),
                n: amount(bytes),
            })
            .collect();
        let count = charges.len();
        let garbage = tollbar_admission {
            retry_after_ns: 0x5a5a,
            reason: 0x5a,
            method: 0x5a,
        };
        let expected = |charge: &tollbar_ip_charge| {
            let bits = (u128::from(charge.high) << 64) | u128::from(charge.low);
            let peer = CanonicalIp::v6(Ipv6Addr::from_bits(bits));
            self.rust.admit_peer(peer, charge.n, Some(self.now))
        };
        let assert_is = |said: tollbar_admission, expected: &Admission| {
            // SAFETY: static text.
            let reason = unsafe { asked::text(tollbar_reason_str(said.reason)) };
            assert_eq!(reason, expected.reason.as_str());
            let retry = expected.retry_after_ns.unwrap_or(TOLLBAR_NEVER);
            assert_eq!(said.retry_after_ns, retry);
        };
        if bytes.u8() & 1 == 0 {
            let charge = charges[0];
            // SAFETY: everything is as large as it says.
            let said = unsafe {
                tollbar_admit_ip(engine, charge.high, charge.low, charge.n, time.pointer())
            };
            if wrongs.is_empty() {
                assert_is(said, &expected(&charge));
            } else {
                assert_eq!((said.reason, said.method), (0, 0));
            }
            return;
        }
        let mut charges_there = Values::new(bytes, &charges, false, &mut wrongs);
        let mut admissions = Values::new(bytes, &vec![garbage; count], false, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            tollbar_admit_ips(
                engine,
                charges_there.pointer(),
                count,
                time.pointer(),
                admissions.pointer(),
            )
        };
        for (i, charge) in charges.iter().enumerate() {
            let said = admissions.read(i);
            if wrongs.is_empty() {
                assert_is(said.expect("it is there"), &expected(charge));
            } else if let Some(said) = said {
                assert_eq!((said.reason, said.method), (0, 0));
            }
        }
        let known = wrongs.iter().any(|wrong| *wrong as u32 == status as u32);
        assert_eq!(wrongs.is_empty(), status as u32 == 0);
        assert!(
            wrongs.is_empty() || known,
            "{} for {:?}",
            status as u32,
            numbers(&wrongs)
        );
    }

    fn reload(&mut self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let texts = CONFIGS.map(str::as_bytes);
        let yaml = Text::utf8(bytes, &texts, &mut wrongs);
        if yaml.raw().data.is_null() && wrongs.is_empty() {
            wrongs.push(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT);
        }
        // What the fuzzer writes itself may name files, hosts, or tables of any size.
        let usual = yaml.bytes().is_none_or(|yaml| texts.contains(&yaml));
        if !usual && wrongs.is_empty() {
            return;
        }
        let mut generation = 0;
        let mut report = others::ErrorReport::new(bytes, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            tollbar_reload_yaml(engine, yaml.raw(), &raw mut generation, report.pointer())
        };
        if !wrongs.is_empty() {
            report.assert_says(status, &wrongs);
            return;
        }
        match self.rust.reload_yaml(yaml.str().unwrap_or_default()) {
            Ok(new) => {
                assert_eq!((status as u32, generation), (0, new));
                report.assert_says(status, &[tollbar_status::TOLLBAR_STATUS_OK]);
            }
            Err(error) => {
                assert_eq!(status as u32, tollbar_status::TOLLBAR_STATUS_CONFIG as u32);
                report.assert_problems(&error);
            }
        }
    }
}

/// A question, or NULL for the default one, if that is what is asked.
fn optional_question(
    bytes: &mut Bytes<'_>,
    asked: &Asked,
    wrongs: &mut Wrongs,
) -> Structs<tollbar_question> {
    loop {
        let mut wrong = Vec::new();
        let mut question = Structs::input(bytes, asked.raw_question(), &mut wrong);
        // NULL is no error here, but another question.
        if !question.pointer().is_null() {
            wrongs.append(&mut wrong);
            return question;
        }
    }
}

/// A number of events: mostly few.
fn amount(bytes: &mut Bytes<'_>) -> u64 {
    match bytes.u8() {
        few @ 0..=199 => u64::from(few % 40),
        200..=239 => u64::from(bytes.u32()),
        _ => bytes.u64(),
    }
}

fn numbers(wrongs: &[tollbar_status]) -> Vec<u32> {
    wrongs.iter().map(|wrong| *wrong as u32).collect()
}

/// What stood there before is nobody's business.
const GARBAGE: tollbar_client = tollbar_client {
    opaque: [0x5a5a_5a5a_5a5a_5a5a; 10],
};

/// What a key's secret says of it: the same on both sides.
fn verdict(key: &[u8]) -> (u32, u32) {
    match key {
        b"good" => (1, 7),
        b"reads" => (1, 1),
        b"none" => (1, 0),
        b"down" => (0, 0),
        b"odd" => (1, 8),
        b"stranger" => (77, 7),
        _ => (2, 0),
    }
}

unsafe extern "C" fn verify(
    _: *mut c_void,
    id: tollbar_str,
    key: tollbar_str,
    privileges: *mut u32,
) -> u32 {
    // SAFETY: the header says that they are there.
    unsafe {
        let id = std::slice::from_raw_parts(id.data.cast::<u8>(), id.len);
        assert!(!id.contains(&b':'), "the id ends at the first colon");
        let (verdict, bits) = verdict(std::slice::from_raw_parts(key.data.cast(), key.len));
        assert_eq!(*privileges, 0);
        *privileges = bits;
        verdict
    }
}

struct Verify;

impl Verifier for Verify {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        match verdict(presented.key()) {
            (1, 7) => Ok(Privileges::ALL),
            (1, 1) => Ok([Privilege::ConfigAgentRead].into_iter().collect()),
            (1, 0) => Ok(Privileges::NONE),
            (2, _) => Err(VerifyError::Invalid),
            _ => Err(VerifyError::Unavailable("why".into())),
        }
    }
}
