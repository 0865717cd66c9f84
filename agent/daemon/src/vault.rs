//! The vault: tokens sealed on the disk under a key that the TPM releases only under a lease.

use std::collections::BTreeMap;

use pawl_local_api::Token;
use pawl_proto::message::{Entitlement, Lacking};
use pawl_proto::{Epoch, PairingId};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::random;

/// The tokens by name, and the key that seals them. Both are zeroized on drop. Every token is within the entitlement.
pub(crate) struct Vault {
    key: Zeroizing<[u8; 32]>,
    tokens: BTreeMap<String, Held>,
    entitlement: Entitlement,
}

/// A token, its audience, and when it arrived. A sealed vault of an earlier version, whose tokens lack the last two, counts as
/// empty.
#[derive(Serialize, Deserialize)]
struct Held {
    token: Token,
    audience: String,
    /// Seconds since 1970.
    kept_at: u64,
}

impl Held {
    /// Returns whether the token is valid at `now`. A token that arrived later than `now` counts as expired: the clock was ahead
    /// when it arrived and was corrected since, which must not extend the token's life.
    fn is_live(&self, now: u64) -> bool {
        self.kept_at <= now && now < self.token.expires_at
    }

    fn lacking(&self, entitlement: &Entitlement) -> Option<Lacking> {
        entitlement.lacking(self.token.scope.split_ascii_whitespace(), &self.audience)
    }
}

impl Vault {
    /// Returns the vault with this key and those tokens of `sealed` that the entitlement covers. If `sealed` does not decrypt (a
    /// damaged file, another pairing's file), the vault is empty, and the daemon requests the tokens again.
    pub(crate) fn open(
        key: Zeroizing<[u8; 32]>,
        sealed: Option<&[u8]>,
        binding: Binding,
        entitlement: Entitlement,
    ) -> Self {
        let tokens = sealed.and_then(|sealed| unseal(&key, sealed, binding)).unwrap_or_default();
        let mut vault = Self { key, tokens, entitlement: entitlement.clone() };
        vault.restrict(entitlement);
        vault
    }

    /// Returns the token of this name, if it is valid at `now`, in Unix seconds.
    pub(crate) fn token(&self, name: &str, now: u64) -> Option<&Token> {
        self.tokens.get(name).filter(|held| held.is_live(now)).map(|held| &held.token)
    }

    /// Adds a token that arrived at `now` under a name, if it is within the entitlement.
    ///
    /// # Errors
    /// The scopes and the audience of the token that the entitlement lacks. The token is dropped.
    pub(crate) fn put(&mut self, name: &str, token: Token, audience: &str, now: u64) -> Result<(), Lacking> {
        let held = Held { token, audience: audience.to_owned(), kept_at: now };
        match held.lacking(&self.entitlement) {
            Some(lacking) => Err(lacking),
            None => {
                self.tokens.insert(name.to_owned(), held);
                Ok(())
            }
        }
    }

    /// Sets the entitlement, and drops the tokens outside it. Returns their names.
    pub(crate) fn restrict(&mut self, entitlement: Entitlement) -> Vec<String> {
        let outside = |(name, held): (&String, &Held)| held.lacking(&entitlement).map(|_| name.clone());
        let dropped: Vec<String> = self.tokens.iter().filter_map(outside).collect();
        dropped.iter().for_each(|name| drop(self.tokens.remove(name)));
        self.entitlement = entitlement;
        dropped
    }

    /// Returns the tokens with their names, their audiences, and their times of arrival in Unix seconds.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&str, &Token, &str, u64)> {
        self.tokens
            .iter()
            .map(|(name, held)| (name.as_str(), &held.token, held.audience.as_str(), held.kept_at))
    }

    /// Returns the present entitlement.
    pub(crate) fn entitlement(&self) -> &Entitlement {
        &self.entitlement
    }

    /// Drops the tokens that have expired by `now`, Unix seconds.
    pub(crate) fn drop_expired(&mut self, now: u64) {
        self.tokens.retain(|_, held| held.is_live(now));
    }

    /// Returns the tokens sealed for the disk; none if sealing failed.
    pub(crate) fn seal(&self, binding: Binding) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random::bytes();
        let mut plain = Zeroizing::new(serde_json::to_vec(&self.tokens).ok()?);
        let tag = cipher(&self.key)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(binding.bytes()),
                &mut plain,
            )
            .ok()?;
        Some([nonce.as_slice(), &plain, tag.as_ref()].concat())
    }
}

/// The pairing and the epoch of a sealed vault, which decrypts for no other pairing or epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) pairing: PairingId,
    pub(crate) epoch: Epoch,
}

impl Binding {
    fn bytes(self) -> Vec<u8> {
        format!("pawl vault 1 {} {}", self.pairing, self.epoch).into_bytes()
    }
}

