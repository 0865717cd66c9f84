use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::vendor_ca::VendorCa;
use crate::x509::{Certificate, RevocationList, shown};

/// A CA's revocation list (RFC 5280, section 5).
#[derive(Debug, Clone)]
pub struct VendorList {
    list: RevocationList,
    der: Vec<u8>,
}

/// Why a revocation list is unusable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListProblem {
    /// No known CA has its issuer's name.
    #[error("no known CA is named {0}, its issuer")]
    UnknownIssuer(String),
    /// The CA with its issuer's name did not sign it.
    #[error("it is not signed by {0}, its issuer")]
    Signature(String),
}

impl VendorList {
    pub(super) fn new(list: RevocationList, der: &[u8]) -> Self {
        Self { list, der: der.to_vec() }
    }

    /// Returns the list in DER, unmodified.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the issuer's common name, for display.
    #[must_use]
    pub fn issuer(&self) -> String {
        shown(&self.list.issuer)
    }

    /// Returns the SHA-256 of the issuer and of the subset of its certificates that the list covers. A newer
    /// list of the same scope replaces an older one.
    #[must_use]
    pub fn scope(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(Sha256::digest(&self.list.issuer))
            .chain_update(&self.list.scope)
            .finalize()
            .into()
    }

    /// Returns the time of publication, in seconds since 1970.
    #[must_use]
    pub fn this_update(&self) -> i64 {
        self.list.this_update
    }

    /// Returns when the next list is due, in seconds since 1970; `None` if the issuer does not say.
    #[must_use]
    pub fn next_update(&self) -> Option<i64> {
        self.list.next_update
    }

    /// Returns the number of revoked certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether it revokes no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether at the time `now`, in seconds since 1970, a newer list is due or this one is not valid
    /// yet.
    #[must_use]
    pub fn is_stale_at(&self, now: u64) -> bool {
        self.list.is_stale_at(i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// Checks that one of the known CAs signed it.
    ///
    /// # Errors
    /// [`ListProblem`] says why none did.
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

    /// Returns whether it names `issuer`, without checking its signature.
    pub(super) fn names(&self, issuer: &Certificate) -> bool {
        self.list.issuer == issuer.subject
    }

    /// Returns whether `issuer` signed it. The issuer's key usage need not include cRLSign: a CA that may issue
    /// a certificate may revoke it, and ignoring its list would trust more.
    pub(super) fn is_by(&self, issuer: &Certificate) -> bool {
        self.names(issuer) && self.list.is_signed_by(&issuer.key)
    }

    /// Returns whether it revokes the certificate, which the list's issuer issued.
    pub(super) fn revokes(&self, certificate: &Certificate) -> bool {
        self.list.revokes(&certificate.serial)
    }
}
