//! peer + headers + trusted proxies -> client key.

use std::fmt;

/// Whom the rate limit counts: an IPv4 address or an IPv6 prefix, in canonical form.
///
/// IPv4 is held as `::ffff:a.b.c.d`; an IPv6 address has its host bits cleared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey {
    bits: u128,
    prefix: u8,
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}/{}", self.bits, self.prefix)
    }
}
