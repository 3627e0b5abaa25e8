//! The secret tokens of a configuration, and the comparison that tells nothing but yes or no.
//!
//! Invariants: the time of [`TokenSet::find`] and the memory that it touches depend on two numbers only, the length of
//! what the client presents and the number of configured tokens; not on any content, on where a mismatch lies, on which
//! token matches, or on how long the configured tokens are. Stored tokens are overwritten when the set is dropped.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroize;

use crate::config::{MAX_TOKEN_LEN, SecretToken};

const WORD: usize = size_of::<u64>();
const WORDS: usize = MAX_TOKEN_LEN / WORD;
const _: () = assert!(MAX_TOKEN_LEN.is_multiple_of(WORD));

/// A length that nothing has that is ever compared.
const NEVER: u64 = u64::MAX;

/// Which secret token it was. The same text keeps its number for as long as each configuration has it; a number says nothing
/// of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenId(u64);

impl TokenId {
    /// No token.
    const NONE: u64 = 0;
    const FIRST: u64 = 1;

    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(TokenId::FIRST);
        // Relaxed: the numbers only have to differ.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Its number, and [`TokenId::from_number`] the inverse.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// The valid secret tokens. Immutable; any number of threads may ask it. It has no `Debug`.
pub(crate) struct TokenSet {
    tokens: Box<[Token]>,
}

/// A token, padded with zeros to a length that is the same for all. The length is compared as well, so that the padding
/// can't be mistaken for content.
///
/// Every token begins with a cache line, so that no comparison takes longer for where its token happens to lie; a usual
/// one of up to 48 bytes fits in there beside its length and its number.
#[derive(Clone)]
#[repr(C, align(64))]
struct Token {
    len: u64,
    id: u64,
    words: [u64; WORDS],
}

impl TokenSet {
    /// Copies the tokens; those that `previous` has, too, keep their number. One that is empty or longer than
    /// [`MAX_TOKEN_LEN`] (the configuration accepts neither) is kept as a token that nothing matches: a mistake never opens
    /// the door.
    pub(crate) fn new(tokens: &[SecretToken], previous: Option<&Self>) -> Self {
        let blank = Token {
            len: NEVER,
            id: TokenId::NONE,
            words: [0; WORDS],
        };
        // Filled in place: a token that is moved leaves a copy behind that nobody overwrites.
        let mut set = Self {
            tokens: vec![blank; tokens.len()].into_boxed_slice(),
        };
        for (i, token) in tokens.iter().map(SecretToken::expose).enumerate() {
            // Listed twice, it still has one number.
            let known = set.find(token);
            let id = known
                .or_else(|| previous?.find(token))
                .unwrap_or_else(TokenId::next);
            set.tokens[i].fill(token, id);
        }
        set
    }

    /// Which of the tokens `presented` is. Takes constant time, as the module's documentation says.
    pub(crate) fn find(&self, presented: &[u8]) -> Option<TokenId> {
        if presented.len() > MAX_TOKEN_LEN {
            // What this tells the client is the length that it sent.
            return None;
        }
        let (whole, rest) = presented.as_chunks::<WORD>();
        let (last, len) = (last_word(rest), presented.len() as u64);
        let found = self.tokens.iter().fold(TokenId::NONE, |found, token| {
            // Equal tokens have equal numbers.
            u64::conditional_select(&found, &token.id, token.equals(whole, last, len))
        });
        (found != TokenId::NONE).then_some(TokenId(found))
    }

    /// Whether the token of this number is one of these.
    pub(crate) fn has(&self, id: TokenId) -> bool {
        self.tokens.iter().any(|token| token.id == id.0)
    }
}

impl Token {
    fn fill(&mut self, token: &[u8], id: TokenId) {
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
        self.id = id.0;
    }

