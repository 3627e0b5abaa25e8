//! Calls that decide nothing: statistics, texts, refusals, configurations that a program builds, and what needs no engine.

use std::ffi::c_char;

use tollbar::config::ConfigError;
use tollbar_ffi::*;

use super::asked::text;
use super::memory::{Structs, Text, Values, Wrongs, assert_like_snprintf};
use super::{Both, numbers};
use crate::bytes::Bytes;

impl Both {
    /// Both have counted the same.
    pub(super) fn compare_stats(&self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let mut time = self.time(bytes, &mut wrongs);
        let mut place = Structs::outputs(bytes, &[stats(0xff)], &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe { tollbar_engine_stats(engine, time.pointer(), place.pointer()) };
        place.assert_untouched();
        if !wrongs.is_empty() {
            assert_is_one_of(status, &wrongs);
            return;
        }
        assert_eq!(status as u32, 0);
        let said = place.read(0).expect("it is there");
        let expected = self.rust.stats_at(Some(self.now));
        assert_eq!(said.generation, expected.generation);
        assert_eq!(said.reload_errors, expected.reload_errors);
        assert_eq!(said.ip_limit, u64::from(expected.ip_limit));
        assert_eq!(
            said.displaced_clients, 0,
            "there are more counters than clients"
        );
        for (method, count) in expected.allowed {
            let names = (0..8_u8).filter(|&number| {
                // SAFETY: static text.
                unsafe { text(tollbar_method_str(number)) == method.as_str() }
            });
            let counted: Vec<_> = names
                .map(|number| said.allowed[usize::from(number)])
                .collect();
            assert_eq!(counted, [count], "{method:?}");
        }
        for (reason, count) in expected.refused {
            let names = (0..32_u8).filter(|&number| {
                // SAFETY: static text.
                unsafe { text(tollbar_reason_str(number)) == reason.as_str() }
            });
            let counted: Vec<_> = names
                .map(|number| said.refused[usize::from(number)])
                .collect();
            assert_eq!(counted, [count], "{reason:?}");
        }
        let keys = expected.api_keys;
        assert_eq!(said.verifications_started, keys.started);
        assert_eq!(said.verifications_unavailable, keys.unavailable);
        assert_eq!(said.verifications_over_budget, keys.over_budget);
        assert_eq!(said.valid_keys_held, keys.valid_held);
        assert_eq!(said.invalid_keys_held, keys.invalid_held);
    }

    /// Texts of every kind, into buffers of every length.
    pub(super) fn texts(&self, bytes: &mut Bytes<'_>) {
        type Tell = unsafe extern "C" fn(*const tollbar_engine, *mut c_char, usize) -> usize;
        let tell: [Tell; 6] = [
            tollbar_engine_prometheus,
            tollbar_engine_reloads_json,
            tollbar_engine_warnings,
            tollbar_engine_files,
            tollbar_engine_verification_error,
            tollbar_engine_allow_headers,
        ];
        let which = usize::from(bytes.u8()) % tell.len();
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let told = assert_like_snprintf(bytes, |buffer, capacity| {
            // SAFETY: the buffer has that capacity.
            unsafe { tell[which](engine, buffer, capacity) }
        });
        if !wrongs.is_empty() {
            assert_eq!(told, "");
            return;
        }
        let stats = self.rust.stats();
        match which {
            0 => {
                let names = |page: &str| -> Vec<String> {
                    let lines = page.lines().filter(|line| !line.starts_with('#'));
                    lines
                        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
                        .collect()
                };
                assert_eq!(names(&told), names(&stats.prometheus().to_string()));
            }
            1 => {
                assert!(told.starts_with('[') && told.ends_with(']'));
                let taken = told.matches("\"taken\":").count();
                assert_eq!(taken, stats.reloads.len());
            }
            2 => {
                let lines = told.lines().count();
                assert!(lines >= self.rust.warnings().len());
            }
            3 => assert_eq!(told, ""),
            4 => assert_eq!(told.is_empty(), stats.api_keys.last_error.is_none()),
            _ => assert_eq!(told, self.rust.rum_cors().allow_headers().join(", ")),
        }
        let origin = Text::new(
            bytes,
            &[b"http://a.shop", b"https://a.shop", b""],
            &mut wrongs,
        );
        // SAFETY: the text is there.
        let allowed = unsafe { tollbar_engine_allows_origin(engine, origin.raw()) };
        let expected = self
            .rust
            .rum_cors()
            .allows(origin.bytes().unwrap_or_default());
        assert_eq!(allowed, wrongs.is_empty() && expected);
    }

    /// As many as there is room for, the latest; nothing beyond.
    pub(super) fn refusals(&self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let engine = self.engine(bytes, &mut wrongs);
        let capacity = usize::from(bytes.u8() % 20);
        let mut wrong = Vec::new();
        let mut place = Structs::outputs(bytes, &vec![refusal(0x5a); capacity.max(1)], &mut wrong);
        if capacity != 0 {
            wrongs.append(&mut wrong);
        }
        let mut count = Values::new(bytes, &[usize::MAX], false, &mut wrongs);
        let mut total = Values::new(bytes, &[usize::MAX], true, &mut wrongs);
        // SAFETY: everything is as large as it says.
        let status = unsafe {
            tollbar_engine_refusals(
                engine,
                place.pointer(),
                capacity,
                count.pointer(),
                total.pointer(),
            )
        };
        place.assert_untouched();
        if !wrongs.is_empty() {
            assert_is_one_of(status, &wrongs);
            return;
        }
        assert_eq!(status as u32, 0);
        let count = count.read(0).expect("it is there");
        assert!(count <= capacity);
        if let Some(total) = total.read(0) {
            assert_eq!(count, total.min(capacity));
            assert!(total <= TOLLBAR_REFUSALS);
        }
        for i in 0..count {
            let refusal = place.read(i).expect("it is there");
            assert!((2..16).contains(&refusal.reason), "{}", refusal.reason);
            for name in [refusal.agent, refusal.service, refusal.credential_id] {
                let len = usize::from(name.len);
                assert!(len <= 64 && name.data[len] == 0, "no NUL at its end");
                assert!(name.known != 0 || len == 0);
            }
        }
    }

    /// A configuration with numbers and texts of every kind: it is taken, or everything that is wrong is told.
    pub(super) fn build_config(&self, bytes: &mut Bytes<'_>) {
        let mut wrongs = Vec::new();
        let mut texts = Vec::new();
        for _ in 0..bytes.u8() % 4 {
            let usual: [&[u8]; 4] = [b"first-token", b"shop", b"*", b""];
            texts.push(Text::new(bytes, &usual, &mut Vec::new()));
        }
        let strs: Box<[tollbar_str]> = texts.iter().map(Text::raw).collect();
        let list = |bytes: &mut Bytes<'_>| match bytes.u8() % 8 {
            0 => (strs.as_ptr(), strs.len()),
            1 => (std::ptr::null(), usize::from(bytes.u8())),
            _ => (std::ptr::null(), 0),
        };
        let networks = [tollbar_network {
            ip: tollbar_ip {
                bytes: std::array::from_fn(|_| bytes.u8()),
                family: bytes.u8() % 8,
            },
            prefix: bytes.u8(),
        }];
        let keys = [tollbar_local_key {
            id: strs.first().copied().unwrap_or(NONE),
            hash: strs.last().copied().unwrap_or(NONE),
            privileges: u32::from(bytes.u8() % 16),
        }];
        let pem = tollbar_pem {
            file: NONE,
            text: NONE,
        };
        let (secret_tokens, secret_tokens_len) = list(bytes);
        let (allow_agent, allow_agent_len) = list(bytes);
        let (allow_service, allow_service_len) = list(bytes);
        let (rum_allow_origins, rum_allow_origins_len) = list(bytes);
        let (rum_allow_headers, rum_allow_headers_len) = list(bytes);
        let config = tollbar_config {
            size: size_of::<tollbar_config>(),
            secret_tokens,
            secret_tokens_len,
            allow_agent,
            allow_agent_len,
            allow_service,
            allow_service_len,
            rum_allow_origins,
            rum_allow_origins_len,
            rum_allow_headers,
            rum_allow_headers_len,
            trusted_proxies: networks.as_ptr(),
            trusted_proxies_len: usize::from(bytes.u8() & 1),
            api_keys: keys.as_ptr(),
            api_keys_len: usize::from(bytes.u8() & 1),
            elasticsearch_hosts: std::ptr::null(),
            elasticsearch_hosts_len: 0,
            elasticsearch_authorities: std::ptr::null(),
            elasticsearch_authorities_len: 0,
            elasticsearch_certificate: pem,
            elasticsearch_key: pem,
            elasticsearch_timeout_ns: bytes.u64() >> (bytes.u8() & 63),
            // Larger tables take their time.
            ip_limit: u32::from(bytes.u8()),
            event_limit: bytes.u32() >> (bytes.u8() & 31),
            burst_multiplier: bytes.u32() >> (bytes.u8() & 31),
            api_key_limit: u32::from(bytes.u8()),
            ipv6_prefix: bytes.u8(),
            anonymous: bytes.u8() & 3,
            any_agent: bytes.u8() & 3,
            rum_enabled: bytes.u8() & 3,
            api_key_enabled: bytes.u8() & 3,
            elasticsearch_ssl: bytes.u8() & 3,
            elasticsearch_tls_check: bytes.u8() & 7,
        };
        let mut place = Structs::input(bytes, config, &mut wrongs);
        if place.pointer().is_null() {
            // That stands for the default.
            wrongs.clear();
        }
        let mut report = ErrorReport::new(bytes, &mut wrongs);
        let mut engine = std::ptr::dangling_mut();
        // SAFETY: everything is as large as it says; an engine that was made is freed.
        unsafe {
            let status =
                tollbar_engine_from_config(place.pointer(), &raw mut engine, report.pointer());
            if report.is_fine() {
                assert_eq!(engine.is_null(), status as u32 != 0);
            }
            if !wrongs.is_empty() {
                assert_ne!(status as u32, 0);
                return;
            }
            if status as u32 == tollbar_status::TOLLBAR_STATUS_CONFIG as u32 {
                report.assert_some_problems();
            } else {
                report.assert_says(status, &[status]);
            }
            if status as u32 == 0 {
                assert_ne!(tollbar_engine_verification_timeout(engine), 0);
                tollbar_engine_free(engine);
            }
        }
    }
}

