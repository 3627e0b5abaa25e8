//! Waiting for the verification of an API key.
//!
//! Invariants: each verification is concluded (counted and, if it refuses, recorded) once, however often it is asked about. A credential
//! that outlives its call is overwritten when it is done with.

use std::ffi::c_void;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tollbar::{Engine, Identity, Incoming as _, Request, Verification};
use zeroize::Zeroizing;

use crate::boundary::{self, Userdata, guarded};
use crate::client::tollbar_client;
use crate::engine::{core, counted, identified, tollbar_engine};
use crate::request::{Borrowed, tollbar_request};
use crate::status::tollbar_status;

/// A verification that was started. Free it with tollbar_verification_free(), whether it has ended or not. It may outlive its engine.
pub struct tollbar_verification {
    engine: Arc<Engine>,
    verification: Verification,
    request: Owned,
    concluded: OnceLock<Identity>,
}

impl tollbar_verification {
    fn client(&self, identity: Identity) -> tollbar_client {
        let identity = self
            .concluded
            .get_or_init(|| self.request.conclude(&self.engine, identity));
        tollbar_client::new(&self.engine, *identity)
    }
}

/// What a request leaves behind for its conclusion.
struct Owned {
    authorization: Option<Zeroizing<Vec<u8>>>,
    peer: IpAddr,
}

impl Owned {
    fn new(request: &Borrowed) -> Self {
        let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        Self {
            authorization: request.authorization().map(secret),
            peer: request.peer().ip(),
        }
    }

    fn conclude(&self, engine: &Engine, identity: Identity) -> Identity {
        let request = Request {
            authorization: self.authorization.as_deref().map(Vec::as_slice),
            ..Request::from_peer(self.peer)
        };
        engine.verified(&request, identity).identity()
    }
}

/// As tollbar_authenticate(), but never pending: an API key that has to be verified is verified now, in this thread, or this thread waits
/// for another one that verifies it already. Blocks for as long as the verifier takes, with Elasticsearch at most
/// tollbar_engine_verification_timeout().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_verify(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    now_ns: *const u64,
    client: *mut tollbar_client,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        identified(client, || {
            let core = core(engine)?;
            let request = Borrowed::new(request)?;
            let now = boundary::optional(now_ns)?.copied();
            let identity = request.with_request(|request| core.verify(request, now).identity())?;
            Ok(tollbar_client::new(core, identity))
        })
    }
}

/// Starts to verify the API key of this request in a thread of the engine's, for callers that must not block. If there is nothing to
/// verify, the verification has ended already. What it needs of the request is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_start_verification(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    now_ns: *const u64,
    verification: *mut *mut tollbar_verification,
) -> tollbar_status {
    boundary::status(|| {
        // SAFETY: the header asks for what is passed on here.
        unsafe {
            boundary::write(verification, std::ptr::null_mut())?;
            let (counted, request) = (counted(engine)?, Borrowed::new(request)?);
            let now = boundary::optional(now_ns)?.copied();
            let started =
                request.with_request(|request| counted.start_verification(request, now))?;
            let handle = Box::new(tollbar_verification {
                verification: started,
                request: Owned::new(request),
                concluded: OnceLock::new(),
                engine: counted,
            });
            boundary::write(verification, Box::into_raw(handle))
        }
    })
}

/// Writes the client, if the verification has ended. TOLLBAR_STATUS_PENDING: it has not yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_verification_poll(
    verification: *const tollbar_verification,
    client: *mut tollbar_client,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        identified(client, || {
            let this = boundary::shared(verification)?;
            let ended = this.verification.poll();
            let identity = ended.ok_or(tollbar_status::TOLLBAR_STATUS_PENDING)?;
            Ok(this.client(identity))
        })
    }
}

/// Waits until the verification has ended, but no longer than `timeout_ns`, and writes the client. TOLLBAR_NEVER: as long as it takes.
/// TOLLBAR_STATUS_PENDING: it has not ended yet. Several threads may wait for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_verification_wait(
    verification: *const tollbar_verification,
    timeout_ns: u64,
    client: *mut tollbar_client,
) -> tollbar_status {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        identified(client, || {
            let this = boundary::shared(verification)?;
            let ended = this.verification.wait_for(Duration::from_nanos(timeout_ns));
            let identity = ended.ok_or(tollbar_status::TOLLBAR_STATUS_PENDING)?;
            Ok(this.client(identity))
        })
    }
}

/// Frees a verification; NULL is fine. It stops nothing: the verdict is kept for others. No other call on it may be under way or follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_verification_free(verification: *mut tollbar_verification) {
    guarded((), || {
        if boundary::usable(verification).is_ok() {
            // SAFETY: it came from `Box::into_raw`, and the caller gives it up.
            drop(unsafe { Box::from_raw(verification) });
        }
    });
}

/// What is called back with the client once its API key has been verified. It must not throw, and should be short.
pub type tollbar_verified_fn =
    Option<unsafe extern "C" fn(userdata: *mut c_void, client: *const tollbar_client)>;

/// As tollbar_start_verification(), but calls back: exactly once if the status is TOLLBAR_STATUS_OK, in the thread that verifies, or in this
/// one before this call returns if there is nothing to verify; never otherwise. `*client` is there for the duration of the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_verify_async(
    engine: *const tollbar_engine,
    request: *const tollbar_request,
    now_ns: *const u64,
    callback: tollbar_verified_fn,
    userdata: *mut c_void,
) -> tollbar_status {
    boundary::status(|| {
        // SAFETY: the header asks for what is passed on here.
        let (counted, request, now) = unsafe {
            (
                counted(engine)?,
                Borrowed::new(request)?,
                boundary::optional(now_ns)?.copied(),
            )
        };
        let callback = callback.ok_or(tollbar_status::TOLLBAR_STATUS_NULL_ARGUMENT)?;
        let started = request.with_request(|request| counted.start_verification(request, now))?;
        let (owned, userdata) = (Owned::new(request), Userdata(userdata));
        started.on_done(move |identity| {
            let userdata = userdata;
            let identity = owned.conclude(&counted, identity);
            let client = tollbar_client::new(&counted, identity);
            // The engine may be freed from here on, as far as this is concerned.
            drop((owned, counted));
            // SAFETY: the header asks for a callback that can be called with these.
            unsafe { callback(userdata.0, &raw const client) };
        });
        Ok(())
    })
}

/// Nanoseconds that a verification may take: `apm-server.auth.api_key.elasticsearch.timeout`. Who waits should not wait longer. 0 if
/// `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_verification_timeout(engine: *const tollbar_engine) -> u64 {
    guarded(0, || {
        // SAFETY: the header asks for an engine.
        unsafe { core(engine) }.map_or(0, |core| {
            u64::try_from(core.verification_timeout().as_nanos()).unwrap_or(u64::MAX)
        })
    })
}
