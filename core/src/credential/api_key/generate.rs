//! Making API keys and their hashes, for `tollbar keygen` and for programs that do the same.
//!
//! Invariant: no hash is made of a key that is plainly weaker than 128 random bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::hashed::HashedKey;
use super::presented::PresentedKey;

/// Bytes of randomness in a generated key: 128 bits.
const KEY_BYTES: usize = 16;
/// Bytes of randomness in a generated id: enough that two never meet, and no secret.
const ID_BYTES: usize = 12;
/// 128 bits in base64 take so many characters (in hexadecimal, more).
const SHORTEST_KEY: usize = 22;
/// A random key of that length has fewer different characters once in 300,000 times even in hexadecimal.
const FEWEST_CHARACTERS: usize = 8;
/// The longest id that the configuration accepts, in bytes.
const LONGEST_ID: usize = 512;

/// A fresh API key. Hand the credential to the client, put id and hash into the configuration, and keep neither key nor
/// credential: they are overwritten when this is dropped.
pub struct GeneratedKey {
    /// What stands before the colon: for `apm-server.auth.api_key.keys[].id`.
    pub id: String,
    /// The secret: 128 random bits in base64.
    pub key: Zeroizing<String>,
    /// What the client sends: `Authorization: ApiKey <credential>`.
    pub credential: Zeroizing<String>,
    /// For `apm-server.auth.api_key.keys[].hash`. No secret that opens anything.
    pub hash: String,
}

/// Why no key or hash was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// The id is none that the configuration accepts.
    #[error("the id must have 1 to 512 bytes, without colon, spaces and control characters")]
    Id,
    /// The key may be weaker than 128 random bits. A fast hash does not protect such a key.
    #[error(
        "the key must be 128 random bits or more (at least 22 characters of base64, or 32 of hexadecimal): let `tollbar keygen` make one"
    )]
    WeakKey,
    /// The key is longer than clients can present.
    #[error("id and key together must have at most 767 bytes")]
    TooLong,
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Makes a key with a random id.
///
/// # Errors
/// If the operating system gives no random numbers.
pub fn generate() -> Result<GeneratedKey, KeygenError> {
    let id = random::<ID_BYTES>()?;
    generate_with_id(&URL_SAFE_NO_PAD.encode(id.as_slice()))
}

/// Makes a key with this id.
///
/// ```
/// use tollbar::{Engine, Request};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = tollbar::api_key::generate_with_id("shop-backend")?;
/// let engine = Engine::from_yaml(&format!("
/// apm-server.auth.api_key:
///   enabled: true
///   keys: [{{id: {}, hash: {}, privileges: [event:write]}}]
/// ", key.id, key.hash))?;
/// let header = format!("ApiKey {}", *key.credential);
/// let request = Request { authorization: Some(header.as_bytes()), ..Request::from_peer([203, 0, 113, 9].into()) };
/// assert!(engine.authenticate(&request).decision().allowed());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the id is none that the configuration accepts, or the operating system gives no random numbers.
pub fn generate_with_id(id: &str) -> Result<GeneratedKey, KeygenError> {
    let refused = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    if id.is_empty() || id.len() > LONGEST_ID || id.contains(refused) {
        return Err(KeygenError::Id);
    }
    let key = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<KEY_BYTES>()?.as_slice()));
    let presented = PresentedKey::new(id, key.as_bytes()).ok_or(KeygenError::TooLong)?;
    Ok(GeneratedKey {
        id: id.to_owned(),
        credential: presented.credential(),
        hash: hash_key(id, key.as_bytes())?,
        key,
    })
}

/// Hashes a key that exists already, with a fresh salt, for the configuration.
///
/// The key must be 128 random bits or more. That it is random can't be seen from the key; what is plainly not (too short, few
/// different characters) is refused.
///
/// # Errors
/// If the key is plainly too weak, or too long together with the id it is presented with, or the operating system gives
/// no random numbers.
pub fn hash_key(id: &str, key: &[u8]) -> Result<String, KeygenError> {
    if key.len() < SHORTEST_KEY || different_bytes(key) < FEWEST_CHARACTERS {
        return Err(KeygenError::WeakKey);
    }
    PresentedKey::new(id, key).ok_or(KeygenError::TooLong)?;
    Ok(HashedKey::new(*random()?, key).to_text())
}

fn different_bytes(key: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeygenError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(KeygenError::Random)?;
    Ok(bytes)
}

impl std::fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeneratedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::api_key::presented::Encoded;

    #[test]
    fn a_generated_key_is_128_random_bits_and_matches_its_hash() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        for key in [&a, &b] {
            assert_eq!(
                URL_SAFE_NO_PAD.decode(key.key.as_bytes()).unwrap().len(),
                16
            );
            let hash = HashedKey::parse(&key.hash).unwrap();
            let decoded = Encoded::new(key.credential.as_bytes())
                .unwrap()
                .decode(|presented| (presented.id() == key.id, hash.matches(presented.key())));
            assert_eq!(decoded, Some((true, true)));
        }
        assert_ne!(a.id, b.id);
        assert_ne!(*a.key, *b.key);
        assert_ne!(a.hash, b.hash);
    }

    #[test]
    fn one_key_hashed_twice_gives_two_hashes() {
        let key = generate().unwrap().key;
        let hash = || hash_key("id", key.as_bytes()).unwrap();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn weak_keys_and_bad_ids_are_refused() {
        for weak in [
            &b""[..],
            b"hunter2",
            b"0123456789abcdefghijk",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"abcabcabcabcabcabcabcabcabcabcabcabc",
        ] {
            assert_eq!(hash_key("id", weak), Err(KeygenError::WeakKey));
        }
        assert!(hash_key("id", b"0123456789abcdef0123456789abcdef").is_ok());
        // 22 bytes, eight of them different, are the least.
        assert!(hash_key("id", b"0123456701234567012345").is_ok());
        assert!(hash_key("id", b"012345670123456701234").is_err());
        assert!(hash_key("id", b"0123456012345601234560").is_err());
        let long: Vec<u8> = (0..767u32).map(|i| b'!' + (i % 90) as u8).collect();
        assert_eq!(hash_key("id", &long), Err(KeygenError::TooLong));
        for id in [
            "",
            "a:b",
            "a b",
            "a\n",
            "a\u{7f}",
            "\u{1}",
            &"x".repeat(513),
        ] {
            assert_eq!(generate_with_id(id).unwrap_err(), KeygenError::Id);
        }
        let longest = "x".repeat(512);
        assert_eq!(generate_with_id(&longest).unwrap().id, longest);
    }

    #[test]
    fn debug_shows_no_key() {
        let key = generate().unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&*key.key) && !shown.contains(&*key.credential));
    }
}