    /// Compares every word that is presented, the whole ones and the last, and the length in bytes.
    #[inline]
    fn equals(&self, whole: &[[u8; WORD]], last: u64, len: u64) -> Choice {
        let mut words = self.words.iter();
        let mut difference = self.len ^ len;
        // The shorter iterator comes first: `zip` takes no word of ours for which there is none of theirs.
        for (bytes, word) in whole.iter().zip(&mut words) {
            difference |= word ^ u64::from_le_bytes(*bytes);
        }
        // As many bytes as a token may have leave no last word.
        if let Some(word) = words.next() {
            difference |= word ^ last;
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

/// The comparison alone, for the measurements in `benches`. Not part of the interface.
#[doc(hidden)]
pub struct TokenComparison(TokenSet);

#[doc(hidden)]
impl TokenComparison {
    #[must_use]
    pub fn new(tokens: &[SecretToken]) -> Self {
        Self(TokenSet::new(tokens, None))
    }

    #[must_use]
    pub fn contains(&self, presented: &[u8]) -> bool {
        self.0.find(presented).is_some()
    }

    /// The tokens of one of two with as many, and nothing in how they are made tells of which.
    #[cfg(feature = "measuring")]
    pub(crate) fn either(options: [&Self; 2], second: bool) -> TokenSet {
        let blanks: Vec<SecretToken> = options[0]
            .0
            .tokens
            .iter()
            .map(|_| SecretToken::new(*b"-"))
            .collect();
        let mut tokens = Self::new(&blanks);
        tokens.become_either(options, second);
        tokens.0
    }

    /// Becomes a copy of one of two with as many tokens, in the place where it is, and so that nothing tells of which: both are read,
    /// and all is written.
    pub fn become_either(&mut self, options: [&Self; 2], second: bool) {
        let second = Choice::from(u8::from(second));
        let [zero, one] = options.map(|option| option.0.tokens.iter());
        for (token, (zero, one)) in self.0.tokens.iter_mut().zip(zero.zip(one)) {
            token.len = u64::conditional_select(&zero.len, &one.len, second);
            token.id = u64::conditional_select(&zero.id, &one.id, second);
            for (word, (zero, one)) in token
                .words
                .iter_mut()
                .zip(zero.words.iter().zip(&one.words))
            {
                *word = u64::conditional_select(zero, one, second);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(tokens: &[&[u8]]) -> TokenSet {
        let tokens: Vec<SecretToken> = tokens
            .iter()
            .map(|token| SecretToken::new(*token))
            .collect();
        TokenSet::new(&tokens, None)
    }

    #[test]
    fn a_comparison_becomes_the_one_that_is_chosen() {
        let of = |token: &[u8]| TokenComparison::new(&[SecretToken::new(token)]);
        let (mut place, zero, one) = (of(b"before"), of(b"zero"), of(&[b'1'; MAX_TOKEN_LEN]));
        for second in [true, false, true] {
            place.become_either([&zero, &one], second);
            assert_eq!(place.contains(b"zero"), !second);
            assert_eq!(place.contains(&[b'1'; MAX_TOKEN_LEN]), second);
            assert!(!place.contains(b"before"));
        }
    }

    #[test]
    fn a_token_keeps_its_number_from_one_configuration_to_the_next() {
        let tokens = |texts: &[&str]| -> Vec<SecretToken> {
            texts
                .iter()
                .map(|text| SecretToken::new(text.as_bytes()))
                .collect()
        };
        let before = TokenSet::new(&tokens(&["one", "two", "one"]), None);
        let after = TokenSet::new(&tokens(&["three", "one"]), Some(&before));
        let [one, two] = [b"one", b"two"].map(|token| before.find(token).unwrap());
        assert_ne!(one, two);
        assert_eq!(after.find(b"one"), Some(one));
        assert!(before.has(one) && before.has(two));
        assert!(after.has(one) && !after.has(two));
        let three = after.find(b"three").unwrap();
        assert!(![one, two].contains(&three));
        assert_eq!(TokenId::from_number(three.number()), three);
        assert_ne!(one.number(), two.number());
    }

    #[test]
    fn padding_is_not_content() {
        let tokens = set(&[b"abc"]);
        assert!(tokens.find(b"abc").is_some());
        for wrong in [
            &b""[..],
            b"ab",
            b"abc\0",
            b"abc\0\0\0\0\0",
            b"abc\0\0\0\0\0\0",
            b"\0abc",
            b"abcd",
            b"abC",
        ] {
            assert!(tokens.find(wrong).is_none(), "{wrong:?}");
        }
        assert!(set(&[b"abc\0"]).find(b"abc\0").is_some());
        assert!(set(&[b"abc\0"]).find(b"abc").is_none());
    }

    #[test]
    fn every_length_up_to_the_longest_is_compared_to_its_last_byte() {
        for len in 1..=MAX_TOKEN_LEN {
            let mut token = vec![b'x'; len];
            let tokens = set(&[&token]);
            assert!(tokens.find(&token).is_some(), "{len}");
            token[len - 1] = b'y';
            assert!(tokens.find(&token).is_none(), "{len}");
        }
    }

    #[test]
    fn tokens_that_the_configuration_refuses_match_nothing() {
        let long = vec![b'x'; MAX_TOKEN_LEN + 1];
        let tokens = set(&[b"", &long]);
        for presented in [
            &b""[..],
            &long,
            &long[..MAX_TOKEN_LEN],
            b"\0",
            &[0; MAX_TOKEN_LEN],
        ] {
            assert!(tokens.find(presented).is_none());
        }
    }

    #[test]
    fn an_empty_set_contains_nothing() {
        assert!(set(&[]).find(b"").is_none());
        assert!(set(&[]).find(b"x").is_none());
    }

    /// Tokens from few bytes, so that equal ones, prefixes, extensions and zero bytes come up all the time.
    fn token() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(b'a'), Just(255)];
        prop_oneof![
            4 => prop::collection::vec(byte.clone(), 1..4),
            2 => prop::collection::vec(byte.clone(), 6..11),
            1 => (byte, MAX_TOKEN_LEN - 2..=MAX_TOKEN_LEN).prop_map(|(byte, len)| vec![byte; len]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn contains_is_membership(tokens in prop::collection::vec(token(), 0..6), presented in token(), pick: prop::sample::Index, cut in 0usize..12, extension in prop::collection::vec(Just(0u8), 0..10)) {
            let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
            let set = set(&slices);
            let mut candidates = vec![presented];
            if !tokens.is_empty() {
                let known = pick.get(&tokens);
                candidates.push(known.clone());
                candidates.push(known[..known.len().saturating_sub(cut)].to_vec());
                candidates.push([known.as_slice(), &extension].concat());
            }
            for candidate in candidates {
                prop_assert_eq!(set.find(&candidate).is_some(), tokens.contains(&candidate));
            }
        }
    }

    /// Nanoseconds a call, the best of many rounds.
    fn nanoseconds(tokens: &TokenSet, presented: &[u8]) -> f64 {
        const CALLS: u32 = 10_000;
        (0..200)
            .map(|_| {
                let begin = std::time::Instant::now();
                for _ in 0..CALLS {
                    black_box(tokens.find(black_box(presented)).is_some());
                }
                begin.elapsed().as_nanos() as f64 / f64::from(CALLS)
            })
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    #[ignore = "measures time: cargo test --release -- --ignored --nocapture"]
    fn one_token_takes_25_ns_and_sixteen_take_100_ns() {
        let tokens: Vec<Vec<u8>> = (0..16u8).map(|i| vec![b'a' + i; 43]).collect();
        let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
        let (one, sixteen) = (set(&slices[..1]), set(&slices));
        for (presented, what) in [
            (slices[0], "first"),
            (slices[15], "last"),
            (&b"z"[..], "short"),
            (&[b'z'; 43][..], "wrong"),
        ] {
            println!(
                "{what}: one {:.1} ns, sixteen {:.1} ns",
                nanoseconds(&one, presented),
                nanoseconds(&sixteen, presented)
            );
        }
        assert!(nanoseconds(&one, slices[0]) <= 25.0);
        assert!(nanoseconds(&sixteen, slices[0]) <= 100.0);
    }

    /// A smoke test: the real one is statistical. Best times of classes that must not differ.
    #[test]
    #[ignore = "measures time: cargo test --release -- --ignored --nocapture"]
    fn time_does_not_follow_content_position_index_or_configured_length() {
        let presented = [b'x'; 43];
        let (mut early, mut late) = (presented, presented);
        early[0] = b'y';
        late[42] = b'y';
        let other = vec![b'o'; 43];
        let long = vec![b'x'; MAX_TOKEN_LEN];
        let classes: [(&str, [&[u8]; 4]); 7] = [
            ("first matches", [&presented, &other, &other, &other]),
            ("last matches", [&other, &other, &other, &presented]),
            ("all match", [&presented; 4]),
            ("early mismatch", [&early; 4]),
            ("late mismatch", [&late; 4]),
            ("short tokens", [b"x"; 4]),
            ("long tokens", [&long; 4]),
        ];
        let times = classes.map(|(class, tokens)| {
            let time = nanoseconds(&set(&tokens), &presented);
            println!("{class}: {time:.2} ns");
            time
        });
        let slowest = times.iter().copied().fold(0.0, f64::max);
        let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(slowest <= fastest * 1.1, "{fastest:.2} to {slowest:.2} ns");
    }
}
