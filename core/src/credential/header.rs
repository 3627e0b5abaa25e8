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
#[inline]
pub(crate) fn parse(authorization: &[u8]) -> Credential<'_> {
    match authorization.strip_prefix(b"Bearer ") {
        // As nearly all write it.
        Some(token @ [.., last]) if !matches!(last, b' ' | b'\t') => Credential::Bearer(token),
        _ => parse_any(authorization),
    }
}

#[inline(never)]
fn parse_any(authorization: &[u8]) -> Credential<'_> {
    let value = trim(authorization);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        header: Option<Bytes>,
        expect: Bytes,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bytes {
        Text(String),
        Hex { hex: String },
    }

    impl Bytes {
        fn to_vec(&self) -> Vec<u8> {
            match self {
                Self::Text(text) => text.as_bytes().to_vec(),
                Self::Hex { hex } => (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect(),
            }
        }
    }

    /// A credential as the vectors write it.
    fn written(credential: Credential<'_>) -> Vec<u8> {
        match credential {
            Credential::None => b"none".to_vec(),
            Credential::Unknown => b"unknown".to_vec(),
            Credential::Bearer(token) => [b"bearer:", token].concat(),
            Credential::ApiKey(key) => [b"api_key:", key].concat(),
        }
    }

    #[test]
    fn authorization_headers_are_read_as_the_vectors_say() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../conformance/authorization.json"
        );
        let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(file.vectors.len() >= 30, "vectors are missing");
        for vector in &file.vectors {
            let Some(header) = vector.header.as_ref().map(Bytes::to_vec) else {
                // That is the engine's to say, and not read here.
                assert_eq!(vector.expect.to_vec(), b"none", "{}", vector.name);
                continue;
            };
            let found = written(parse(&header));
            assert_eq!(
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(&vector.expect.to_vec()),
                "{}",
                vector.name
            );
            assert_eq!(found, vector.expect.to_vec(), "{}", vector.name);
        }
    }

    #[test]
    fn debug_shows_no_credential() {
        for header in [
            "Bearer hunter2",
            "ApiKey hunter2",
            "Basic hunter2",
            "hunter2",
        ] {
            let shown = format!("{:?}", parse(header.as_bytes()));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_no_credential_is_empty(value: Vec<u8>) {
            if let Credential::Bearer(credential) | Credential::ApiKey(credential) = parse(&value) {
                prop_assert!(!credential.is_empty());
                prop_assert!(value.windows(credential.len()).any(|window| window == credential));
            }
        }

        #[test]
        fn the_quick_way_reads_what_the_slow_one_does(value in "[ \t]{0,2}(Bearer|bearer|ApiKey)?[ \t]{0,3}[a \t]{0,3}[ \t]{0,2}") {
            prop_assert_eq!(parse(value.as_bytes()), parse_any(value.as_bytes()));
        }

        #[test]
        fn what_is_presented_arrives_whole(token in "[!-~]([ -~]{0,60}[!-~])?", scheme in "[bB][eE][aA][rR][eE][rR]", before in "[ \t]{0,3}", after in "[ \t]{0,3}") {
            let header = format!("{before}{scheme} {token}{after}");
            prop_assert_eq!(parse(header.as_bytes()), Credential::Bearer(token.as_bytes()));
        }
    }
}
