//! An [`Identity`] as seven words, for bindings that keep it where no Rust type can be kept.
//!
//! Invariants: what was made by `to_words` comes back as it was; any other words are an identity or none, and never
//! undefined. The words hold no secret. They mean something only to the process that made them: a secret token stands there by a
//! number of its own.

use crate::client::Identity;
use crate::client::Proof;
use crate::client_ip::ClientKey;
use crate::credential::api_key::Privileges;
use crate::credential::{KeyId, TokenId};
use crate::reason::{METHODS, REASONS, Reason};

/// The method's byte if there is none. Zeros are nobody, then: let in, but not identified.
const NO_METHOD: u8 = 0;

/// By what a client was identified, as a byte.
const NOTHING: u8 = 0;
const TOKEN: u8 = 1;
const API_KEY: u8 = 2;

impl Identity {
    /// This identity as words: codes, the client's bits (high, low), the generation, and three for the token's number or the API
    /// key's id.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn to_words(self) -> [u64; 7] {
        let method = self
            .method
            .map_or(NO_METHOD, |method| method.index() as u8 + 1);
        let (kind, proof) = match self.proof {
            Proof::Nothing => (NOTHING, [0; 3]),
            Proof::Token(token) => (TOKEN, [token.number(), 0, 0]),
            Proof::ApiKey(id) => (API_KEY, id.to_words()),
        };
        let codes = [
            self.reason.index() as u8,
            method,
            self.privileges.bits() as u8,
            self.client.prefix(),
            kind,
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
            proof[0],
            proof[1],
            proof[2],
        ]
    }

    /// The identity of these words; `None` if they are those of none.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn from_words(words: [u64; 7]) -> Option<Self> {
        let [codes, high, low, generation, proof @ ..] = words;
        let [reason, method, privileges, prefix, kind, zeros @ ..] = codes.to_le_bytes();
        let reason = *REASONS.get(usize::from(reason))?;
        let method = match method {
            NO_METHOD => None,
            number => Some(*METHODS.get(usize::from(number) - 1)?),
        };
        // Identified if and only if let in.
        let consistent = method.is_some() == (reason == Reason::Allowed);
        if !consistent || zeros != [0; 3] || prefix > 128 || privileges > 0b111 {
            return None;
        }
        let proof = match (kind, proof) {
            (NOTHING, [0, 0, 0]) => Proof::Nothing,
            (TOKEN, [number, 0, 0]) => Proof::Token(TokenId::from_number(number)),
            (API_KEY, id) => Proof::ApiKey(KeyId::from_words(id)?),
            _ => return None,
        };
        Some(Self {
            method,
            reason,
            privileges: Privileges::from_bits(privileges.into()),
            client: ClientKey::from_parts((u128::from(high) << 64) | u128::from(low), prefix),
            generation,
            proof,
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
    fn the_id_of_an_api_key_survives_being_words() {
        let key = crate::api_key::generate_with_id("0123456789-0123456789").unwrap();
        let entry = format!(
            "{{id: {}, hash: '{}', privileges: ['event:write']}}",
            key.id, key.hash
        );
        let engine = Engine::from_yaml(&format!(
            "apm-server.auth.api_key: {{enabled: true, keys: [{entry}]}}"
        ))
        .unwrap();
        let header = format!("ApiKey {}", key.credential.as_str());
        let request = Request {
            authorization: Some(header.as_bytes()),
            ..Request::from_peer([203, 0, 113, 9].into())
        };
        let identity = engine.authenticate(&request).identity();
        assert!(matches!(identity.proof, Proof::ApiKey(_)), "{identity:?}");
        assert_eq!(Identity::from_words(identity.to_words()), Some(identity));
    }

    #[test]
    fn a_zeroed_client_is_nobody() {
        assert_eq!(Identity::from_words([0; 7]), None);
    }

    proptest! {
        #[test]
        fn any_words_are_an_identity_or_none(codes in prop_oneof![any::<u64>(), 0..=u64::from(u32::MAX)], rest: [u64; 6]) {
            let words = [codes, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]];
            if let Some(identity) = Identity::from_words(words) {
                prop_assert_eq!(identity.to_words(), words);
            }
        }
    }
}
