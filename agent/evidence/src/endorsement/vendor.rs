//! The files that operators import from TPM vendors: CA certificates and revocation lists.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::x509::{
    Certificate, ListError, REVOCATION_LIST_MAX_LEN, RevocationList, is_pem, is_signed_by, organization,
    pem_certificates, pem_revocation_lists, shown,
};

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
    #[error("it has a critical extension that is not supported")]
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
    /// The signature of a trusted CA's certificate proves nothing, because the CA is a trust anchor. To find altered
    /// files, this function still checks a signature with an accepted algorithm: against the CA's own key if the
    /// certificate is self-issued, else against the CAs in `known` with its issuer's name.
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

    /// Returns when the next list is due, in seconds since 1970; `None` if the list does not contain this time.
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
    /// [`ListProblem`] says why the list is unusable.
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

/// The maximum number of items in one file.
const ITEMS_MAX: usize = 4096;
const NEITHER: &str = "it is neither a well-formed X.509 certificate nor a revocation list";

/// A published item of a vendor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VendorItem {
    /// A CA's certificate.
    Ca(Box<VendorCa>),
    /// A revocation list.
    List(Box<VendorList>),
}

/// Reads a file with one certificate or revocation list in DER, or with any number of them in PEM. An unusable
/// item is represented by the reason, for display.
pub fn read_vendor_file(bytes: &[u8]) -> Vec<Result<VendorItem, &'static str>> {
    if bytes.len() > REVOCATION_LIST_MAX_LEN {
        return vec![Err("it is larger than 16 MiB")];
    }
    if !is_pem(bytes) {
        return vec![read_der(bytes)];
    }
    let (Some(certificates), Some(lists)) = (pem_certificates(bytes), pem_revocation_lists(bytes)) else {
        return vec![Err("its PEM is malformed")];
    };
    if certificates.len().saturating_add(lists.len()) > ITEMS_MAX {
        return vec![Err("it has more than 4096 certificates")];
    }
    if certificates.is_empty() && lists.is_empty() {
        return vec![Err("its PEM has neither a certificate nor a revocation list")];
    }
    let certificates = certificates.iter().map(|der| match Certificate::read(der) {
        Some(certificate) => ca(certificate, der),
        None => Err("it is not a well-formed X.509 certificate"),
    });
    let lists = lists.iter().map(|der| read_list(der).map_err(ListError::reason));
    certificates.chain(lists).collect()
}

fn read_der(bytes: &[u8]) -> Result<VendorItem, &'static str> {
    if let Some(certificate) = Certificate::read(bytes) {
        return ca(certificate, bytes);
    }
    read_list(bytes).map_err(|error| match error {
        ListError::Malformed => NEITHER,
        error => error.reason(),
    })
}

fn read_list(der: &[u8]) -> Result<VendorItem, ListError> {
    Ok(VendorItem::List(Box::new(VendorList::new(RevocationList::read(der)?, der))))
}

fn ca(certificate: Certificate, der: &[u8]) -> Result<VendorItem, &'static str> {
    match VendorCa::new(certificate, der) {
        Some(ca) => Ok(VendorItem::Ca(Box::new(ca))),
        None => Err("it is not a CA's certificate"),
    }
}