fn unseal(key: &[u8; 32], sealed: &[u8], binding: Binding) -> Option<BTreeMap<String, Held>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(binding.bytes()), &mut body)
        .ok()?;
    let tokens = serde_json::from_slice(plain).ok();
    plain.zeroize();
    tokens
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use pawl_proto::Text;
    use pawl_proto::message::Standing;

    use super::*;

    fn binding(epoch: u64) -> Binding {
        Binding { pairing: PairingId::from_random([7; 16]), epoch: Epoch(epoch) }
    }

    const API: &str = "https://api.example";

    fn entitlement(scopes: &[&str], audiences: &[&str]) -> Entitlement {
        Entitlement {
            standing: Standing::Active,
            scopes: scopes.iter().map(|scope| Text::lossy(scope)).collect(),
            audiences: audiences.iter().map(|audience| Text::lossy(audience)).collect(),
        }
    }

    fn open(key: Zeroizing<[u8; 32]>, sealed: Option<&[u8]>, binding: Binding) -> Vault {
        Vault::open(key, sealed, binding, entitlement(&["telemetry"], &[API]))
    }

    fn token() -> Token {
        token_of("telemetry")
    }

    fn token_of(scope: &str) -> Token {
        Token {
            access_token: "secret-value".to_owned(),
            token_type: "DPoP".to_owned(),
            expires_at: 100,
            scope: scope.to_owned(),
            dpop: None,
        }
    }

    #[test]
    fn a_sealed_vault_opens_only_with_its_key_and_its_binding() {
        let key = || Zeroizing::new([1; 32]);
        let mut vault = open(key(), None, binding(3));
        vault.put("telemetry", token(), API, 50).unwrap();
        let sealed = vault.seal(binding(3)).unwrap();
        assert!(!sealed.windows(12).any(|window| window == b"secret-value"));

        let opened = open(key(), Some(&sealed), binding(3));
        assert_eq!(opened.token("telemetry", 60).unwrap().access_token, "secret-value");
        let elsewhere = open(key(), Some(&sealed), binding(4));
        assert!(elsewhere.token("telemetry", 60).is_none(), "opened in another epoch");
        let other_key = open(Zeroizing::new([2; 32]), Some(&sealed), binding(3));
        assert!(other_key.token("telemetry", 60).is_none(), "opened with another key");
        for cut in [0, 5, sealed.len() - 1] {
            let damaged = open(key(), sealed.get(..cut), binding(3));
            assert!(damaged.token("telemetry", 60).is_none(), "opened when cut at {cut}");
        }
    }

    #[test]
    fn expired_tokens_are_dropped() {
        let mut vault = open(Zeroizing::new([1; 32]), None, binding(3));
        vault.put("telemetry", token(), API, 50).unwrap();
        vault.drop_expired(99);
        assert!(vault.token("telemetry", 60).is_some());
        assert!(vault.token("telemetry", 100).is_none());
        vault.drop_expired(100);
        assert!(vault.token("telemetry", 60).is_none());
    }

    #[test]
    fn a_clock_that_was_ahead_when_a_token_came_does_not_lengthen_its_life() {
        let mut vault = open(Zeroizing::new([1; 32]), None, binding(3));
        vault.put("telemetry", token(), API, 50).unwrap();
        assert!(vault.token("telemetry", 50).is_some());
        assert!(vault.token("telemetry", 49).is_none(), "the clock was set back, and the token lives on");
        vault.drop_expired(49);
        assert!(vault.token("telemetry", 50).is_none());
    }

    #[test]
    fn a_token_outside_the_entitlement_is_never_in_the_vault() {
        let binding = binding(3);
        let key = || Zeroizing::new([1; 32]);
        let mut vault = Vault::open(key(), None, binding, entitlement(&["telemetry", "door"], &[API]));
        vault.put("telemetry", token(), API, 50).unwrap();
        let lacking = vault.put("other", token(), "https://other.example", 50).unwrap_err();
        assert_eq!(lacking.to_string(), "the audience https://other.example");
        vault.put("both", token_of("telemetry door"), API, 50).unwrap();
        let sealed = vault.seal(binding).unwrap();

        assert_eq!(vault.restrict(entitlement(&["telemetry"], &[API])), ["both"]);
        assert!(vault.token("both", 60).is_none() && vault.token("telemetry", 60).is_some());
        assert!(vault.put("late", token_of("door"), API, 50).is_err(), "requested before, received after");
        // The file on the disk is older than the entitlement.
        let opened = Vault::open(key(), Some(&sealed), binding, entitlement(&["door"], &[API]));
        assert!(opened.token("telemetry", 60).is_none() && opened.token("both", 60).is_none());
        assert_eq!(vault.restrict(entitlement(&["telemetry"], &["https://other.example"])), ["telemetry"]);
    }
}
