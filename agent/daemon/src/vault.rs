//! The vault: tokens at rest under a key that only the TPM gives out, and only under a lease.

use std::collections::BTreeMap;

use pawl_proto::local::Token;
use pawl_proto::{Epoch, PairingId};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::random;

/// The tokens by name, and the key that seals them. Both are zeroized when this is dropped.
pub(crate) struct Vault {
    key: Zeroizing<[u8; 32]>,
    tokens: BTreeMap<String, Kept>,
}

/// A token, and when it came.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: Token,
    /// Seconds since 1970. In vaults of earlier versions it is missing, and their tokens are asked for anew.
    #[serde(default = "never")]
    kept_at: u64,
}

fn never() -> u64 {
    u64::MAX
}

impl Kept {
    /// A clock that was ahead when the token came, and was set right since, must not make the token live longer: what
    /// came later than now has expired.
    fn is_live(&self, now: u64) -> bool {
        self.kept_at <= now && now < self.token.expires_at
    }
}

impl Vault {
    /// The vault with this key, and what `sealed` holds. A vault that does not open (a damaged
    /// file, another pairing's file) is an empty one: its tokens are asked for anew.
    pub(crate) fn open(key: Zeroizing<[u8; 32]>, sealed: Option<&[u8]>, binding: Binding) -> Self {
        let tokens = sealed.and_then(|sealed| unseal(&key, sealed, binding)).unwrap_or_default();
        Self { key, tokens }
    }

    /// The token of this name, if it lives at `now`, Unix seconds.
    pub(crate) fn token(&self, name: &str, now: u64) -> Option<&Token> {
        self.tokens.get(name).filter(|kept| kept.is_live(now)).map(|kept| &kept.token)
    }

    /// Keeps a token that has come at `now` under a name.
    pub(crate) fn put(&mut self, name: &str, token: Token, now: u64) {
        self.tokens.insert(name.to_owned(), Kept { token, kept_at: now });
    }

    /// Drops the tokens that have expired by `now`, Unix seconds.
    pub(crate) fn drop_expired(&mut self, now: u64) {
        self.tokens.retain(|_, kept| kept.is_live(now));
    }

    /// The tokens, sealed for the disk; none if sealing failed.
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

/// What a sealed vault belongs to: it opens nowhere else.
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

fn unseal(key: &[u8; 32], sealed: &[u8], binding: Binding) -> Option<BTreeMap<String, Kept>> {
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
    use super::*;

    fn binding(epoch: u64) -> Binding {
        Binding { pairing: PairingId::from_random([7; 16]), epoch: Epoch(epoch) }
    }

    fn token() -> Token {
        Token {
            access_token: "secret-value".to_owned(),
            token_type: "DPoP".to_owned(),
            expires_at: 100,
            scope: "telemetry".to_owned(),
            dpop: None,
        }
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_and_binding_alone() {
        let key = || Zeroizing::new([1; 32]);
        let mut vault = Vault::open(key(), None, binding(3));
        vault.put("telemetry", token(), 50);
        let sealed = vault.seal(binding(3)).unwrap();
        assert!(!sealed.windows(12).any(|window| window == b"secret-value"));

        let opened = Vault::open(key(), Some(&sealed), binding(3));
        assert_eq!(opened.token("telemetry", 60).unwrap().access_token, "secret-value");
        let elsewhere = Vault::open(key(), Some(&sealed), binding(4));
        assert!(elsewhere.token("telemetry", 60).is_none(), "opened in another epoch");
        let other_key = Vault::open(Zeroizing::new([2; 32]), Some(&sealed), binding(3));
        assert!(other_key.token("telemetry", 60).is_none(), "opened with another key");
        for cut in [0, 5, sealed.len() - 1] {
            let damaged = Vault::open(key(), sealed.get(..cut), binding(3));
            assert!(damaged.token("telemetry", 60).is_none(), "opened when cut at {cut}");
        }
    }

    #[test]
    fn expired_tokens_go() {
        let mut vault = Vault::open(Zeroizing::new([1; 32]), None, binding(3));
        vault.put("telemetry", token(), 50);
        vault.drop_expired(99);
        assert!(vault.token("telemetry", 60).is_some());
        assert!(vault.token("telemetry", 100).is_none());
        vault.drop_expired(100);
        assert!(vault.token("telemetry", 60).is_none());
    }

    #[test]
    fn a_clock_that_was_ahead_when_a_token_came_does_not_lengthen_its_life() {
        let mut vault = Vault::open(Zeroizing::new([1; 32]), None, binding(3));
        vault.put("telemetry", token(), 50);
        assert!(vault.token("telemetry", 50).is_some());
        assert!(vault.token("telemetry", 49).is_none(), "the clock was set back, and the token lives on");
        vault.drop_expired(49);
        assert!(vault.token("telemetry", 50).is_none());
    }
}
