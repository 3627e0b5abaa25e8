//! The hash of a local API key: `tollbar1:<salt>:<digest>`, the digest being SHA-256 of salt and key.
//!
//! # Why a fast hash is right here
//!
//! Slow hashes (bcrypt, scrypt, Argon2) exist for passwords: they make each guess dear, because people choose passwords that
//! are guessed in billions of tries. Keys of `tollbar keygen` are 128 random bits. Whoever steals the file and tries 10^12
//! keys a second finds one in 10^19 years; a hash that is a million times slower adds nothing to that, and would hand every
//! stranger a way to spend the server's time, since a wrong key costs as much as a right one. So: one SHA-256, well below a
//! microsecond, and no hash for a key that could be weaker ([`hash_key`](super::hash_key) refuses it). The salt keeps equal keys of two
//! files from showing, and a table of hashes from being of use twice.
//!
//! # Invariants
//!
//! - The comparison takes constant time. `Debug` shows nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const VERSION: &str = "tollbar1";
const SALT: usize = 16;
const DIGEST: usize = 32;

/// The salt and the digest of one key.
pub(crate) struct HashedKey {
    salt: [u8; SALT],
    digest: [u8; DIGEST],
}

impl HashedKey {
    /// Hashes a key under this salt.
    pub(crate) fn new(salt: [u8; SALT], key: &[u8]) -> Self {
        let digest = digest(&salt, key);
        Self { salt, digest }
    }

    /// Reads the text form; only exactly what [`HashedKey::to_text`] writes is accepted.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (Some(VERSION), Some(salt), Some(digest), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self {
            salt: exactly(salt)?,
            digest: exactly(digest)?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let [salt, digest] = [&self.salt[..], &self.digest].map(|b| URL_SAFE_NO_PAD.encode(b));
        format!("{VERSION}:{salt}:{digest}")
    }

    /// Whether this is the hash of `key`. Takes constant time for keys of one length.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        digest(&self.salt, key).ct_eq(&self.digest).into()
    }
}

/// The salt has a fixed length, so no other salt and key give the same input.
fn digest(salt: &[u8; SALT], key: &[u8]) -> [u8; DIGEST] {
    Sha256::new_with_prefix(salt)
        .chain_update(key)
        .finalize()
        .into()
}

/// Base64 for URLs of exactly `N` bytes.
fn exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(len) if len == N => Some(bytes),
        _ => None,
    }
}

impl Drop for HashedKey {
    fn drop(&mut self) {
        self.salt.zeroize();
        self.digest.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_fixed() {
        // sha256(16 zero bytes, "key"), by another implementation: python's hashlib.
        let text = "tollbar1:AAAAAAAAAAAAAAAAAAAAAA:_rP9Kze3Lo5YIIvZ9Wg0Z_DHrrgUuH3TeQ9t0I9wQrI";
        assert_eq!(HashedKey::new([0; 16], b"key").to_text(), text);
        assert!(HashedKey::parse(text).unwrap().matches(b"key"));
        for wrong in [&b""[..], b"ke", b"key\0", b"kez"] {
            assert!(!HashedKey::parse(text).unwrap().matches(wrong));
        }
    }

    #[test]
    fn nothing_but_the_format_is_accepted() {
        let good = HashedKey::new([7; 16], b"key").to_text();
        let (salt, digest) = good["tollbar1:".len()..].split_once(':').unwrap();
        for wrong in [
            String::new(),
            good[1..].to_owned(),
            good[..good.len() - 1].to_owned(),
            format!("{good}:"),
            format!("{good}:x"),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            format!("tollbar2:{salt}:{digest}"),
            format!("tollbar1:{salt}"),
            format!("tollbar1::{digest}"),
            format!("tollbar1:{digest}:{salt}"),
            good.replace(':', "$"),
        ] {
            assert!(HashedKey::parse(&wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_matches_its_key_alone(salt: [u8; 16], key: Vec<u8>, other: Vec<u8>) {
            let hash = HashedKey::parse(&HashedKey::new(salt, &key).to_text()).unwrap();
            prop_assert!(hash.matches(&key));
            prop_assert_eq!(hash.matches(&other), key == other);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            prop_assert!(HashedKey::parse(&text).is_none_or(|hash| hash.to_text() == text));
        }
    }
}
