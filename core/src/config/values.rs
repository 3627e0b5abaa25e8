//! Text -> value: booleans, numbers, durations, networks and URLs, as users of APM Server write them.
//!
//! Pure functions. A [`Mismatch`] says what was found only where that is more than "this text"; the caller shows the text, unless it may not.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, Uri};
use ipnet::{IpNet, Ipv4Net};

/// The text is not what the key takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Replaces the text where it says more, or where the text may hold a secret.
    pub found: Option<String>,
    pub hint: Option<String>,
}

impl Mismatch {
    pub fn hint(hint: impl Into<String>) -> Self {
        Self {
            found: None,
            hint: Some(hint.into()),
        }
    }
}

/// `true` and `false` of YAML 1.2, and the `yes`, `no`, `on`, `off` of YAML 1.1, which APM Server reads.
pub(super) fn boolean(text: &str) -> Result<bool, Mismatch> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
        "1" => Err(Mismatch::hint("did you mean `true`?")),
        "0" => Err(Mismatch::hint("did you mean `false`?")),
        _ => Err(Mismatch::default()),
    }
}

/// A pattern for what a browser sends as `Origin`: `*` stands for any text.
pub(super) fn origin(text: &str) -> Result<String, Mismatch> {
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(Mismatch::default()),
    }
}

/// The name of a header, as it was written.
pub(super) fn header_name(text: &str) -> Result<String, Mismatch> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Mismatch::default()),
    }
}

/// Decimal digits, which may be grouped by underscores. Leading zeros are refused: YAML 1.1 reads them as octal, YAML 1.2 does not.
pub(super) fn integer(text: &str, min: u64, max: u64) -> Result<u64, Mismatch> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let grouped = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !grouped {
        return Err(Mismatch::default());
    }
    let digits = digits.replace('_', "");
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Mismatch::hint("write it without leading zeros"));
    }
    match digits.parse::<u64>() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(Mismatch::default()),
    }
}

/// As Go writes durations (`1m30s`, `1.5h`, `500ms`). A bare number is seconds, as in APM Server.
pub(super) fn duration(text: &str, max: Duration) -> Result<Duration, Mismatch> {
    let nanos = nanoseconds(text).ok_or_else(Mismatch::default)?;
    let nanos = u64::try_from(nanos).map_err(|_| Mismatch::default())?;
    let value = Duration::from_nanos(nanos);
    if value.is_zero() || value > max {
        return Err(Mismatch::default());
    }
    Ok(value)
}

const SECOND: u128 = 1_000_000_000;

fn nanoseconds(text: &str) -> Option<u128> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, fraction, after) = number(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let scale = match &after[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            "" if total == 0 && fraction == 0 && text.bytes().all(|b| b.is_ascii_digit()) => SECOND,
            _ => return None,
        };
        // `fraction` is in billionths, both below 10^19: no product reaches 2^128.
        let part = whole * scale + fraction * scale / SECOND;
        total = total.checked_add(part)?;
        rest = &after[end..];
    }
    Some(total)
}

/// The number at the start of the text: whole part, fraction in billionths, and what follows.
fn number(text: &str) -> Option<(u128, u128, &str)> {
    let digits = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
    let whole_end = digits(text);
    let (whole, rest) = text.split_at(whole_end);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(digits(after)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 {
        return None;
    }
    let billionths: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let value = |t: &str| {
        if t.is_empty() {
            Some(0)
        } else {
            t.parse::<u128>().ok()
        }
    };
    Some((value(whole)?, value(&billionths)?, rest))
}

/// A network or a single address. Bits beyond the prefix are dropped; IPv4 written as IPv6 becomes IPv4.
pub(super) fn network(text: &str) -> Result<IpNet, Mismatch> {
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net.trunc(),
        (_, Ok(ip)) => IpNet::from(ip),
        _ => {
            let hint = text
                .contains('*')
                .then(|| "write a network such as 10.0.0.0/8".to_owned());
            return Err(Mismatch { found: None, hint });
        }
    };
    Ok(match net {
        IpNet::V6(v6) => v6
            .addr()
            .to_ipv4_mapped()
            .zip(v6.prefix_len().checked_sub(96))
            .and_then(|(ip, prefix)| Ipv4Net::new(ip, prefix).ok())
            .map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    })
}

/// The path of a URL, with a slash before and none after it; `/` alone is no path.
pub(super) fn url_path(text: &str) -> Result<String, Mismatch> {
    let inner = text.trim_matches('/');
    let path = if inner.is_empty() {
        String::new()
    } else {
        format!("/{inner}")
    };
    match format!("http://host{path}").parse::<Uri>() {
        Ok(uri) if uri.query().is_none() && !path.contains('#') => Ok(path),
        _ => Err(Mismatch::default()),
    }
}

