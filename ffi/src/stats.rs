//! The statistics, as a struct and as a page for Prometheus.

use std::ffi::c_char;

use crate::boundary;
use crate::decision::{method_number, reason_number};
use crate::engine::{core, tollbar_engine};
use crate::reload::told;
use crate::sized::{Output, Versioned};
use crate::status::tollbar_status;

/// Statistics. Begin with TOLLBAR_STATS_INIT. Counters are totals since the engine was made, unless they say otherwise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_stats {
    /// sizeof(tollbar_stats)
    pub size: usize,
    /// The number of the configuration in force: 1 at start, one more at each reload.
    pub generation: u64,
    /// Reloads that were refused; the configuration before stayed in force.
    pub reload_errors: u64,
    /// Decisions that allowed, by tollbar_method. Every answer counts: a request, an authorization, a batch.
    pub allowed: [u64; 8],
    /// Decisions that refused, by tollbar_reason.
    pub refused: [u64; 32],
    /// Refusals that came too fast to be recorded one by one. They are counted in `refused` all the same.
    pub refusals_not_recorded: u64,
    /// How many clients can have a counter of their own.
    pub ip_limit: u64,
    /// Counters whose client could not send a full burst at this moment.
    pub live_counters: u64,
    /// How often a counter got a new owner. Starts anew when `ip_limit` changes.
    pub claimed_counters: u64,
    /// How often that displaced a client whose counter was live: if this grows, `ip_limit` is too small or somebody is flooding. Starts
    /// anew when `ip_limit` changes.
    pub displaced_clients: u64,
    /// Verifications of API keys that were started.
    pub verifications_started: u64,
    /// Those that came to no verdict.
    pub verifications_unavailable: u64,
    /// Those that were not started because the client had used up its budget of unknown keys: somebody is guessing.
    pub verifications_over_budget: u64,
    /// Verdicts in store on valid keys.
    pub valid_keys_held: u64,
    /// Verdicts in store on keys that are not valid.
    pub invalid_keys_held: u64,
}

// SAFETY: `repr(C)`, the size first, and nothing but numbers.
unsafe impl Versioned for tollbar_stats {}

/// Writes the statistics of this moment. Reads the whole counter table: milliseconds for a million counters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_stats(
    engine: *const tollbar_engine,
    now_ns: *const u64,
    stats: *mut tollbar_stats,
) -> tollbar_status {
    boundary::status(|| {
        // SAFETY: the header asks for what is passed on here.
        let (core, now, place) = unsafe {
            (
                core(engine)?,
                boundary::optional(now_ns)?.copied(),
                Output::new(stats)?,
            )
        };
        let all = core.stats_at(now);
        let mut allowed = [0; 8];
        for (method, count) in all.allowed {
            allowed[usize::from(method_number(Some(method)))] = count;
        }
        let mut refused = [0; 32];
        for (reason, count) in all.refused {
            refused[usize::from(reason_number(reason))] = count;
        }
        place.set(tollbar_stats {
            size: place.size(),
            generation: all.generation,
            reload_errors: all.reload_errors,
            allowed,
            refused,
            refusals_not_recorded: all.refusals_not_recorded,
            ip_limit: all.ip_limit.into(),
            live_counters: all.live_counters,
            claimed_counters: all.claimed_counters,
            displaced_clients: all.displaced_clients,
            verifications_started: all.api_keys.started,
            verifications_unavailable: all.api_keys.unavailable,
            verifications_over_budget: all.api_keys.over_budget,
            valid_keys_held: all.api_keys.valid_held,
            invalid_keys_held: all.api_keys.invalid_held,
        });
        Ok(())
    })
}

/// The statistics of this moment as a page for Prometheus, of content type `text/plain; version=0.0.4`. 8192 bytes are plenty.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_prometheus(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            core.stats().prometheus().to_string()
        })
    }
}

/// Why the last verification that came to no verdict did not; empty if there was none. It holds no secret.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `engine` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_engine_verification_error(
    engine: *const tollbar_engine,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for what is passed on here.
    unsafe {
        told(engine, buffer, capacity, |core| {
            core.stats().api_keys.last_error.unwrap_or_default()
        })
    }
}
