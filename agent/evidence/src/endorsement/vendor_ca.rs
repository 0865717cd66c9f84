use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::x509::{Certificate, is_signed_by, organization, shown};

/// A CA's certificate.
#[derive(Debug, Clone)]
pub struct VendorCa {
    pub(super) certificate: Certificate,
    der: Vec<u8>,
}

/// A CA certificate's relation to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaRank {
    /// It signed itself.
    Root,
    /// A known CA signed it.
    Intermediate,
    /// An unknown CA signed it.
    UnknownIssuer,
}

/// Why a CA's certificate cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CaProblem {
    /// It must not sign certificates.
    #[error("its key usage does not allow it to sign certificates")]
    MayNotSign,
    /// It has a critical extension that Pawl does not support.
    #[error("it has a critical extension that is not understood")]
    Critical,
    /// Signatures of its key cannot be checked.
    #[error("its key is not RSA of 2048 to 4096 bits, nor on the curve P-256 or P-384")]
    Key,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    NotYetValid,
    /// The CA that it names did not sign it.
    #[error("it is not signed by {0}, the issuer that it names")]
    Signature(String),
}

impl VendorCa {
    /// Returns `None` if the certificate is not a CA's.
    pub(super) fn new(certificate: Certificate, der: &[u8]) -> Option<Self> {
        certificate.extensions.is_ca.then(|| Self { certificate, der: der.to_vec() })
    }

    /// Returns the certificate in DER, unmodified.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the SHA-256 of the certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// Returns the subject's organization, for display.
    #[must_use]
    pub fn organization(&self) -> Option<String> {
        organization(&self.certificate.subject)
    }

    /// Returns the subject's common name, for display.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.certificate.subject)
    }

    /// Returns the issuer's common name, for display.
    #[must_use]
    pub fn issuer(&self) -> String {
        shown(&self.certificate.issuer)
    }

    /// Returns the first and the last second of validity, since 1970.
    #[must_use]
    pub fn validity(&self) -> (i64, i64) {
        self.certificate.validity()
    }

    /// Returns whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.certificate.subject == self.certificate.issuer
    }

    /// Returns whether `other` is the same certificate.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.der == other.der
    }

    /// Checks whether endorsement certificates may lead to this CA at the time `now`, in seconds since 1970.
    ///
    /// A trusted CA's own signature proves nothing, because the CA is a trust anchor. If its algorithm is
    /// accepted, it is checked against its own key or the CAs in `known` with its issuer's name, to find altered
    /// files.
    ///
    /// # Errors
    /// [`CaProblem`] says why the CA is unusable.
    pub fn check<'a>(
        &self,
        known: impl IntoIterator<Item = &'a VendorCa>,
        now: u64,
    ) -> Result<CaRank, CaProblem> {
        let certificate = &self.certificate;
        let (from, to) = certificate.validity();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        if !certificate.extensions.may_sign_certificates {
            return Err(CaProblem::MayNotSign);
        }
        if certificate.extensions.has_unknown_critical {
            return Err(CaProblem::Critical);
        }
        if !certificate.key.can_verify() {
            return Err(CaProblem::Key);
        }
        if now > to {
            return Err(CaProblem::Expired);
        }
        if now < from {
            return Err(CaProblem::NotYetValid);
        }
        if self.is_self_issued() {
            let is_signed =
                !certificate.has_accepted_algorithm() || is_signed_by(certificate, &certificate.key);
            return if is_signed { Ok(CaRank::Root) } else { Err(CaProblem::Signature(self.issuer())) };
        }
        let mut issuers =
            known.into_iter().filter(|ca| ca.certificate.subject == certificate.issuer).peekable();
        if issuers.peek().is_none() {
            return Ok(CaRank::UnknownIssuer);
        }
        let is_signed = !certificate.has_accepted_algorithm()
            || issuers.any(|ca| is_signed_by(certificate, &ca.certificate.key));
        if is_signed { Ok(CaRank::Intermediate) } else { Err(CaProblem::Signature(self.issuer())) }
    }
}
