use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;

use super::key::lease_key_public;
use super::terms::{LeaseTerms, to_be_signed};
use crate::tpm::{Name, Public};

/// The control plane's key for leases, together with how a TPM knows it.
pub struct LeaseKey {
    signing: SigningKey,
    public: Public,
}

impl LeaseKey {
    /// Takes a key that is used for leases and for nothing else.
    pub fn new(signing: SigningKey) -> Self {
        let point = signing.verifying_key().as_affine().to_encoded_point(false);
        let mut x = [0; 32];
        let mut y = [0; 32];
        for (to, from) in x.iter_mut().chain(y.iter_mut()).zip(point.as_bytes().iter().skip(1)) {
            *to = *from;
        }
        Self { signing, public: lease_key_public(&x, &y) }
    }

    /// What the device loads into its TPM.
    pub fn public(&self) -> &Public {
        &self.public
    }

    /// The name that is part of the keys' policies.
    pub fn name(&self) -> Name {
        self.public.name()
    }

    /// Signs a lease for the pairing that `policy_ref` stands for; the signature is r ‖ s.
    ///
    /// # Errors
    /// When the signature cannot be computed, which does not happen with a valid key.
    pub fn sign(&self, terms: &LeaseTerms, policy_ref: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        let digest = to_be_signed(&terms.approved_policy(), policy_ref);
        let signature: p256::ecdsa::Signature = self.signing.sign_prehash(&digest)?;
        Ok(signature.to_bytes().into())
    }
}
