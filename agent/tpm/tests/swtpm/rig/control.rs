use p256::ecdsa::SigningKey;
use pawl_evidence::{
    attest::{AttestationKey, VerifiedAttest},
    lease::{LeaseKey, LeaseTerms},
    tpm::{Name, Public},
};
use pawl_tpm::{Attestation, Binding, Counter, LeaseGrant, Tpm};

use super::selection;

/// The control plane's side: it signs leases and believes nothing.
pub(crate) struct ControlPlane {
    pub(crate) lease_key: LeaseKey,
    pub(crate) policy_ref: [u8; 32],
}

impl ControlPlane {
    pub(crate) fn new(seed: u8) -> Self {
        let signing = SigningKey::from_slice(&[seed; 32]).unwrap();
        Self { lease_key: LeaseKey::new(signing), policy_ref: [seed ^ 0xff; 32] }
    }

    pub(crate) fn binding(&self, counter: &Counter) -> Binding {
        Binding {
            counter: counter.clone(),
            lease_public: self.lease_key.public().as_bytes().to_vec(),
            policy_ref: self.policy_ref,
        }
    }

    /// Terms that the present state just meets, but for the deadline, which is now.
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

/// Checks what the attestation key signed.
pub(crate) async fn verify(tpm: &Tpm, attestation: &Attestation, qualifying: [u8; 32]) -> VerifiedAttest {
    let identity = tpm.identity().await.unwrap();
    let ak = AttestationKey::from_public(Public::unmarshal(&identity.ak_public).unwrap()).unwrap();
    ak.verify(&attestation.attest, &attestation.signature, &qualifying).unwrap()
}
