use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::x509::{Certificate, is_signed_by, organization, shown};

/// A CA's certificate.
#[derive(Debug, Clone)]
pub struct VendorCa {
    pub(super) certificate: Certificate,
    der: Vec<u8>,
}

/// What a CA's certificate is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaRank {
    /// It signed itself.
    Root,
    /// A known CA signed it.
    Intermediate,
    /// Another CA signed it, which is not known.
    UnknownIssuer,
}

/// Why a CA's certificate cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CaProblem {
    /// It may not sign certificates.
    #[error("its key usage does not allow it to sign certificates")]
    MayNotSign,
    /// Something critical in it is not understood.
    #[error("it has a critical extension that is not understood")]
    Critical,
    /// Its key makes signatures that are not checked.
    #[error("its key is not RSA of 2048 to 4096 bits, nor on the curve P-256 or P-384")]
    Key,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet")]
    NotYetValid,
    /// The CA that it names did not sign it.
    #[error("it is not signed by {0}, the issuer that it names")]
    Signature(String),
}

impl VendorCa {
    /// `None` when it is no CA's certificate.
    pub(super) fn new(certificate: Certificate, der: &[u8]) -> Option<Self> {
        certificate.extensions.is_ca.then(|| Self { certificate, der: der.to_vec() })
    }

    /// The certificate, as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The organization that the certificate is about, for people.
    #[must_use]
    pub fn organization(&self) -> Option<String> {
        organization(&self.certificate.subject)
    }

    /// The common name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.certificate.subject)
    }

    /// The common name of its issuer, for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        shown(&self.certificate.issuer)
    }

    /// The first and the last second in which it is valid, since 1970.
    #[must_use]
    pub fn validity(&self) -> (i64, i64) {
        self.certificate.validity()
    }

    /// Whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.certificate.subject == self.certificate.issuer
    }

    /// Whether `other` is the same certificate.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.der == other.der
    }

    /// Checks whether endorsement certificates may lead to this CA at the time `now`, in seconds since 1970.
    ///
    /// A trusted CA's own signature proves nothing, since it is trusted for itself. It is checked where its
    /// algorithm is accepted, to find files that were altered: by its own key, or by the CAs of its issuer's
    /// name among `known`.
    ///
    /// # Errors
    /// [`CaProblem`]
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
