use thiserror::Error;

use super::store::{Trusted, VendorCas};
use super::template::{EkTemplate, EkTemplateError};
use crate::nv_certificates::certificates_in_nv;
use crate::tpm::Public;
use crate::x509::{Certificate, is_signed_by, shown};

/// tcg-kp-EKCertificate, 2.23.133.8.1.
const EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// The maximum number of certificates from the leaf to a vendor CA, and of intermediate certificates that a
/// device may send.
const INTERMEDIATES_MAX: usize = 8;
/// The maximum number of signature checks per call, for any certificates that a device sends.
const SIGNATURES_MAX: usize = 64;

/// A vendor's certification of an endorsement key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkEndorsement {
    /// The template of the key.
    pub template: EkTemplate,
    /// The file of the trusted CA at the end of the path.
    pub anchor: String,
    /// The common names along the path, from the endorsement key's issuer to the trusted CA.
    pub path: Vec<String>,
    /// The issuers on the path whose revocation list is outdated: their later revocations are unknown.
    pub stale_lists: Vec<String>,
}

/// Why an endorsement key's certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndorsementError {
    /// The key does not have a known endorsement key template.
    #[error("not an endorsement key: {0}")]
    Template(#[from] EkTemplateError),
    /// The certificate is malformed.
    #[error("the endorsement certificate is not a well-formed X.509 certificate")]
    Malformed,
    /// The device sent too many intermediate certificates.
    #[error("more than {INTERMEDIATES_MAX} intermediate certificates")]
    TooMany,
    /// The certificate is for another key.
    #[error("the endorsement certificate is not for the device's endorsement key")]
    OtherKey,
    /// The certificate is not for endorsement keys, or is a CA's.
    #[error("not an endorsement certificate: it lacks the key purpose 2.23.133.8.1, or is a CA's")]
    Purpose,
    /// A certificate on the path has a critical extension that Pawl does not support.
    #[error("the certificate of {0} has a critical extension that is not supported")]
    Critical(String),
    /// A certificate on the path is not valid now.
    #[error("the certificate of {0} is not valid at this time")]
    Validity(String),
    /// A certificate on the path must not issue the one below it.
    #[error(
        "{0} must not issue this certificate: its own certificate is not a CA's, or not for a path this long"
    )]
    NotCa(String),
    /// The certificate names a known issuer, but that issuer did not sign it, or the algorithm is not accepted.
    #[error("a certificate has no valid signature of {0}, its issuer, or an algorithm that is not accepted")]
    Signature(String),
    /// The issuer of a certificate on the path revoked it.
    #[error("{0} was revoked by {1}, its issuer")]
    Revoked(String, String),
    /// No path leads to a trusted CA.
    #[error("no trusted vendor CA is named {0}: import its certificate")]
    UnknownIssuer(String),
}

impl EndorsementError {
    /// Returns whether the error is evidence against the device: its key is not an endorsement key, or its certificate
    /// is forged, for another key, or revoked. Any other error means only that no trusted vendor certifies the device,
    /// and an operator may still accept it.
    #[must_use]
    pub fn is_adverse(&self) -> bool {
        match self {
            Self::Template(_) | Self::OtherKey | Self::Signature(_) | Self::Revoked(..) => true,
            Self::Malformed
            | Self::TooMany
            | Self::Purpose
            | Self::Critical(_)
            | Self::Validity(_)
            | Self::NotCa(_)
            | Self::UnknownIssuer(_) => false,
        }
    }
}

impl VendorCas {
    /// Checks that a vendor certifies `ek`: builds a path from `leaf` through `intermediates`, in any order, to
    /// a CA of this store (RFC 5280), at the time `now` in seconds since 1970.
    ///
    /// Every certificate of the store is a trust anchor, so a path ends at the first one that it reaches.
    /// Certificates may be wrapped as TPMs hold them in NV. Malformed intermediates are ignored.
    ///
    /// A certificate on its issuer's revocation list is refused, even if the list is outdated. A certificate on no list
    /// is accepted, even if its issuer's list is missing or outdated; [`EkEndorsement::stale_lists`] names the issuers
    /// of outdated lists.
    ///
    /// # Errors
    /// [`EndorsementError`] names the certificate and the check that failed.
    pub fn check(
        &self,
        ek: &Public,
        leaf: &[u8],
        intermediates: &[impl AsRef<[u8]>],
        now: u64,
    ) -> Result<EkEndorsement, EndorsementError> {
        let template = EkTemplate::of(ek)?;
        if intermediates.len() > INTERMEDIATES_MAX {
            return Err(EndorsementError::TooMany);
        }
        let leaf = read(leaf).ok_or(EndorsementError::Malformed)?;
        if !leaf.key.is_key_of(ek) {
            return Err(EndorsementError::OtherKey);
        }
        let is_for_ek = leaf.extensions.purposes.iter().any(|purpose| purpose == EK_CERTIFICATE);
        if !is_for_ek || leaf.extensions.is_ca {
            return Err(EndorsementError::Purpose);
        }
        let intermediates: Vec<Certificate> =
            intermediates.iter().filter_map(|der| read(der.as_ref())).collect();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        check_certificate(&leaf, now)?;
        let mut search =
            Search { store: self, intermediates: &intermediates, now, signatures: 0, stale: Vec::new() };
        let (anchor, path) = search.from(&leaf, 0)?;
        Ok(EkEndorsement { template, anchor: anchor.file.clone(), path, stale_lists: search.stale })
    }
}

