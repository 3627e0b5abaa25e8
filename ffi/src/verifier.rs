//! A callback as the core's `Verifier`.
//!
//! Invariants: whatever the callback returns, the verification ends: with privileges, as invalid, or as unavailable. What the caller gave
//! along is freed once, whatever happens.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use tollbar::api_key::{PresentedKey, Privileges, Verifier, VerifyError};
use tollbar::config::Privilege;

use crate::boundary::{Userdata, guarded};
use crate::engine::{core, tollbar_engine};
use crate::error::{Report, tollbar_error};
use crate::raw::raw_verdict;
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// An API key may read the agents' central configuration: `config_agent:read`.
pub const TOLLBAR_PRIVILEGE_CONFIG_AGENT_READ: u32 = 1;
/// An API key may send events: `event:write`.
pub const TOLLBAR_PRIVILEGE_EVENT_WRITE: u32 = 2;
/// An API key may upload source maps: `sourcemap:write`.
pub const TOLLBAR_PRIVILEGE_SOURCEMAP_WRITE: u32 = 4;

/// The set of these bits; `None` if one of them stands for nothing.
pub(crate) fn privileges(bits: u32) -> Option<Privileges> {
    const NAMED: [(u32, Privilege); 3] = [
        (
            TOLLBAR_PRIVILEGE_CONFIG_AGENT_READ,
            Privilege::ConfigAgentRead,
        ),
        (TOLLBAR_PRIVILEGE_EVENT_WRITE, Privilege::EventWrite),
        (TOLLBAR_PRIVILEGE_SOURCEMAP_WRITE, Privilege::SourcemapWrite),
    ];
    let known = NAMED.iter().fold(0, |all, (bit, _)| all | bit);
    (bits & !known == 0).then(|| {
        let held = NAMED.iter().filter(|(bit, _)| bits & bit != 0);
        held.map(|(_, privilege)| *privilege).collect()
    })
}

/// What a verifier found.
#[repr(u32)]
pub enum tollbar_verdict {
    /// It can't be said now: 503, and nothing is kept.
    TOLLBAR_VERDICT_UNAVAILABLE = 0,
    /// The key is valid, and its privileges were written. One without any counts as not valid.
    TOLLBAR_VERDICT_VALID = 1,
    /// The key is not valid: 401.
    TOLLBAR_VERDICT_INVALID = 2,
}

/// Verifies an API key: `id` stands before the colon of the decoded credential, the secret `key` after it; both are borrowed for the
/// duration of the call. Writes TOLLBAR_PRIVILEGE_... added up to `*privileges`, which is 0 before, and returns a
/// tollbar_verdict. Any other number and any unknown privilege is TOLLBAR_VERDICT_UNAVAILABLE.
///
/// It may block. It is called in the thread of whoever waits for the verdict, or in one of the engine's, several at once but never twice
/// at once for one key. It must not throw, nor ask the engine to verify the same key: that would wait for itself.
pub type tollbar_verifier_fn = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        id: tollbar_str,
        key: tollbar_str,
        privileges: *mut u32,
    ) -> raw_verdict,
>;

/// Frees what was given along with a callback.
pub type tollbar_free_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

type Verify = unsafe extern "C" fn(*mut c_void, tollbar_str, tollbar_str, *mut u32) -> raw_verdict;

struct Callback {
    verify: Option<Verify>,
    userdata: Userdata,
    free: tollbar_free_fn,
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the header asks for a callback that can be called with this once.
            unsafe { free(self.userdata.0) };
        }
    }
}

impl Verifier for Callback {
    fn verify(&self, presented: &PresentedKey<'_>) -> Result<Privileges, VerifyError> {
        let unavailable = |why: &str| Err(VerifyError::Unavailable(why.into()));
        let Some(verify) = self.verify else {
            return unavailable("there is no verifier");
        };
        let text = |bytes: &[u8]| tollbar_str {
            data: bytes.as_ptr().cast::<c_char>(),
            len: bytes.len(),
        };
        let mut bits = 0;
        let (id, key) = (text(presented.id().as_bytes()), text(presented.key()));
        // SAFETY: the header asks for a callback that can be called with these.
        let verdict = unsafe { verify(self.userdata.0, id, key, &raw mut bits) };
        match (verdict, privileges(bits)) {
            (1, Some(privileges)) => Ok(privileges),
            (1, None) => unavailable("the verifier wrote privileges that are unknown"),
            (2, _) => Err(VerifyError::Invalid),
            (0, _) => unavailable("the verifier can't say now"),
            _ => unavailable("the verifier returned a number that is no verdict"),
        }
    }
}

/// Has API keys that are not local verified by a callback instead of Elasticsearch; NULL: by Elasticsearch again. Drops all verdicts.
/// Reloads leave it in place. API keys must be enabled in the configuration all the same.
///
/// `free_userdata`, unless it is NULL, is called with `userdata` exactly once, when nothing needs it any more: in any thread, and also
/// if this call fails. TOLLBAR_STATUS_CONFIG: Elasticsearch is to take over and can't; nothing has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_set_verifier(
    engine: *const tollbar_engine,
    verifier: tollbar_verifier_fn,
    userdata: *mut c_void,
    free_userdata: tollbar_free_fn,
    error: *mut tollbar_error,
) -> tollbar_status {
    let mut callback = Some(Callback {
        verify: verifier,
        userdata: Userdata(userdata),
        free: free_userdata,
    });
    // SAFETY: the header asks for what is passed on here.
    let status = unsafe {
        Report::to(error, || {
            let core = core(engine)?;
            let verifier = callback
                .take_if(|callback| callback.verify.is_some())
                .map(|callback| Arc::new(callback) as Arc<dyn Verifier>);
            Ok(core.set_verifier(verifier)?)
        })
    };
    guarded((), || drop(callback));
    status
}
