//! The shortest way to a verdict: an address in, whether its events fit out, all in registers.
//!
//! Invariant: says what an authentication without a credential and an admission would have said.

use std::net::Ipv6Addr;

use tollbar::Admission;
use tollbar::client_ip::CanonicalIp;

use crate::boundary::{self, Checked, guarded};
use crate::decision::tollbar_method::TOLLBAR_METHOD_UNIDENTIFIED;
use crate::decision::tollbar_reason::TOLLBAR_REASON_UNDECIDED;
use crate::decision::{TOLLBAR_NEVER, method_number, reason_number};
use crate::engine::{core, tollbar_engine};
use crate::raw::{raw_method, raw_reason};
use crate::status::tollbar_status;

/// What tollbar_admit_ip() says.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_admission {
    /// Nanoseconds until the refused batch would fit, exact. 0: it fits now, or was not counted. TOLLBAR_NEVER: it never will.
    pub retry_after_ns: u64,
    /// Why. TOLLBAR_REASON_UNDECIDED: no decision was made, since `engine` is NULL or misaligned, or `now_ns` is misaligned.
    pub reason: raw_reason,
    /// How the client was identified: TOLLBAR_METHOD_ANONYMOUS, or TOLLBAR_METHOD_NONE.
    pub method: raw_method,
}

impl tollbar_admission {
    const UNDECIDED: Self = Self {
        retry_after_ns: 0,
        reason: TOLLBAR_REASON_UNDECIDED as u8,
        method: TOLLBAR_METHOD_UNIDENTIFIED as u8,
    };

    #[inline]
    fn new(admission: Admission) -> Self {
        Self {
            retry_after_ns: admission.retry_after_ns.unwrap_or(TOLLBAR_NEVER),
            reason: reason_number(admission.reason),
            method: method_number(admission.method),
        }
    }
}

/// What tollbar_admit_ips() is asked: as the arguments of tollbar_admit_ip().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_ip_charge {
    /// The first eight bytes of the address as IPv6.
    pub high: u64,
    /// The others.
    pub low: u64,
    /// How many events.
    pub n: u64,
}

impl tollbar_ip_charge {
    #[inline]
    fn peer(&self) -> CanonicalIp {
        CanonicalIp::v6(Ipv6Addr::from_bits(
            (u128::from(self.high) << 64) | u128::from(self.low),
        ))
    }
}

/// Charges `n` events to an address that sends no credential: in one call what tollbar_authenticate() and
/// tollbar_client_admit() come to for a request with neither headers nor authorization, whose agent and service are not looked at.
/// For floods, where a refusal should cost next to nothing.
///
/// The address is given as IPv6, in two halves: `high` holds its first eight bytes, the first of all being the most significant; of IPv4
/// it is `::ffff:a.b.c.d`. `now_ns` as everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_admit_ip(
    engine: *const tollbar_engine,
    high: u64,
    low: u64,
    n: u64,
    now_ns: *const u64,
) -> tollbar_admission {
    guarded(tollbar_admission::UNDECIDED, || {
        // SAFETY: the header asks for an engine, and for a time or NULL.
        let asked: Checked<_> =
            unsafe { core(engine).and_then(|core| Ok((core, boundary::optional(now_ns)?))) };
        let Ok((core, now)) = asked else {
            return tollbar_admission::UNDECIDED;
        };
        let peer = tollbar_ip_charge { high, low, n }.peer();
        tollbar_admission::new(core.admit_peer(peer, n, now.copied()))
    })
}

/// As tollbar_admit_ip() for many addresses at one instant: `admissions[i]` answers `charges[i]`, as if all had been asked in order.
///
/// If the status is not TOLLBAR_STATUS_OK, nothing was charged; where there is room, every admission is TOLLBAR_REASON_UNDECIDED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_admit_ips(
    engine: *const tollbar_engine,
    charges: *const tollbar_ip_charge,
    len: usize,
    now_ns: *const u64,
    admissions: *mut tollbar_admission,
) -> tollbar_status {
    // SAFETY: the header asks for room for `len`, and `i` is below it.
    let put = |i: usize, admission| unsafe { admissions.add(i).write(admission) };
    let status = boundary::status(|| {
        if len == 0 {
            return Ok(());
        }
        boundary::usable(admissions)?;
        boundary::fits::<tollbar_admission>(len)?;
        // SAFETY: the header asks for an engine, for `len` charges, and for a time or NULL.
        let (core, charges, now) = unsafe {
            (
                core(engine)?,
                boundary::slice(charges, len)?,
                boundary::optional(now_ns)?,
            )
        };
        core.admit_peers(
            len,
            |i| (charges[i].peer(), charges[i].n),
            now.copied(),
            |i, admission| put(i, tollbar_admission::new(admission)),
        );
        Ok(())
    });
    let room =
        boundary::usable(admissions).is_ok() && boundary::fits::<tollbar_admission>(len).is_ok();
    if status != tollbar_status::TOLLBAR_STATUS_OK && room {
        (0..len).for_each(|i| put(i, tollbar_admission::UNDECIDED));
    }
    status
}