/// Reads a certificate, bare or as a TPM's NV holds it.
fn read(bytes: &[u8]) -> Option<Certificate> {
    Certificate::read(bytes).or_else(|| Certificate::read(certificates_in_nv(bytes).first()?))
}

/// A depth-first search for a path.
struct Search<'a> {
    store: &'a VendorCas,
    intermediates: &'a [Certificate],
    now: i64,
    /// The number of certificate signatures that were checked.
    signatures: usize,
    /// The issuers whose revocation list is outdated.
    stale: Vec<String>,
}

impl<'a> Search<'a> {
    /// Searches issuers of `certificate`; `below` is the number of CA certificates from the leaf up to and
    /// including it. Returns the trusted CA and the names on the way to it.
    fn from(
        &mut self,
        certificate: &Certificate,
        below: usize,
    ) -> Result<(&'a Trusted, Vec<String>), EndorsementError> {
        let mut reason = EndorsementError::UnknownIssuer(shown(&certificate.issuer));
        let store = self.store;
        let anchors = store.cas.iter().filter(|trusted| trusted.ca.certificate.subject == certificate.issuer);
        for trusted in anchors {
            match self.check_issued(certificate, &trusted.ca.certificate, below) {
                Ok(()) => match &trusted.revoked_by {
                    None => return Ok((trusted, vec![shown(&certificate.issuer)])),
                    Some(issuer) => {
                        let name = format!("the certificate of {}", trusted.ca.name());
                        reason = EndorsementError::Revoked(name, issuer.clone());
                    }
                },
                Err(error) => reason = graver(reason, error),
            }
        }
        if below >= INTERMEDIATES_MAX {
            return Err(reason);
        }
        for issuer in self.intermediates.iter().filter(|issuer| issuer.subject == certificate.issuer) {
            let found = self
                .check_issued(certificate, issuer, below)
                .and_then(|()| self.from(issuer, below.saturating_add(1)));
            match found {
                Ok((anchor, mut path)) => {
                    path.insert(0, shown(&certificate.issuer));
                    return Ok((anchor, path));
                }
                Err(error) => reason = graver(reason, error),
            }
        }
        Err(reason)
    }

    fn check_issued(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        below: usize,
    ) -> Result<(), EndorsementError> {
        check_certificate(issuer, self.now)?;
        let extensions = &issuer.extensions;
        let path_too_long = extensions
            .path_len
            .is_some_and(|allowed| u64::try_from(below).is_ok_and(|below| below > allowed));
        if !extensions.is_ca || !extensions.may_sign_certificates || path_too_long {
            return Err(EndorsementError::NotCa(shown(&issuer.subject)));
        }
        self.signatures = self.signatures.saturating_add(1);
        if self.signatures > SIGNATURES_MAX || !is_signed_by(certificate, &issuer.key) {
            return Err(EndorsementError::Signature(shown(&issuer.subject)));
        }
        self.check_revocation(certificate, issuer)
    }

    /// Looks up the certificate in its issuer's revocation lists.
    fn check_revocation(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<(), EndorsementError> {
        let now = u64::try_from(self.now).unwrap_or_default();
        for list in self.store.lists_of(issuer) {
            if list.revokes(certificate) {
                let name = match certificate.extensions.is_ca {
                    true => format!("the certificate of {}", shown(&certificate.subject)),
                    false => "the endorsement certificate".to_owned(),
                };
                return Err(EndorsementError::Revoked(name, shown(&issuer.subject)));
            }
            let issuer = shown(&issuer.subject);
            if list.is_stale_at(now) && !self.stale.contains(&issuer) {
                self.stale.push(issuer);
            }
        }
        Ok(())
    }
}

/// Returns the error to report of two paths: the first if it is a revocation, else the second.
fn graver(first: EndorsementError, second: EndorsementError) -> EndorsementError {
    if matches!(first, EndorsementError::Revoked(..)) { first } else { second }
}

fn check_certificate(certificate: &Certificate, now: i64) -> Result<(), EndorsementError> {
    if certificate.extensions.has_unknown_critical {
        return Err(EndorsementError::Critical(shown(&certificate.subject)));
    }
    if !certificate.is_valid_at(now) {
        return Err(EndorsementError::Validity(shown(&certificate.subject)));
    }
    Ok(())
}
