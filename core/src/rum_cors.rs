//! Which pages may send to the RUM routes: `apm-server.rum.allow_origins` and `allow_headers`.
//!
//! Browsers ask before they send, and hide the answer from pages that are not allowed; who is not a browser can claim any origin.
//! So this protects no server, it keeps foreign pages from using visitors of theirs.
//!
//! Invariants: an answer takes time bounded by the lengths of pattern and origin multiplied, and no memory. Letters are compared in
//! ASCII without case, as scheme and host of an origin are; the rest byte by byte.

use crate::config::Config;

/// The cross-origin rules of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RumCors {
    origins: Vec<Box<str>>,
    headers: Vec<String>,
}

impl RumCors {
    /// The rules of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let origins = config.rum_allow_origins.iter();
        Self {
            origins: origins.map(|pattern| pattern.as_str().into()).collect(),
            headers: config.rum_allow_headers.clone(),
        }
    }

    /// Whether a page of this origin may send to the RUM routes. `origin` is the value of the header `Origin`; empty: there is none,
    /// which only `*` allows.
    #[must_use]
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), origin))
    }

    /// The headers that pages may send besides those that RUM agents do.
    #[must_use]
    pub fn allow_headers(&self) -> &[String] {
        &self.headers
    }
}

/// Whether the text is what the pattern says, `*` standing for any text, also for none.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star that was passed, and where the text went on after what the star stands for.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, t));
            }
            Some(byte) if byte.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                // The last star stands for one byte more. An earlier one need not be asked: what came before the last is found
                // as far left as can be.
                let Some((behind, from)) = &mut star else {
                    return false;
                };
                *from += 1;
                (p, t) = (*behind, *from);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(origins: &[&str]) -> RumCors {
        RumCors::new(&Config {
            rum_allow_origins: origins.iter().map(ToString::to_string).collect(),
            ..Config::default()
        })
    }

    #[test]
    fn by_default_every_page_may_send_and_what_names_no_origin_too() {
        let rules = RumCors::new(&Config::default());
        for origin in [&b"https://shop.example"[..], b"null", b""] {
            assert!(rules.allows(origin));
        }
        assert!(rules.allow_headers().is_empty());
    }

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        for (pattern, allowed, refused) in [
            (
                "https://shop.example",
                &["https://shop.example", "HTTPS://Shop.Example"][..],
                &[
                    "http://shop.example",
                    "https://shop.example.evil.example",
                    "https://shop.example:8443",
                    "https://shopxexample",
                    "xhttps://shop.example",
                    "",
                ][..],
            ),
            (
                "https://*.shop.example",
                &[
                    "https://a.shop.example",
                    "https://a.b.shop.example",
                    "https://.shop.example",
                ],
                &[
                    "https://shop.example",
                    "https://a.shop.example.evil.example",
                    "http://a.shop.example",
                ],
            ),
            (
                "http*://*.shop.*:*",
                &["http://a.shop.b:1", "https://a.shop.shop.b:8443"],
                &["https://a.shop.b", "ftp://a.shop.b:1"],
            ),
            ("*", &["", "null", "https://x"], &[]),
            ("**a*", &["a", "ba", "bab"], &["", "b"]),
            ("*ab*abc", &["ababc", "xabyababc"], &["abc", "ababcd"]),
        ] {
            let rules = rules(&["never", pattern]);
            for origin in allowed {
                assert!(rules.allows(origin.as_bytes()), "{pattern} {origin}");
            }
            for origin in refused {
                assert!(!rules.allows(origin.as_bytes()), "{pattern} {origin}");
            }
        }
    }

    #[test]
    fn an_empty_list_allows_no_page() {
        assert!(!rules(&[]).allows(b"https://shop.example"));
        assert!(!rules(&[]).allows(b""));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(200) + "*b";
        assert!(!rules(&[&pattern]).allows("a".repeat(10_000).as_bytes()));
    }
}
