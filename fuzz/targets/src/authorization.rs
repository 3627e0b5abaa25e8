//! Authorization headers of any bytes, against a reference of SPEC 2: who gets in, by what method, or why not.
//!
//! An input is one byte that chooses configuration and way in, and the header's value.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError, hash_key};
use tollbar::{Action, Engine, Method, Question, Reason, Request};

use crate::bytes::Bytes;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
/// The secret tokens of all configurations that have some; one of them looks like two words to whoever splits too often.
const TOKENS: [&str; 3] = ["correct-horse-battery-staple", "t", "==token=="];
/// The local API key. It may ingest, and no more.
const ID: &str = "fuzz";
const KEY: &str = "not-a-secret-0123456789";
/// The longest credential that is looked at.
const LONGEST: usize = 1024;

/// A configuration, and what the reference has to know of it.
struct Case {
    engine: Engine,
    tokens: bool,
    /// `None`: not enabled.
    keys: Option<Keys>,
    anonymous: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Local,
    /// Whatever is well-formed verifies.
    Custom,
}

thread_local! {
    static CASES: RefCell<Cases> = RefCell::new(Cases::new());
}

/// The configurations, and how many inputs they have seen.
struct Cases {
    cases: [Case; 8],
    inputs: u64,
}

impl Cases {
    /// As many as hours fit the clock, and some to spare.
    const MOST_INPUTS: u64 = 1_000_000;
    const HOUR: u64 = 3_600_000_000_000;

    fn new() -> Self {
        Self {
            cases: [
                case(true, Some(Keys::Local), true),
                case(true, Some(Keys::Custom), false),
                case(true, None, true),
                case(true, None, false),
                case(false, Some(Keys::Local), false),
                case(false, Some(Keys::Custom), true),
                case(false, None, false),
                case(false, None, true),
            ],
            inputs: 0,
        }
    }

    /// One of them, and the time. Verdicts last for a minute, and so do budgets: each input has an hour of its own.
    fn next(&mut self, choice: u8) -> (&Case, u64) {
        if self.inputs == Self::MOST_INPUTS {
            *self = Self::new();
        }
        self.inputs += 1;
        (
            &self.cases[usize::from(choice & 7)],
            self.inputs * Self::HOUR,
        )
    }
}

fn case(tokens: bool, keys: Option<Keys>, anonymous: bool) -> Case {
    let mut yaml = format!("apm-server.auth.anonymous.enabled: {anonymous}\n");
    if tokens {
        yaml += &format!("apm-server.auth.secret_token: {TOKENS:?}\n");
    }
    if keys.is_some() {
        yaml += "apm-server.auth.api_key.enabled: true\n";
    }
    if keys == Some(Keys::Local) {
        let hash = hash_key(ID, KEY.as_bytes()).unwrap();
        yaml += &format!(
            "apm-server.auth.api_key.keys: [{{id: {ID}, hash: '{hash}', privileges: 'event:write'}}]\n"
        );
    }
    let engine = Engine::from_yaml(&yaml).unwrap();
    if keys == Some(Keys::Custom) {
        engine.set_verifier(Some(Arc::new(Echo))).unwrap();
    }
    Case {
        engine,
        tokens,
        keys,
        anonymous,
    }
}

thread_local! {
    /// What the reference took the credential apart into.
    static EXPECTED: RefCell<Option<(String, Vec<u8>)>> = const { RefCell::new(None) };
}

/// Verifies every key, but sees to it that it was taken apart rightly.
struct Echo;

impl Verifier for Echo {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        let found = (presented.id().to_owned(), presented.key().to_vec());
        EXPECTED.with_borrow(|expected| assert_eq!(expected.as_ref(), Some(&found)));
        Ok(Privileges::ALL)
    }
}

/// See the module's documentation.
pub fn authorization(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    CASES.with_borrow_mut(|cases| {
        let (case, now) = cases.next(choice);
        let in_headers = choice >> 3 & 1 == 1;
        check(case, in_headers, bytes.rest(), Some(now));
    });
}

