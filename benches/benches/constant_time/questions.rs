//! What is asked, of whom, and how it is timed.

use std::hint::black_box;
use std::sync::atomic::{Ordering, fence};

use tollbar::config::{Config, ConfigError, MAX_TOKEN_LEN, SecretToken};
use tollbar::ratelimit::Clock;
use tollbar::{Engine, Request, TokenComparison};

use crate::welch::Samples;

/// The length of a token that `tollbar keygen` makes.
const LEN: usize = 43;
/// Tokens in a list.
const LIST: usize = 16;
/// Calls before each sample, not timed: what they touch is in the cache then, whatever making the sample has touched.
const WARM_UP_CALLS: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The comparison alone.
    Comparison,
    /// A whole decision on `Authorization: Bearer`.
    Check,
    /// The control: `==`.
    Equality,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Position,
    PositionInList,
    Index,
    ShortOrLong,
    EqualOrLong,
    Content,
}

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Self::Comparison => "comparison",
            Self::Check => "check",
            Self::Equality => "==",
        }
    }

    /// How many calls make a sample: enough to be well above the clock's own resolution.
    pub fn calls(self) -> u32 {
        match self {
            Self::Comparison | Self::Equality => 32,
            Self::Check => 16,
        }
    }

    /// Whether a difference must be found; `None`: either will do.
    pub fn must_leak(self, question: Question) -> Option<bool> {
        match (self, question) {
            (Self::Comparison | Self::Check, _) => Some(false),
            (
                Self::Equality,
                Question::Position
                | Question::PositionInList
                | Question::Index
                | Question::EqualOrLong,
            ) => Some(true),
            // `==` looks at lengths first, and neither is that of what is presented; a random token differs early.
            (Self::Equality, Question::ShortOrLong | Question::Content) => None,
        }
    }
}

impl Question {
    pub const ALL: [Self; 6] = [
        Self::Position,
        Self::PositionInList,
        Self::Index,
        Self::ShortOrLong,
        Self::EqualOrLong,
        Self::Content,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Position => "position of the mismatch, one token",
            Self::PositionInList => "position of the mismatch, sixteen tokens",
            Self::Index => "index of the token that matches",
            Self::ShortOrLong => "length of the configured tokens",
            Self::EqualOrLong => "whether the configured token is as long as the one presented",
            Self::Content => "content of what is presented",
        }
    }

    pub fn classes(self) -> [&'static str; 2] {
        match self {
            Self::Position => ["first byte wrong", "last byte wrong"],
            Self::PositionInList => ["first byte wrong of 16", "last byte wrong of 16"],
            Self::Index => ["matches the first of 16", "matches the last of 16"],
            Self::ShortOrLong => ["tokens of 1 byte", "tokens of 1024 bytes"],
            Self::EqualOrLong => ["token of 43 bytes", "token of 1024 bytes"],
            Self::Content => ["one wrong token", "random wrong tokens"],
        }
    }

    /// The configured tokens of a class.
    fn configured(self, class: usize, random: &mut Random) -> Vec<Vec<u8>> {
        let (count, len) = match (self, class) {
            (Self::Position, _) | (Self::EqualOrLong, 0) => (1, LEN),
            (Self::EqualOrLong, _) => (1, MAX_TOKEN_LEN),
            (Self::PositionInList | Self::Index | Self::Content, _) => (LIST, LEN),
            (Self::ShortOrLong, 0) => (LIST, 1),
            (Self::ShortOrLong, _) => (LIST, MAX_TOKEN_LEN),
        };
        (0..count).map(|_| random.token(len)).collect()
    }

    /// What the client presents.
    fn presented(
        self,
        class: usize,
        configured: &[Vec<u8>],
        fixed: &[u8],
        random: &mut Random,
    ) -> Vec<u8> {
        let mut token = match self {
            Self::Index => return configured[class * (LIST - 1)].clone(),
            Self::Position => configured[0].clone(),
            // All tokens of the list begin alike: it is wrong at the same place of each.
            Self::PositionInList => configured[LIST / 2].clone(),
            Self::EqualOrLong => configured[0][..LEN].to_vec(),
            Self::ShortOrLong => return fixed.to_vec(),
            Self::Content if class == 0 => return fixed.to_vec(),
            Self::Content => return random.token(LEN),
        };
        let wrong = match (self, class) {
            (Self::Position | Self::PositionInList, 0) => 0,
            _ => LEN - 1,
        };
        token[wrong] ^= 1;
        token
    }

    /// Whether the classes differ in what is configured. Then each sample has its class's put into the same place: a place of its
    /// own for each class might be faster or slower by chance.
    fn needs_its_own_target(self) -> bool {
        matches!(self, Self::ShortOrLong | Self::EqualOrLong)
    }
}

/// Something that is asked whether a token is valid.
enum Asked {
    Comparison(TokenComparison),
    Check(Box<Engine>),
    Equality(Vec<Vec<u8>>),
}

impl Asked {
    fn new(target: Target, tokens: &[Vec<u8>]) -> Self {
        match target {
            Target::Comparison => Self::Comparison(TokenComparison::new(&secret(tokens))),
            Target::Check => Self::Check(Box::new(
                Engine::new(config(tokens)).unwrap_or_else(give_up),
            )),
            Target::Equality => Self::Equality(tokens.iter().map(|token| roomy(token)).collect()),
        }
    }