/// A host of Elasticsearch as a full URL: what it leaves out is completed by `protocol`, `path` and port 9200.
pub(super) fn host(text: &str, protocol: &str, path: &str) -> Result<String, Mismatch> {
    if text.contains('@') {
        return Err(Mismatch {
            found: Some("a URL with a user name or password".into()),
            hint: Some("leave it out: API keys are verified with the client's own key".into()),
        });
    }
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{protocol}://{text}")
    };
    let uri: Uri = full.parse().map_err(|_| Mismatch::default())?;
    let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority())
    else {
        return Err(Mismatch::default());
    };
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => 9200,
        Some(_) => authority
            .port_u16()
            .filter(|p| *p > 0)
            .ok_or_else(Mismatch::default)?,
        None => return Err(Mismatch::default()),
    };
    if authority.host().is_empty() || uri.query().is_some() || full.contains('#') {
        return Err(Mismatch::default());
    }
    let own = uri.path().trim_end_matches('/');
    let path = if own.is_empty() { path } else { own };
    Ok(format!("{scheme}://{}:{port}{path}", authority.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_both_yaml_versions() {
        for text in ["true", "True", "TRUE", "yes", "on"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["false", "FALSE", "no", "Off"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "1", "0", "tRue", "y", "enabled"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_and_names_of_headers_are_what_a_browser_can_send() {
        for text in [
            "*",
            "null",
            "https://*.shop.example:8443",
            "https://shop.example/",
        ] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in ["", "https://a b", "https://b\u{fc}cher.example", "x\r\ny"] {
            assert!(origin(text).is_err(), "{text:?}");
        }
        assert_eq!(header_name("X-Trace").as_deref(), Ok("X-Trace"));
        for text in ["", "X Y", "X:", "X\r\nY: z", "*é"] {
            assert!(header_name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn integers_hold_their_range() {
        for (text, n) in [("1", 1), ("+7", 7), ("1_000", 1000), ("1000", 1000)] {
            assert_eq!(integer(text, 1, 1000), Ok(n));
        }
        for text in [
            "0",
            "1001",
            "-1",
            "",
            "+",
            "_1",
            "1_",
            "1__0",
            "0x10",
            "1e3",
            "1.0",
            "1,000",
            " 1",
            "010",
            "99999999999999999999999",
        ] {
            assert!(integer(text, 1, 1000).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go_and_bare_numbers_are_seconds() {
        let hour = Duration::from_secs(3600);
        for (text, millis) in [
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("500ms", 500),
            ("2000us", 2),
            ("2000µs", 2),
            ("1h", 3_600_000),
            ("30", 30_000),
            ("1m0.25s", 60_250),
        ] {
            assert_eq!(
                duration(text, hour),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "10",
            "0",
            "0s",
            "-1s",
            "10 s",
            "1d",
            "1s30",
            "1.5",
            ".",
            ".s",
            "2h",
            "99999999999999999999h",
            "999999999999999999h999999999999999999h",
            "1ss",
        ] {
            let longest = if text == "10" {
                Duration::from_secs(9)
            } else {
                hour
            };
            assert!(duration(text, longest).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_cidrs_or_addresses() {
        for (text, net) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), net);
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "10.0.0.1:80",
            "[::1]",
            "10.*",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_completed_and_hold_no_user() {
        for (text, url) in [
            ("https://es.example:9243", "https://es.example:9243"),
            ("http://es.example/", "http://es.example:9200"),
            ("localhost:9200", "http://localhost:9200"),
            ("localhost", "http://localhost:9200"),
            (
                "https://[2001:db8::1]:9200/path",
                "https://[2001:db8::1]:9200/path",
            ),
        ] {
            assert_eq!(host(text, "http", "").as_deref(), Ok(url));
        }
        assert_eq!(
            host("es", "https", "/p").as_deref(),
            Ok("https://es:9200/p")
        );
        for text in [
            "",
            "ftp://es",
            "https://",
            "http://es:0",
            "http://es:99999",
            "http://es:",
            "http://es/?q=1",
            "http://es/#f",
            "http://e s",
            "http://elastic:hunter2@es",
            "es:port",
            "http://:9200",
        ] {
            let error = host(text, "http", "").unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_path_begins_with_a_slash_and_ends_without() {
        assert_eq!(url_path("a/b/").as_deref(), Ok("/a/b"));
        assert_eq!(url_path("/").as_deref(), Ok(""));
        for text in ["/a?b", "/a#b", "/a b"] {
            assert!(url_path(text).is_err());
        }
    }
}
