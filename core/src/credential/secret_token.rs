//! The secret tokens of a configuration, and the comparison that tells nothing but yes or no.
//!
//! Invariants: the time of [`TokenSet::contains`] and the memory that it touches depend on two numbers only, the length of
//! what the client presents and the number of configured tokens; not on any content, on where a mismatch lies, on which
//! token matches, or on how long the configured tokens are. Stored tokens are overwritten when the set is dropped.

use std::hint::black_box;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

use crate::config::{MAX_TOKEN_LEN, SecretToken};

const WORD: usize = size_of::<u64>();
const WORDS: usize = MAX_TOKEN_LEN / WORD;
const _: () = assert!(MAX_TOKEN_LEN % WORD == 0);

/// A length that nothing has that is ever compared.
const NEVER: u64 = u64::MAX;

/// The valid secret tokens. Immutable; any number of threads may ask it. It has no `Debug`.
pub(crate) struct TokenSet {
    tokens: Box<[Token]>,
}

/// A token, padded with zeros to a length that is the same for all. The length is compared as well, so that the padding
/// can't be mistaken for content.
#[derive(Clone)]
struct Token {
    words: [u64; WORDS],
    len: u64,
}

impl TokenSet {
    /// Copies the tokens. One that is empty or longer than [`MAX_TOKEN_LEN`] (the configuration accepts neither) is
    /// kept as a token that nothing matches: a mistake never opens the door.
    pub(crate) fn new(tokens: &[SecretToken]) -> Self {
        let blank = Token {
            words: [0; WORDS],
            len: NEVER,
        };
        // Filled in place: a token that is moved leaves a copy behind that nobody overwrites.
        let mut set = Self {
            tokens: vec![blank; tokens.len()].into_boxed_slice(),
        };
        for (stored, token) in set.tokens.iter_mut().zip(tokens) {
            stored.fill(token.expose());
        }
        set
    }

    /// Whether no token is configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether `presented` is one of the tokens. Takes constant time, as the module's documentation says.
    pub(crate) fn contains(&self, presented: &[u8]) -> bool {
        if presented.len() > MAX_TOKEN_LEN {
            // What this tells the client is the length that it sent.
            return false;
        }
        let found = self.tokens.iter().fold(Choice::from(0), |found, token| {
            found | token.equals(presented)
        });
        found.into()
    }
}

impl Token {
    fn fill(&mut self, token: &[u8]) {
        if token.is_empty() || token.len() > MAX_TOKEN_LEN {
            return;
        }
        let (whole, rest) = token.as_chunks::<WORD>();
        for (word, bytes) in self.words.iter_mut().zip(whole) {
            *word = u64::from_le_bytes(*bytes);
        }
        if let Some(word) = self.words.get_mut(whole.len()) {
            *word = last_word(rest);
        }
        self.len = token.len() as u64;
    }

    /// Compares every word that `presented` covers, and the length. `presented` is no longer than [`MAX_TOKEN_LEN`].
    #[inline]
    fn equals(&self, presented: &[u8]) -> Choice {
        let (whole, rest) = presented.as_chunks::<WORD>();
        let mut words = self.words.iter();
        let mut difference = self.len ^ presented.len() as u64;
        for (bytes, word) in whole.iter().zip(&mut words) {
            difference |= word ^ u64::from_le_bytes(*bytes);
        }
        if let Some(word) = words.next() {
            difference |= word ^ last_word(rest);
        }
        // The compiler may not learn from here on what would make leaving early worthwhile.
        black_box(difference).ct_eq(&0)
    }
}

/// Fewer than eight bytes, padded with zeros.
fn last_word(rest: &[u8]) -> u64 {
    rest.iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

impl Drop for TokenSet {
    fn drop(&mut self) {
        for token in &mut self.tokens {
            token.words.zeroize();
            token.len.zeroize();
        }
    }
}