    /// Takes the tokens of a class.
    fn become_that_of(&mut self, class: usize, configured: &Configured) {
        let (both, second) = (configured.comparisons.each_ref(), class == 1);
        match self {
            Self::Comparison(place) => place.become_either(both, second),
            Self::Check(engine) => engine.measure_with_either(both, second),
            Self::Equality(before) => {
                let tokens = configured.tokens[class].iter();
                *before = tokens.map(|token| roomy(token)).collect();
            }
        }
    }

    /// Nanoseconds for all calls of a sample. `header` is `Bearer ` and the token.
    #[inline(never)]
    fn time(&self, clock: &Clock, calls: u32, header: &[u8]) -> u64 {
        let token = &header[PREFIX.len()..];
        let start = clock.now();
        match self {
            Self::Comparison(tokens) => {
                for _ in 0..calls {
                    black_box(tokens.contains(black_box(token)));
                }
            }
            Self::Check(engine) => {
                let request = Request {
                    authorization: Some(header),
                    ..Request::from_peer([203, 0, 113, 9].into())
                };
                let about = tollbar::Question::default();
                for _ in 0..calls {
                    let request = black_box(&request);
                    let _ = black_box(engine.check(request, &about, Some(0)));
                }
            }
            Self::Equality(tokens) => {
                for _ in 0..calls {
                    let token = black_box(token);
                    black_box(tokens.iter().any(|known| known.as_slice() == token));
                }
            }
        }
        clock.now() - start
    }
}

/// What both classes have configured.
struct Configured {
    tokens: [Vec<Vec<u8>>; 2],
    comparisons: [TokenComparison; 2],
}

impl Configured {
    fn new(tokens: [Vec<Vec<u8>>; 2]) -> Self {
        Self {
            comparisons: tokens
                .each_ref()
                .map(|tokens| TokenComparison::new(&secret(tokens))),
            tokens,
        }
    }
}

const PREFIX: &[u8] = b"Bearer ";

fn secret(tokens: &[Vec<u8>]) -> Vec<SecretToken> {
    tokens
        .iter()
        .map(|token| SecretToken::new(roomy(token)))
        .collect()
}

/// The same in memory of the same size for all: allocations of the class's own size would leave the next ones in places of its own.
fn roomy(token: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(MAX_TOKEN_LEN);
    copy.extend_from_slice(token);
    copy
}

fn config(tokens: &[Vec<u8>]) -> Config {
    Config {
        secret_tokens: secret(tokens),
        ..Config::default()
    }
}

fn give_up<T>(error: ConfigError) -> T {
    eprintln!("{error}");
    std::process::exit(1)
}

/// Takes this many samples.
pub fn ask(target: Target, question: Question, samples: usize) -> Samples {
    let mut random = Random::new();
    let clock = Clock::new();
    let fixed = random.token(LEN);
    let mut tokens = [0, 1].map(|class| question.configured(class, &mut random));
    if question == Question::PositionInList {
        let first = tokens[0][0].clone();
        for (token, last) in tokens[0].iter_mut().zip((b'A'..).step_by(2)) {
            // They differ in the last byte only, and none is what another becomes by a flipped bit.
            token.clone_from(&first);
            token[LEN - 1] = last;
        }
    }
    let shared = match question.needs_its_own_target() {
        true => None,
        false => {
            tokens[1] = tokens[0].clone();
            Some(Asked::new(target, &tokens[0]))
        }
    };
    let mut own = Asked::new(target, &tokens[0]);
    let configured = Configured::new(tokens);

    let mut header = [PREFIX, &[0; LEN]].concat();
    let mut measured = Samples::default();
    // The first ones warm caches and predictors up.
    let warm_up = samples / 20;
    for i in 0..samples + warm_up {
        let class = usize::from(random.next() >> 63 == 1);
        // Both are made, and read, so that doing so leaves the same traces.
        let presented = [0, 1]
            .map(|class| question.presented(class, &configured.tokens[class], &fixed, &mut random));
        let mask = black_box((class as u8).wrapping_neg());
        for (byte, (a, b)) in header[PREFIX.len()..]
            .iter_mut()
            .zip(presented[0].iter().zip(&presented[1]))
        {
            *byte = a ^ (mask & (a ^ b));
        }
        let asked = shared.as_ref().unwrap_or_else(|| {
            own.become_that_of(class, &configured);
            &own
        });
        asked.time(&clock, WARM_UP_CALLS, &header);
        // All stores are done, and nothing of the timed part has begun.
        fence(Ordering::SeqCst);
        let ns = asked.time(&clock, target.calls(), &header);
        if i >= warm_up {
            measured.push(class, ns);
        }
    }
    measured
}

/// xorshift64*: quick, and the same in each run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A token as `tollbar keygen` makes it.
    fn token(&mut self, len: usize) -> Vec<u8> {
        const BASE64URL: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..len)
            .map(|_| BASE64URL[(self.next() >> 58) as usize])
            .collect()
    }
}
