//! The recent refusals, for operators.

use std::ffi::c_char;

use tollbar::{Refusal, ShortText};

use crate::boundary;
use crate::decision::{action_number, method_number, reason_number};
use crate::engine::{core, tollbar_engine};
use crate::json::unix_ns;
use crate::raw::{raw_action, raw_bool, raw_method, raw_reason};
use crate::sized::{Outputs, Versioned};
use crate::status::tollbar_status;

/// A name of at most 64 bytes; a longer one was cut. It is what a client sent: escape it where that matters.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_name {
    /// UTF-8, and a NUL at its end.
    pub data: [c_char; 65],
    /// How many bytes; some may be NUL.
    pub len: u8,
    /// Whether there is a name at all.
    pub known: raw_bool,
}

impl From<Option<ShortText>> for tollbar_name {
    fn from(name: Option<ShortText>) -> Self {
        let mut data = [0; 65];
        let text = name.as_ref().map_or("", ShortText::as_str);
        for (place, byte) in data.iter_mut().take(64).zip(text.bytes()) {
            *place = byte as c_char;
        }
        Self {
            data,
            // At most 64.
            len: text.len() as u8,
            known: name.is_some().into(),
        }
    }
}

/// A request, a stream or a batch that was refused. Begin with TOLLBAR_REFUSAL_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_refusal {
    /// sizeof(tollbar_refusal)
    pub size: usize,
    /// When, by the system's clock: nanoseconds since 1970.
    pub time_unix_ns: u64,
    /// When, in nanoseconds since the engine was made, by its own monotonic clock.
    pub at_ns: u64,
    /// The number of the configuration under which this was decided.
    pub generation: u64,
    /// Whom the rate limit counts, as in a tollbar_decision.
    pub client: [u8; 16],
    /// How many bits of `client` are counted.
    pub client_prefix: u8,
    /// Why.
    pub reason: raw_reason,
    /// How the client was identified.
    pub method: raw_method,
    /// What the client wanted to do.
    pub action: raw_action,
    /// The agent that was named, as far as it was known.
    pub agent: tollbar_name,
    /// The service that was named, as far as it was known.
    pub service: tollbar_name,
    /// The id of the API key that was presented, never its secret. If the key was not valid, the id is what the client claims.
    pub credential_id: tollbar_name,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers.
unsafe impl Versioned for tollbar_refusal {}

impl tollbar_refusal {
    fn new(refusal: &Refusal, size: usize) -> Self {
        Self {
            size,
            time_unix_ns: unix_ns(refusal.time),
            at_ns: refusal.at_ns,
            generation: refusal.generation,
            client: refusal.client.bits().to_be_bytes(),
            client_prefix: refusal.client.prefix(),
            reason: reason_number(refusal.reason),
            method: method_number(refusal.method),
            action: action_number(refusal.action),
            agent: refusal.agent.into(),
            service: refusal.service.into(),
            credential_id: refusal.credential_id.into(),
        }
    }
}

/// Writes the recent refusals, oldest first: the last 64 of each reason. Of a flood, what is beyond 32 a second is left out. Reading takes
/// nothing away.
///
/// `refusals` has room for `capacity`, where the first has its `size` set; if there are more, the latest are written.
/// `*count` is how many were written, and `*total`, unless it is NULL, how many there are: with a `capacity` of 0 only they are
/// told. There are never more than TOLLBAR_REFUSALS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_refusals(
    engine: *const tollbar_engine,
    refusals: *mut tollbar_refusal,
    capacity: usize,
    count: *mut usize,
    total: *mut usize,
) -> tollbar_status {
    boundary::status(|| {
        // SAFETY: the header asks for what is passed on here.
        unsafe {
            boundary::write(count, 0)?;
            if !total.is_null() {
                boundary::write(total, 0)?;
            }
            let core = core(engine)?;
            let places = Outputs::new(refusals, capacity)?;
            let all = core.recent_refusals();
            let latest = all.iter().skip(all.len().saturating_sub(capacity));
            for (i, refusal) in latest.enumerate() {
                if let Some(place) = places.at::<false>(i) {
                    place.set(tollbar_refusal::new(refusal, place.size()));
                }
            }
            boundary::write(count, all.len().min(capacity))?;
            if !total.is_null() {
                boundary::write(total, all.len())?;
            }
            Ok(())
        }
    })
}

/// The most refusals that there are.
pub const TOLLBAR_REFUSALS: usize = 1024;