const NONE: tollbar_str = tollbar_str {
    data: std::ptr::null(),
    len: 0,
};

/// Where a failure is told, in buffers of any length.
pub(super) struct ErrorReport {
    place: Structs<tollbar_error>,
    text: Box<[u8]>,
    json: Box<[u8]>,
    fine: bool,
}

impl ErrorReport {
    pub(super) fn new(bytes: &mut Bytes<'_>, wrongs: &mut Wrongs) -> Self {
        let mut buffer = || vec![0x5a_u8; usize::from(bytes.u8()) * 4].into_boxed_slice();
        let (mut text, mut json) = (buffer(), buffer());
        let pointer = |buffer: &mut [u8]| {
            if buffer.is_empty() {
                std::ptr::null_mut()
            } else {
                buffer.as_mut_ptr().cast()
            }
        };
        let error = tollbar_error {
            size: size_of::<tollbar_error>(),
            text: pointer(&mut text),
            text_capacity: text.len(),
            text_len: usize::MAX,
            json: pointer(&mut json),
            json_capacity: json.len(),
            json_len: usize::MAX,
            problems: usize::MAX,
            status: u32::MAX,
        };
        let mut wrong = Vec::new();
        let mut place = Structs::outputs(bytes, &[error], &mut wrong);
        // NULL is fine.
        if !place.pointer().is_null() {
            wrongs.extend_from_slice(&wrong);
        }
        let fine = wrong.is_empty() || place.pointer().is_null();
        Self {
            place,
            text,
            json,
            fine,
        }
    }