fn check(case: &Case, in_headers: bool, value: &[u8], now: Option<u64>) {
    let headers: [(&[u8], &[u8]); 3] = [
        (b"X-Authorization", b"Bearer t"),
        (b"aUTHORIZATION", value),
        (b"Authorization", b"Bearer t"),
    ];
    let request = Request {
        authorization: (!in_headers).then_some(value),
        headers: if in_headers { &headers } else { &[] },
        ..Request::from_peer(PEER)
    };

    let expected = reference(case, value);
    let decision = case.engine.verify(&request, now).decision();
    assert_eq!(
        (decision.method, decision.reason),
        match expected {
            Ok(method) => (Some(method), Reason::Allowed),
            Err(reason) => (None, reason),
        }
    );
    let refused = matches!(decision.http_status(), 401);
    assert_eq!(refused, expected.is_err());
    assert_eq!(refused, decision.www_authenticate().is_some());

    let ingest = case.engine.check(
        &request,
        &Question {
            cost: 0,
            ..Question::default()
        },
        now,
    );
    let sourcemap = case.engine.check(
        &request,
        &Question {
            action: Action::Sourcemap,
            cost: 0,
            ..Question::default()
        },
        now,
    );
    match expected {
        Err(Reason::InvalidApiKey) if case.keys == Some(Keys::Custom) => {
            // Not a key at all, so nobody needs to be asked.
            assert_eq!(ingest.reason, Reason::InvalidApiKey);
        }
        Err(reason) => assert_eq!((ingest.reason, sourcemap.reason), (reason, reason)),
        Ok(Method::Anonymous) => {
            assert_eq!(ingest.reason, Reason::AgentNotAllowed);
            assert_eq!(sourcemap.reason, Reason::AnonymousNotPermitted);
        }
        Ok(Method::ApiKey) if case.keys == Some(Keys::Local) => {
            assert!(ingest.allowed());
            assert_eq!(sourcemap.reason, Reason::MissingPrivilege);
        }
        // The verdict is remembered: nothing is pending any more.
        Ok(_) => assert!(ingest.allowed() && sourcemap.allowed()),
    }
}

/// SPEC 2, in its own order.
fn reference(case: &Case, value: &[u8]) -> Result<Method, Reason> {
    EXPECTED.set(None);
    if !case.tokens && case.keys.is_none() {
        return Ok(Method::None);
    }
    let text = trimmed(value);
    let Some(space) = text.iter().position(|&byte| byte == b' ') else {
        return if case.anonymous {
            Ok(Method::Anonymous)
        } else {
            Err(Reason::MissingCredential)
        };
    };
    let (scheme, credential) = (text[..space].to_ascii_lowercase(), &text[space + 1..]);
    match scheme.as_slice() {
        b"bearer" => {
            let valid = TOKENS.iter().any(|token| token.as_bytes() == credential);
            if case.tokens && valid {
                Ok(Method::SecretToken)
            } else {
                Err(Reason::InvalidToken)
            }
        }
        b"apikey" => {
            let keys = case.keys.ok_or(Reason::ApiKeyNotConfigured)?;
            let key = presented(credential).ok_or(Reason::InvalidApiKey)?;
            let valid = keys == Keys::Custom || key == (ID.to_owned(), KEY.as_bytes().to_vec());
            EXPECTED.set(Some(key));
            if valid {
                Ok(Method::ApiKey)
            } else {
                Err(Reason::InvalidApiKey)
            }
        }
        _ => Err(Reason::UnknownScheme),
    }
}

/// Without HTTP's optional white space around it.
fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value.iter().position(|byte| !blank(byte));
    let end = value.iter().rposition(|byte| !blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &value[start..=end],
        _ => &[],
    }
}

/// `base64(id:key)`, bit by bit.
fn presented(credential: &[u8]) -> Option<(String, Vec<u8>)> {
    if credential.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(credential).ok()?;
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let missing = (4 - body.len() % 4) % 4;
    if missing == 3 || padding != 0 && padding != missing {
        return None;
    }
    let mut bits = Vec::new();
    for c in body.chars() {
        let value = match c {
            'A'..='Z' => c as u32 - 'A' as u32,
            'a'..='z' => c as u32 - 'a' as u32 + 26,
            '0'..='9' => c as u32 - '0' as u32 + 52,
            '+' => 62,
            '/' => 63,
            _ => return None,
        };
        bits.extend((0..6).rev().map(|bit| value >> bit & 1 == 1));
    }
    let whole = bits.len() / 8 * 8;
    if bits[whole..].contains(&true) {
        return None;
    }
    let byte = |bits: &[bool]| {
        bits.iter()
            .fold(0u8, |byte, &bit| byte << 1 | u8::from(bit))
    };
    let decoded: Vec<u8> = bits[..whole].chunks(8).map(byte).collect();
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let id = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    let key = decoded[colon + 1..].to_vec();
    (!id.is_empty() && !key.is_empty()).then_some((id, key))
}
