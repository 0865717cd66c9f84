//! A signing key of the control plane whose signatures TPMs verify.

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;

use crate::lease::lease_key_public;
use crate::tpm::Public;

/// The key behind leases or authorizations. Use separate keys for the two.
pub(crate) struct ExternalKey {
    signing: SigningKey,
    public: Public,
}

impl ExternalKey {
    pub(crate) fn new(signing: SigningKey) -> Self {
        let point = signing.verifying_key().as_affine().to_encoded_point(false);
        let mut x = [0; 32];
        let mut y = [0; 32];
        for (to, from) in x.iter_mut().chain(y.iter_mut()).zip(point.as_bytes().iter().skip(1)) {
            *to = *from;
        }
        Self { signing, public: lease_key_public(&x, &y) }
    }

    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    /// Signs a digest; returns r ‖ s.
    pub(crate) fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], p256::ecdsa::Error> {
        let signature: p256::ecdsa::Signature = self.signing.sign_prehash(digest)?;
        Ok(signature.to_bytes().into())
    }
}
