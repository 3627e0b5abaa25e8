//! Addresses.

use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr};

use tollbar::client_ip::{CanonicalIp, ClientKey, parse_peer};

use crate::boundary::{self, Checked, guarded};
use crate::buffer::Buffer;
use crate::status::tollbar_status;
use crate::text::tollbar_str;

/// An IP address: of a socket's peer, for instance. A zeroed one is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollbar_ip {
    /// In network byte order; of IPv4 the first four.
    pub bytes: [u8; 16],
    /// 4, 6, or 0: none.
    pub family: u8,
}

impl tollbar_ip {
    /// Whether it is one.
    #[inline]
    pub(crate) fn check(&self) -> Checked<()> {
        match self.family {
            4 | 6 => Ok(()),
            _ => Err(tollbar_status::TOLLBAR_STATUS_INVALID_ADDRESS),
        }
    }

    /// The address as it stands there.
    pub(crate) fn get(&self) -> Checked<IpAddr> {
        self.check()?;
        Ok(match self.v4() {
            Some(v4) => v4.into(),
            None => IpAddr::from(self.bytes),
        })
    }

    /// The address of one that passed [`tollbar_ip::check`] before, as it is counted.
    #[inline]
    pub(crate) fn checked(&self) -> CanonicalIp {
        match self.v4() {
            Some(v4) => CanonicalIp::v4(v4),
            None => CanonicalIp::v6(self.bytes.into()),
        }
    }

    #[inline]
    fn v4(&self) -> Option<Ipv4Addr> {
        let [a, b, c, d, ..] = self.bytes;
        (self.family == 4).then(|| Ipv4Addr::new(a, b, c, d))
    }
}

impl From<IpAddr> for tollbar_ip {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&v4.octets());
                Self { bytes, family: 4 }
            }
            IpAddr::V6(v6) => Self {
                bytes: v6.octets(),
                family: 6,
            },
        }
    }
}

/// An address from text, as servers write it: `203.0.113.9`, `203.0.113.9:8200`, `2001:db8::1`, `[2001:db8::1]:8200`, `fe80::1%eth0`.
/// Port and zone are dropped.
///
/// TOLLBAR_STATUS_INVALID_ADDRESS: the text is none; `*ip` is zeroed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_ip_parse(
    text: tollbar_str,
    ip: *mut tollbar_ip,
) -> tollbar_status {
    boundary::status(|| {
        let none = tollbar_ip {
            bytes: [0; 16],
            family: 0,
        };
        // SAFETY: the header asks for room for an address.
        unsafe { boundary::write(ip, none) }?;
        // SAFETY: the header asks for a text that is there.
        let text = unsafe { text.required() }?;
        let parsed =
            parse_peer(text).map_err(|_| tollbar_status::TOLLBAR_STATUS_INVALID_ADDRESS)?;
        // SAFETY: as above.
        unsafe { boundary::write(ip, parsed.into()) }
    })
}

/// A client as it is counted, as text: `203.0.113.9`, `2001:db8::/64`. `client` and `prefix` are those of a tollbar_decision or a
/// tollbar_refusal. Needs at most TOLLBAR_CLIENT_TEXT bytes.
///
/// Returns the text's length without the NUL, whether it fitted or not; 0 if `client` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollbar_client_text(
    client: *const u8,
    prefix: u8,
    buffer: *mut c_char,
    capacity: usize,
) -> usize {
    guarded(0, || {
        // SAFETY: the header asks for a buffer of that size.
        let buffer = unsafe { Buffer::new(buffer, capacity) };
        // SAFETY: the header asks for 16 bytes.
        match unsafe { boundary::shared(client.cast::<[u8; 16]>()) } {
            Ok(bytes) => buffer.print(ClientKey::from_parts(u128::from_be_bytes(*bytes), prefix)),
            Err(_) => 0,
        }
    })
}

/// Room for any text of tollbar_client_text() and its NUL.
pub const TOLLBAR_CLIENT_TEXT: usize = 64;
