use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::vendor_ca::VendorCa;
use crate::x509::{Certificate, RevocationList, shown};

/// A CA's list of the certificates that it revoked (RFC 5280, section 5).
#[derive(Debug, Clone)]
pub struct VendorList {
    list: RevocationList,
    der: Vec<u8>,
}

/// Why a revocation list cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListProblem {
    /// No CA that is known has its issuer's name.
    #[error("no known CA is named {0}, its issuer")]
    UnknownIssuer(String),
    /// The CA of its issuer's name did not sign it.
    #[error("it is not signed by {0}, its issuer")]
    Signature(String),
}

impl VendorList {
    pub(super) fn new(list: RevocationList, der: &[u8]) -> Self {
        Self { list, der: der.to_vec() }
    }

    /// The list, as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The common name of its issuer, for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        shown(&self.list.issuer)
    }

    /// SHA-256 over whose certificates, and which of them, the list is about. A newer list of the same scope
    /// takes an older one's place.
    #[must_use]
    pub fn scope(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(Sha256::digest(&self.list.issuer))
            .chain_update(&self.list.scope)
            .finalize()
            .into()
    }

    /// When it was published, seconds since 1970.
    #[must_use]
    pub fn this_update(&self) -> i64 {
        self.list.this_update
    }

    /// When the next one is due, seconds since 1970; none where the issuer promises none.
    #[must_use]
    pub fn next_update(&self) -> Option<i64> {
        self.list.next_update
    }

    /// How many certificates it revokes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether it revokes no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a newer list is due at the time `now`, in seconds since 1970, or this one's time has not begun.
    #[must_use]
    pub fn is_stale_at(&self, now: u64) -> bool {
        self.list.is_stale_at(i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// Checks that one of the known CAs signed it.
    ///
    /// # Errors
    /// [`ListProblem`]
    pub fn check<'a>(&self, known: impl IntoIterator<Item = &'a VendorCa>) -> Result<(), ListProblem> {
        let mut issuers =
            known.into_iter().filter(|ca| ca.certificate.subject == self.list.issuer).peekable();
        if issuers.peek().is_none() {
            return Err(ListProblem::UnknownIssuer(self.issuer()));
        }
        match issuers.any(|ca| self.is_by(&ca.certificate)) {
            true => Ok(()),
            false => Err(ListProblem::Signature(self.issuer())),
        }
    }

    /// Whether it names `issuer`; its signature is not checked.
    pub(super) fn names(&self, issuer: &Certificate) -> bool {
        self.list.issuer == issuer.subject
    }

    /// Whether `issuer` signed it. Its key usage need not include cRLSign: who may issue a certificate may revoke
    /// it, and to pass over the list would trust more.
    pub(super) fn is_by(&self, issuer: &Certificate) -> bool {
        self.names(issuer) && self.list.is_signed_by(&issuer.key)
    }

    /// Whether it revokes the certificate, which its issuer issued.
    pub(super) fn revokes(&self, certificate: &Certificate) -> bool {
        self.list.revokes(&certificate.serial)
    }
}
