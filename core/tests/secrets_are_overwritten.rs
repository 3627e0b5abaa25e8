//! Secrets are overwritten before their memory is given back: no block that is freed still holds one.
//!
//! Alone in this binary, as the allocator looks into every block.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code, reason = "an allocator that looks into what is freed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::config::{Config, SecretToken};
use tollbar::{Engine, Method, Question, Request};

struct Looking;

/// Whether blocks are looked into.
static ARMED: AtomicBool = AtomicBool::new(false);
/// Blocks that were freed with a secret in them.
static FOUND: AtomicUsize = AtomicUsize::new(0);

/// What all secrets here begin with.
const SECRET: &[u8] = b"s3cret-0123456789abcdef";
/// The same as an API key is presented: base64 of `id:` and the secret.
const CREDENTIAL: &[u8] = b"aWQ6czNjcmV0LTAxMjM0NTY3ODlhYmNkZWY=";

fn look(pointer: *mut u8, layout: Layout) {
    // Relaxed: the test arms it before it starts any thread, and reads when they have ended.
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    // Byte by byte, volatile: not all of a block need ever have been written, and the compiler may not conclude anything.
    let byte = |at: usize| {
        // SAFETY: `at` is below the size of the block, which is still allocated.
        unsafe { pointer.add(at).read_volatile() }
    };
    let holds = |secret: &[u8]| {
        let mut starts = 0..(layout.size() + 1).saturating_sub(secret.len());
        starts.any(|start| (0..secret.len()).all(|i| byte(start + i) == secret[i]))
    };
    if holds(SECRET) || holds(CREDENTIAL) {
        FOUND.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is the system's allocator; blocks are only read before they are freed.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that what is read was written by somebody.
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        look(pointer, layout);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    // `realloc` is the default one, which comes by `dealloc`.
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

/// How many blocks were freed with a secret in them while `run` ran.
fn freed_with_a_secret(run: impl FnOnce()) -> usize {
    let before = FOUND.load(Ordering::Relaxed);
    ARMED.store(true, Ordering::Relaxed);
    run();
    ARMED.store(false, Ordering::Relaxed);
    FOUND.load(Ordering::Relaxed) - before
}

fn secret(more: &str) -> String {
    String::from_utf8_lossy(SECRET).into_owned() + more
}

/// Finds every key valid.
struct Trusting;

impl Verifier for Trusting {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        assert!(presented.key().starts_with(SECRET));
        Ok(Privileges::ALL)
    }
}

fn check(engine: &Engine, header: &[u8]) -> bool {
    let request = Request {
        authorization: Some(header),
        ..Request::from_peer([203, 0, 113, 9].into())
    };
    engine.check(&request, &Question::default(), None).allowed()
}

#[test]
fn no_freed_block_holds_a_secret() {
    // The harness sees what it must.
    assert!(freed_with_a_secret(|| drop(secret("x"))) > 0);

    // A program's configuration, an engine made of it, requests, reloads, the end.
    let tokens: Vec<String> = ["a", "b", "c"].map(secret).into();
    let header = [b"Bearer ", tokens[0].as_bytes()].concat();
    let programs = |tokens: &[String]| Config {
        secret_tokens: tokens
            .iter()
            .map(|token| SecretToken::new(token.as_bytes()))
            .collect(),
        ..Config::default()
    };
    let found = freed_with_a_secret(|| {
        let engine = Engine::new(programs(&tokens[..2])).unwrap();
        assert!(check(&engine, &header));
        engine.reload(programs(&tokens)).unwrap();
        engine.reload(programs(&tokens[1..])).unwrap();
        assert!(!check(&engine, &header));
    });
    assert_eq!(found, 0, "of a program's configuration");

    // API keys that are verified, in this thread and in another.
    let header_of_key = [b"ApiKey ", CREDENTIAL].concat();
    let request = Request {
        authorization: Some(&header_of_key),
        ..Request::from_peer([203, 0, 113, 9].into())
    };
    let found = freed_with_a_secret(|| {
        let engine = Engine::from_yaml("apm-server.auth.api_key.enabled: true").unwrap();
        for blocking in [true, false] {
            // Drops the verdicts.
            engine.set_verifier(Some(Arc::new(Trusting))).unwrap();
            let identity = match blocking {
                true => engine.verify(&request, None).identity(),
                false => engine.start_verification(&request, None).wait(),
            };
            assert_eq!(identity.method, Some(Method::ApiKey));
            assert!(check(&engine, &header_of_key));
        }
    });
    assert_eq!(found, 0, "of API keys");

    // A file with tokens, with a token file beside it, that is loaded and reloaded.
    let folder = std::env::temp_dir().join(format!("tollbar-overwritten-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("apm-server.yml");
    std::fs::write(
        folder.join("tokens"),
        format!("{}\n{}\n", tokens[0], tokens[2]),
    )
    .unwrap();
    let yaml = format!(
        "apm-server.auth:\n  secret_token: [{}, \"{}\"]\n  secret_token_file: tokens\n",
        tokens[0], tokens[1]
    );
    std::fs::write(&file, yaml).unwrap();
    let found = freed_with_a_secret(|| {
        let engine = Engine::from_file(&file).unwrap();
        assert!(check(&engine, &header));
        engine.reload_file(None).unwrap();
        engine
            .reload_yaml("apm-server.auth.secret_token: other")
            .unwrap();
        assert!(!check(&engine, &header));
    });
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, 0, "of a file");
}
