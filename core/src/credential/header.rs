//! The authorization header -> credential.
//!
//! Spaces and tabs around the value are not part of it: HTTP servers remove them, gRPC's metadata and some gateways may
//! keep them. What is left is split at its first space, as APM Server does. Without a space there is no credential and
//! the request is anonymous (`Bearer` alone, `Bearer ` with nothing behind it, a bare token). Further spaces belong to the
//! credential, so `Bearer  x` presents ` x`, which is a wrong token rather than no token.

use std::fmt;

/// The credential of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    /// None: the request is anonymous.
    None,
    /// `Bearer <secret token>`; never empty.
    Bearer(&'a [u8]),
    /// `ApiKey <base64 of id:key>`, not yet decoded; never empty.
    ApiKey(&'a [u8]),
    /// A credential of another scheme.
    Unknown,
}

/// Reads the first authorization value of a request; any bytes will do.
pub(crate) fn parse(authorization: Option<&[u8]>) -> Credential<'_> {
    let Some(value) = authorization.map(trim) else {
        return Credential::None;
    };
    let mut parts = value.splitn(2, |byte| *byte == b' ');
    match (parts.next(), parts.next()) {
        (Some(scheme), Some(credential)) if scheme.eq_ignore_ascii_case(b"bearer") => {
            Credential::Bearer(credential)
        }
        (Some(scheme), Some(credential)) if scheme.eq_ignore_ascii_case(b"apikey") => {
            Credential::ApiKey(credential)
        }
        (Some(_), Some(_)) => Credential::Unknown,
        _ => Credential::None,
    }
}

/// Removes HTTP's optional whitespace, and no other.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(***)",
            Self::ApiKey(_) => "ApiKey(***)",
            Self::Unknown => "Unknown",
        })
    }
}
