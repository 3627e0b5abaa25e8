//! `base64(id:key)` -> id and key: what a client presents as its API key.
//!
//! # Invariants
//!
//! - One key has one text: padding is taken off first (it may be there or not, and nothing in between), the alphabet is
//!   the standard one, and bits that no byte needs must be zero. So the text can stand for the key in the verdict cache.
//! - A decoded key lives on the stack, never moves, and is overwritten when it is done with.
//! - Any bytes will do, and nothing is allocated.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::{Zeroize, Zeroizing};

/// The longest credential that is looked at, in bytes of base64. Elasticsearch's have 60.
pub(crate) const MAX_CREDENTIAL: usize = 1024;
const MAX_DECODED: usize = MAX_CREDENTIAL / 4 * 3;

const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The text of a credential without its padding; not decoded yet.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'a>(&'a [u8]);

impl<'a> Encoded<'a> {
    /// `None`: the text is too long, or its length or padding is none of base64's.
    pub(crate) fn new(presented: &'a [u8]) -> Option<Self> {
        let mut text = presented;
        while let [rest @ .., b'='] = text {
            text = rest;
        }
        let padding = presented.len() - text.len();
        let fits = matches!((text.len() % 4, padding), (0 | 2 | 3, 0) | (2, 2) | (3, 1));
        (fits && !text.is_empty() && presented.len() <= MAX_CREDENTIAL).then_some(Self(text))
    }

    /// The text: it identifies the key.
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Hands the key to `use_it`; `None` if the text is not base64 of `id:key`, with neither of the two empty.
    #[inline]
    pub(crate) fn decode<T>(&self, use_it: impl FnOnce(PresentedKey<'_>) -> T) -> Option<T> {
        let mut buffer = [0; MAX_DECODED];
        let decoded = UNPADDED.decode_slice(self.0, &mut buffer);
        let used = decoded.map(|len| split(&buffer[..len]).map(use_it));
        // What fails half-way has been decoded so far as well, but never beyond what the text can hold.
        let touched = (self.0.len() / 4 * 3 + 3).min(MAX_DECODED);
        buffer[..touched].zeroize();
        used.ok().flatten()
    }
}

fn split(decoded: &[u8]) -> Option<PresentedKey<'_>> {
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (id, key) = (&decoded[..colon], &decoded[colon + 1..]);
    let id = std::str::from_utf8(id).ok()?;
    (!id.is_empty() && !key.is_empty()).then_some(PresentedKey { id, key })
}

/// An API key as a client presented it. Nothing of it has been verified. `Debug` shows the id only.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    id: &'a str,
    key: &'a [u8],
}

impl<'a> PresentedKey<'a> {
    /// A key with this id and secret; `None` if one of them is empty, the id holds a colon, or both are too long together.
    #[must_use]
    pub fn new(id: &'a str, key: &'a [u8]) -> Option<Self> {
        let fits = id.len() + 1 + key.len() <= MAX_DECODED;
        (fits && !id.is_empty() && !id.contains(':') && !key.is_empty()).then_some(Self { id, key })
    }

    /// What stands before the first colon. No secret, and no proof of anything.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// The secret: what stands after the first colon.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The credential in base64, padded: what stands after `ApiKey ` in the authorization header. Overwritten when dropped.
    #[must_use]
    pub fn credential(&self) -> Zeroizing<String> {
        let joined = Zeroizing::new([self.id.as_bytes(), b":", self.key].concat());
        Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*joined))
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(presented: &[u8]) -> Option<(String, Vec<u8>)> {
        Encoded::new(presented)?.decode(|key| (key.id().to_owned(), key.key().to_vec()))
    }

    #[test]
    fn id_and_key_are_split_at_the_first_colon() {
        let some = |id: &str, key: &[u8]| Some((id.to_owned(), key.to_vec()));
        // With padding and without it.
        assert_eq!(decode(b"aWQ6a2V5"), some("id", b"key"));
        assert_eq!(decode(b"aWQ6aw=="), some("id", b"k"));
        assert_eq!(decode(b"aWQ6aw"), some("id", b"k"));
        assert_eq!(decode(b"aWQ6a2U="), some("id", b"ke"));
        assert_eq!(decode(b"aWQ6a2U"), some("id", b"ke"));
        // id:a:b, i:: and a key that is not text
        assert_eq!(decode(b"aWQ6YTpi"), some("id", b"a:b"));
        assert_eq!(decode(b"aTo6"), some("i", b":"));
        assert_eq!(decode(b"aWQ6//79"), some("id", b"\xff\xfe\xfd"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (presented, why) in [
            (&b"aWQ6aw="[..], "half of the padding"),
            (b"aWQ6a2V5=", "padding where none belongs"),
            (b"aWQ6a2V5====", "a group of padding"),
            (b"aWQ6a2==", "as many bits over as a byte"),
            (b"aWQ6ax==", "bits over that are not zero"),
            (b"aWQ6a2V5a", "a length that base64 has not"),
            (b"aWQ6a2V-", "the alphabet for URLs"),
            (b"aWQ6 a2V5", "a space"),
            (b"aW=Q6a2V5", "padding in the middle"),
            (b"====", "only padding"),
            (b"", "nothing"),
            (b"aWRrZXk=", "no colon"),
            (b"OmtleQ==", "no id"),
            (b"aWQ6", "no key"),
            (b"/zpr", "an id that is not UTF-8"),
        ] {
            assert_eq!(decode(presented), None, "{why}");
        }
    }

    #[test]
    fn a_credential_has_at_most_1024_bytes() {
        let longest = [&b"aWQ6"[..], &[b'a'; MAX_CREDENTIAL - 4]].concat();
        assert_eq!(decode(&longest).unwrap().1.len(), MAX_DECODED - 3);
        let longer = [&longest[..], b"aaaa"].concat();
        assert_eq!(decode(&longer), None);
    }

    #[test]
    fn debug_shows_the_id_only() {
        let key = PresentedKey::new("id", b"hunter2").unwrap();
        assert_eq!(format!("{key:?}"), r#"PresentedKey { id: "id", .. }"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(presented: Vec<u8>) {
            if let Some((id, key)) = decode(&presented) {
                prop_assert!(!id.is_empty() && !id.contains(':') && !key.is_empty());
            }
        }

        /// Two texts that decode alike are one text, but for the padding: no key can take two places in the cache. (Half of them
        /// begin with `id:`, or hardly one would be a key.)
        #[test]
        fn one_key_has_one_text(text in "(aWQ6)?[A-Za-z0-9+/]{1,12}={0,3}") {
            if let (Some(encoded), Some((id, key))) = (Encoded::new(text.as_bytes()), decode(text.as_bytes())) {
                let again = PresentedKey::new(&id, &key).unwrap().credential();
                prop_assert_eq!(again.trim_end_matches('=').as_bytes(), encoded.as_bytes());
            }
        }

        #[test]
        fn what_was_encoded_is_decoded(id in "[^:]{1,40}", key in prop::collection::vec(any::<u8>(), 1..60)) {
            let credential = PresentedKey::new(&id, &key).unwrap().credential();
            let trimmed = credential.trim_end_matches('=');
            prop_assert_eq!(decode(credential.as_bytes()), Some((id.clone(), key.clone())));
            prop_assert_eq!(decode(trimmed.as_bytes()), Some((id, key)));
        }
    }
}