    pub(super) fn pointer(&mut self) -> *mut tollbar_error {
        self.place.pointer()
    }

    pub(super) fn is_fine(&self) -> bool {
        self.fine
    }

    /// What was told, if there was a place for it.
    fn told(&self) -> Option<(tollbar_error, String, String)> {
        self.place.assert_untouched();
        if !self.fine {
            return None;
        }
        let error = self.place.read(0)?;
        let cut = |buffer: &[u8], len: usize| {
            let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(0);
            assert!(buffer.is_empty() || buffer[end] == 0, "no NUL at its end");
            assert!(
                end <= len && (end == len || end + 4 >= buffer.len()),
                "cut too early"
            );
            String::from_utf8(buffer[..end].to_vec()).expect("cut within a character")
        };
        let (text, json) = (
            cut(&self.text, error.text_len),
            cut(&self.json, error.json_len),
        );
        Some((error, text, json))
    }

    /// The status is one of these, and told.
    pub(super) fn assert_says(&self, status: tollbar_status, expected: &[tollbar_status]) {
        assert_is_one_of(status, expected);
        if let Some((error, text, _)) = self.told() {
            assert_eq!(error.status, status as u32);
            assert_eq!(error.problems, 0);
            assert!(status as u32 != 0 || text.is_empty());
        }
    }

