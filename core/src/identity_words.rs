//! An [`Identity`] as five words, for bindings that keep it where no Rust type can be kept.
//!
//! Invariants: what was made by `to_words` comes back as it was; any other words are an identity or none, and never
//! undefined. The words hold no secret. They mean something only to the process that made them: a secret token stands there by a
//! number of its own.

use crate::client::Identity;
use crate::client_ip::ClientKey;
use crate::credential::TokenId;
use crate::credential::api_key::Privileges;
use crate::reason::{METHODS, REASONS, Reason};

/// The method's byte if there is none.
const NO_METHOD: u8 = u8::MAX;

impl Identity {
    /// This identity as words: codes, the client's bits (high, low), the generation, the token's number.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn to_words(self) -> [u64; 5] {
        let method = self.method.map_or(NO_METHOD, |method| method.index() as u8);
        let codes = [
            self.reason.index() as u8,
            method,
            self.privileges.bits() as u8,
            self.client.prefix(),
            0,
            0,
            0,
            0,
        ];
        let bits = self.client.bits();
        [
            u64::from_le_bytes(codes),
            (bits >> 64) as u64,
            bits as u64,
            self.generation,
            TokenId::number(self.token),
        ]
    }

    /// The identity of these words; `None` if they are those of none.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn from_words(words: [u64; 5]) -> Option<Self> {
        let [reason, method, privileges, prefix, zeros @ ..] = words[0].to_le_bytes();
        let reason = *REASONS.get(usize::from(reason))?;
        let method = match method {
            NO_METHOD => None,
            index => Some(*METHODS.get(usize::from(index))?),
        };
        // Identified if and only if let in.
        let consistent = method.is_some() == (reason == Reason::Allowed);
        if !consistent || zeros != [0; 4] || prefix > 128 || privileges > 0b111 {
            return None;
        }
        Some(Self {
            method,
            reason,
            privileges: Privileges::from_bits(privileges.into()),
            client: ClientKey::from_parts(
                (u128::from(words[1]) << 64) | u128::from(words[2]),
                prefix,
            ),
            generation: words[3],
            token: TokenId::from_number(words[4]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, Request};
    use proptest::prelude::*;

    #[test]
    fn identities_survive_being_words() {
        let engine = Engine::from_yaml(
            "{apm-server.auth.secret_token: abcdefgh, apm-server.auth.anonymous.enabled: true}",
        )
        .unwrap();
        for ip in ["203.0.113.9", "2001:db8::1", "64:ff9b:0:0:1:2:3:4"] {
            for authorization in [None, Some(&b"Bearer abcdefgh"[..]), Some(b"Bearer wrong")] {
                let request = Request {
                    authorization,
                    ..Request::from_peer(ip.parse().unwrap())
                };
                let identity = engine.authenticate(&request).identity();
                assert_eq!(Identity::from_words(identity.to_words()), Some(identity));
            }
        }
    }

    #[test]
    fn a_zeroed_client_is_nobody() {
        assert_eq!(Identity::from_words([0; 5]), None);
    }

    proptest! {
        #[test]
        fn any_words_are_an_identity_or_none(codes in prop_oneof![any::<u64>(), 0..=u64::from(u32::MAX)], rest: [u64; 4]) {
            let words = [codes, rest[0], rest[1], rest[2], rest[3]];
            if let Some(identity) = Identity::from_words(words) {
                prop_assert_eq!(identity.to_words(), words);
            }
        }
    }
}
