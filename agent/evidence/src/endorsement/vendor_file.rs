use super::vendor_ca::VendorCa;
use super::vendor_list::VendorList;
use crate::x509::{Certificate, ListError, REVOCATION_LIST_MAX_LEN, RevocationList, pem};

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
    if !pem::is_pem(bytes) {
        return vec![read_der(bytes)];
    }
    let (Some(certificates), Some(lists)) =
        (pem::read_certificates(bytes), pem::read_revocation_lists(bytes))
    else {
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