    pub(super) fn assert_some_problems(&self) {
        if let Some((error, ..)) = self.told() {
            assert_eq!(error.status, tollbar_status::TOLLBAR_STATUS_CONFIG as u32);
            assert!(error.problems > 0 && error.text_len > 0 && error.json_len > 0);
        }
    }

    /// The same problems as in Rust.
    pub(super) fn assert_problems(&self, expected: &ConfigError) {
        self.assert_some_problems();
        if let Some((error, text, _)) = self.told() {
            assert_eq!(error.problems, expected.problems.len());
            let whole = expected.to_string();
            assert_eq!(error.text_len, whole.len());
            assert!(whole.starts_with(&text), "another text");
        }
    }
}

fn assert_is_one_of(status: tollbar_status, expected: &[tollbar_status]) {
    let known = expected.iter().any(|known| *known as u32 == status as u32);
    assert!(known, "{} for {:?}", status as u32, numbers(expected));
}

/// Statistics, each byte of which is this.
fn stats(byte: u8) -> tollbar_stats {
    let mut stats = std::mem::MaybeUninit::<tollbar_stats>::uninit();
    // SAFETY: every pattern of bits is one.
    unsafe {
        stats.as_mut_ptr().write_bytes(byte, 1);
        stats.assume_init()
    }
}

/// A refusal, each byte of which is this.
fn refusal(byte: u8) -> tollbar_refusal {
    let mut refusal = std::mem::MaybeUninit::<tollbar_refusal>::uninit();
    // SAFETY: every pattern of bits is one.
    unsafe {
        refusal.as_mut_ptr().write_bytes(byte, 1);
        refusal.assume_init()
    }
}

/// What needs no engine.
pub(super) fn small(bytes: &mut Bytes<'_>) {
    let mut wrongs = Vec::new();
    let usual: [&[u8]; 6] = [
        b"203.0.113.9",
        b"[2001:db8::1]:8200",
        b"fe80::1%eth0",
        b"::ffff:1.2.3.4",
        b"1.2.3.4:",
        b"watch",
    ];
    let name = Text::new(bytes, &usual, &mut wrongs);
    let garbage = tollbar_ip {
        bytes: [0x5a; 16],
        family: 0x5a,
    };
    let mut place = Values::new(bytes, &[garbage], false, &mut wrongs);
    // SAFETY: everything is as large as it says.
    unsafe {
        let status = tollbar_ip_parse(name.raw(), place.pointer());
        match place.read(0) {
            Some(ip) if status as u32 == 0 => {
                assert!(wrongs.is_empty() && matches!(ip.family, 4 | 6));
            }
            Some(ip) => assert!(
                ip.family == 0 && ip.bytes == [0; 16],
                "an address all the same"
            ),
            None => assert_ne!(status as u32, 0),
        }
        let known = [&b"elasticsearch"[..], b"watch", b"prometheus"];
        let expected = name.bytes().is_some_and(|name| known.contains(&name));
        let fine = name.raw().len <= isize::MAX as usize;
        assert_eq!(tollbar_has_feature(name.raw()), fine && expected);

        let number = bytes.u8();
        for said in [
            tollbar_reason_str(number),
            tollbar_method_str(number),
            tollbar_action_str(number),
            tollbar_status_str(bytes.u32()),
        ] {
            assert!(!text(said).is_empty());
        }
        let client: [u8; 16] = std::array::from_fn(|_| bytes.u8());
        let prefix = bytes.u8();
        let told = assert_like_snprintf(bytes, |buffer, capacity| {
            tollbar_client_text(client.as_ptr(), prefix, buffer, capacity)
        });
        assert!(told.len() < TOLLBAR_CLIENT_TEXT);
        assert_eq!(
            tollbar_client_text(std::ptr::null(), prefix, std::ptr::null_mut(), 0),
            0
        );
    }
}
