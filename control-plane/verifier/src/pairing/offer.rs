//! Makes and opens offers: a credential for the claimed TPM.
//!
//! The control plane stores no offer. It derives the offer's secret and nonce from its offer key, the session's id, the offer's
//! expiry and the request; the device sends the request and the expiry back with its proof. So claims use no memory, and no
//! claim can displace another one.

use hmac::{Hmac, Mac as _};
use pawl_evidence::credential::make_credential;
use pawl_evidence::endorsement::VendorCas;
use pawl_evidence::rand_core::CryptoRngCore;
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::message::{Credential, PairingOffer, PairingRequest, RefusalCode, SessionProof};
use pawl_proto::{Digest, Nonce, SessionId};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::claim::{Claim, VendorCheck};
use super::proof::check_secret;
use crate::refusal::Refusal;
use crate::session::stale;

/// Seconds until an offer expires.
pub const OFFER_SECONDS: u64 = 600;

/// The key from which the secrets of offers are derived. It is as long as a block of SHA-256, so HMAC uses it unchanged.
pub struct OfferKey(Zeroizing<[u8; 64]>);

impl OfferKey {
    /// Returns the key with these random bytes.
    #[must_use]
    pub fn new(key: Zeroizing<[u8; 64]>) -> Self {
        Self(key)
    }

    /// Makes the offer that answers a claim. `session` must be random.
    ///
    /// # Errors
    /// [`OfferError`]
    pub fn offer(
        &self,
        claim: &Claim,
        request: &PairingRequest,
        session: SessionId,
        now: u64,
        random: &mut impl CryptoRngCore,
    ) -> Result<PairingOffer, OfferError> {
        let expires = now.saturating_add(OFFER_SECONDS);
        let Derived { secret, nonce } = self.derive_offer(session, expires, request)?;
        let credential = credential(claim, secret.as_slice(), random)?;
        Ok(PairingOffer { version: Version, session, credential, nonce, expires })
    }

    /// Returns the offer that a proof answers. Checks that this key made it for this request, that it has not expired, and that
    /// the claimed TPM opened its credential.
    ///
    /// # Errors
    /// [`OfferError`]
    pub fn open(
        &self,
        id: SessionId,
        proof: &SessionProof,
        vendors: Option<&VendorCas>,
        now: u64,
    ) -> Result<OpenedOffer, OfferError> {
        if now >= proof.expires || proof.expires > now.saturating_add(OFFER_SECONDS) {
            return Err(stale().into());
        }
        let Derived { secret, nonce } = self.derive_offer(id, proof.expires, &proof.request)?;
        check_secret(secret.as_slice().ct_eq(proof.secret.as_bytes()).into())?;
        let request = proof.request.clone();
        let claim = Claim::parse(&request)?;
        let vendor_check = claim.check_vendor(vendors, &request, now)?;
        Ok(OpenedOffer { id, request, claim, vendor_check, nonce })
    }

    fn derive_offer(
        &self,
        id: SessionId,
        expires: u64,
        request: &PairingRequest,
    ) -> Result<Derived, EncodeError> {
        let request = Digest::of(&pawl_proto::encode(request)?);
        let (id, expires) = (id.to_string(), expires.to_be_bytes());
        let about: [&[u8]; 3] = [id.as_bytes(), &expires, request.as_bytes()];
        Ok(Derived { secret: self.derive("secret", &about), nonce: Nonce(*self.derive("nonce", &about)) })
    }

    /// Returns HMAC-SHA256 over a purpose and the fields of an offer. Without the key it is indistinguishable from a random
    /// value.
    fn derive(&self, purpose: &str, about: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new(self.0.as_slice().into());
        for part in [purpose.as_bytes()].iter().chain(about) {
            // Each part follows its length, so no two lists of parts have the same bytes.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// An offer that the claimed TPM has opened: its endorsement key and its attestation key are in one TPM.
pub struct OpenedOffer {
    /// The session.
    pub id: SessionId,
    /// The request.
    pub request: PairingRequest,
    /// The claim in it.
    pub claim: Claim,
    /// The result of checking the TPM vendors' certificates.
    pub vendor_check: VendorCheck,
    /// The nonce of the offer.
    pub nonce: Nonce,
}

impl OpenedOffer {
    /// Parses the claim in the request again.
    ///
    /// # Errors
    /// [`Refusal`] if the claim is malformed. The claim of an opened offer never is.
    pub fn claim(&self) -> Result<Claim, Refusal> {
        Claim::parse(&self.request)
    }
}

struct Derived {
    secret: Zeroizing<[u8; 32]>,
    nonce: Nonce,
}

/// Why an offer cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl OfferError {
    /// Returns the refusal that the device gets.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Encode(error) => Refusal::new(RefusalCode::Malformed, error),
        }
    }
}

/// Makes the credential from which only the claimed TPM can read `secret`. `random` is the source of the ephemeral key.
///
/// # Errors
/// [`Refusal`] if the endorsement key is not usable.
pub fn credential(
    claim: &Claim,
    secret: &[u8],
    random: &mut impl CryptoRngCore,
) -> Result<Credential, Refusal> {
    make_credential(&claim.endorsement_key, &claim.attestation_key.name(), secret, random)
        .map_err(|error| Refusal::new(RefusalCode::EndorsementKey, error))
}
