//! The id of a presented API key, for the records of refusals.
//!
//! Invariant: what stands behind the first colon, the secret, is never given away; and where no colon is found within the
//! first [`MOST`] bytes, nothing is: it might be a secret that was pasted alone.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::header::{Credential, parse};
use crate::refusals::{ShortText, prefix};

/// How many bytes of a decoded credential are looked at: a whole number of base64's groups, and one byte more than the id may have.
const MOST: usize = 66;
const _: () = assert!(MOST.is_multiple_of(3) && MOST > ShortText::MAX_LEN);
const ENCODED: usize = MOST / 3 * 4;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The id that an `ApiKey` credential claims. Allocates nothing.
pub(crate) fn claimed_key_id(authorization: Option<&[u8]>) -> Option<ShortText> {
    let Credential::ApiKey(encoded) = parse(authorization?) else {
        return None;
    };
    let mut decoded = zeroize::Zeroizing::new([0; MOST]);
    let encoded = &encoded[..encoded.len().min(ENCODED)];
    let len = BASE64.decode_slice(encoded, decoded.as_mut_slice()).ok()?;
    let colon = decoded[..len].iter().position(|byte| *byte == b':')?;
    match std::str::from_utf8(&decoded[..colon]) {
        Ok("") | Err(_) => None,
        Ok(id) => Some(ShortText::new(id)),
    }
}

/// The id of an API key as an identity carries it along, for the records of later steps: cut, so that identities stay cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl KeyId {
    /// Elasticsearch's own ids have 20 characters, those of `tollbar keygen` 16.
    const MAX_LEN: usize = 22;

    pub(crate) fn new(id: &ShortText) -> Self {
        let id = prefix(id.as_str(), Self::MAX_LEN);
        let mut bytes = [0; Self::MAX_LEN];
        bytes[..id.len()].copy_from_slice(id.as_bytes());
        Self {
            // At most MAX_LEN.
            len: id.len() as u8,
            bytes,
        }
    }

    /// The same as words, and [`KeyId::from_words`] its inverse: the length, then the bytes.
    pub(crate) fn to_words(self) -> [u64; 3] {
        let mut bytes = [0; 24];
        bytes[0] = self.len;
        bytes[1..][..Self::MAX_LEN].copy_from_slice(&self.bytes);
        let (words, _) = bytes.as_chunks();
        [words[0], words[1], words[2]].map(u64::from_le_bytes)
    }

    /// `None`: these words are no id's.
    pub(crate) fn from_words(words: [u64; 3]) -> Option<Self> {
        let mut all = [0; 24];
        for (bytes, word) in all.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let [len, bytes @ .., last] = all;
        (usize::from(len) <= Self::MAX_LEN && last == 0).then_some(Self { len, bytes })
    }

    pub(crate) fn text(&self) -> ShortText {
        // Cut at a character, so it is UTF-8.
        ShortText::new(
            std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_STANDARD;

    fn id_of(credential: &[u8]) -> Option<String> {
        let header = format!("ApiKey {}", BASE64_STANDARD.encode(credential));
        claimed_key_id(Some(header.as_bytes())).map(|id| id.to_string())
    }

    #[test]
    fn the_id_is_what_stands_before_the_colon() {
        assert_eq!(
            id_of(b"VuaCfGcBCdbkQm:s3cret").as_deref(),
            Some("VuaCfGcBCdbkQm")
        );
        let long = [b"id:".as_slice(), &[b'x'; 5000]].concat();
        assert_eq!(id_of(&long).as_deref(), Some("id"));
        let longest = [&[b'i'; ShortText::MAX_LEN], b":s3cret".as_slice()].concat();
        assert_eq!(id_of(&longest).map(|id| id.len()), Some(ShortText::MAX_LEN));
    }

    #[test]
    fn an_identity_carries_ids_of_the_usual_length_whole_and_cuts_longer_ones_at_a_character() {
        for (id, kept) in [
            ("VuaCfGcBCdbkQm-e5aOx", "VuaCfGcBCdbkQm-e5aOx"),
            ("0123456789012345678901234", "0123456789012345678901"),
            ("01234567890123456789\u{fc}x", "01234567890123456789\u{fc}"),
            ("012345678901234567890\u{fc}", "012345678901234567890"),
        ] {
            assert_eq!(KeyId::new(&ShortText::new(id)).text().as_str(), kept);
        }
    }

    #[test]
    fn an_id_goes_through_words_and_other_words_are_no_id() {
        for id in ["", "x", "VuaCfGcBCdbkQm-e5aOx", "0123456789012345678901"] {
            let id = KeyId::new(&ShortText::new(id));
            assert_eq!(KeyId::from_words(id.to_words()), Some(id));
        }
        let longest = KeyId::new(&ShortText::new(&"x".repeat(22)));
        let [first, second, third] = longest.to_words();
        assert_eq!(first & 0xff, 22);
        assert_eq!(
            KeyId::from_words([first + 1, second, third]),
            None,
            "23 bytes"
        );
        assert_eq!(KeyId::from_words([first, second, third | 1 << 56]), None);
        assert_eq!(
            KeyId::from_words([first + 1, second, third | 1 << 56]),
            None
        );
    }

    #[test]
    fn what_might_be_a_secret_is_no_id() {
        assert_eq!(id_of(b"s3cret-without-a-colon"), None);
        assert_eq!(id_of(&[b'x'; 300]), None);
        assert_eq!(id_of(b":s3cret"), None);
        assert_eq!(id_of(b"\xff\xfe:s3cret"), None);
        assert_eq!(claimed_key_id(Some(b"ApiKey not*base64")), None);
        assert_eq!(claimed_key_id(Some(b"Bearer aWQ6a2V5")), None);
        assert_eq!(claimed_key_id(None), None);
    }
}
