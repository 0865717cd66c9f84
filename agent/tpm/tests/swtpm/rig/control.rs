use std::num::NonZeroU16;

use p256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::hazmat::PrehashVerifier};
use pawl_evidence::{
    assurance::{AuthorizationKey, cp_hash_of_sign},
    attest::{AttestationKey, VerifiedAttest},
    lease::{LeaseKey, LeaseTerms},
    tpm::{Name, Public, PublicKey},
};
use pawl_tpm::{Attestation, Authorization, Binding, Counter, KeyBlob, LeaseGrant, Tpm};

use super::selection;

/// The control plane's side: signs leases and authorizations, and verifies what the TPM signs.
pub(crate) struct ControlPlane {
    pub(crate) lease_key: LeaseKey,
    pub(crate) authorization_key: AuthorizationKey,
    pub(crate) policy_ref: [u8; 32],
}

impl ControlPlane {
    pub(crate) fn new(seed: u8) -> Self {
        let signing = |seed| SigningKey::from_slice(&[seed; 32]).unwrap();
        Self {
            lease_key: LeaseKey::new(signing(seed)),
            authorization_key: AuthorizationKey::new(signing(seed + 100)),
            policy_ref: [seed ^ 0xff; 32],
        }
    }

    pub(crate) fn binding(&self, counter: &Counter) -> Binding {
        Binding {
            counter: counter.clone(),
            lease_public: self.lease_key.public().as_bytes().to_vec(),
            action_public: self.authorization_key.public().as_bytes().to_vec(),
            policy_ref: self.policy_ref,
        }
    }

    /// Allows one signature over `digest` by `key` in the session of this nonce.
    pub(crate) fn authorize(
        &self,
        key: &KeyBlob,
        nonce_tpm: &[u8; 32],
        expiration_s: u16,
        digest: &[u8; 32],
    ) -> Authorization {
        let cp_hash = cp_hash_of_sign(&Public::unmarshal(&key.public).unwrap().name(), digest);
        let expiration_s = NonZeroU16::new(expiration_s).unwrap();
        let key = &self.authorization_key;
        Authorization {
            authority_public: key.public().as_bytes().to_vec(),
            policy_ref: self.policy_ref,
            expiration_s,
            signature: key.authorize(nonce_tpm, expiration_s, &cp_hash, &self.policy_ref).unwrap(),
        }
    }

    /// Returns terms that hold in the present state, except for the deadline, which is now.
    pub(crate) async fn terms(&self, tpm: &Tpm, counter: &Counter) -> LeaseTerms {
        let pcrs = tpm.read_pcrs(&selection()).await.unwrap();
        let clock = tpm.clock().await.unwrap();
        LeaseTerms {
            selection: selection(),
            pcr_digest: pcrs.policy_digest(&selection()).unwrap(),
            counter_name: Name::from_bytes(&counter.name).unwrap(),
            epoch: counter.epoch,
            reset_count_max: clock.reset_count,
            clock_before: clock.clock_ms,
        }
    }

    pub(crate) fn grant(&self, terms: LeaseTerms) -> LeaseGrant {
        LeaseGrant {
            lease_public: self.lease_key.public().as_bytes().to_vec(),
            policy_ref: self.policy_ref,
            signature: self.lease_key.sign(&terms, &self.policy_ref).unwrap(),
            terms,
        }
    }
}

#[track_caller]
pub(crate) fn assert_signed(key: &KeyBlob, digest: &[u8; 32], signature: &[u8; 64]) {
    let public = Public::unmarshal(&key.public).unwrap();
    let PublicKey::Ecc { x, y, .. } = public.key() else { panic!("not an ECC key") };
    let point = [&[4][..], x, y].concat();
    let verifying = VerifyingKey::from_sec1_bytes(&point).unwrap();
    verifying.verify_prehash(digest, &Signature::from_slice(signature).unwrap()).unwrap();
}

/// Checks what the attestation key signed.
pub(crate) async fn verify(tpm: &Tpm, attestation: &Attestation, qualifying: [u8; 32]) -> VerifiedAttest {
    let identity = tpm.identity().await.unwrap();
    let ak = AttestationKey::from_public(Public::unmarshal(&identity.ak_public).unwrap()).unwrap();
    ak.verify(&attestation.attest, &attestation.signature, &qualifying).unwrap()
}
