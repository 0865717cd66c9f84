//! The part of X.509 (RFC 5280) that Pawl needs: certificates of endorsement keys, action keys and signers of
//! files, and revocation lists of endorsement key CAs.

mod certificate;
mod der;
mod key;
mod revocation_list;

pub(crate) use certificate::{Certificate, common_name, is_signed_by, organization, read_public_key, shown};
pub(crate) use der::{is_pem, pem_certificates, pem_revocation_lists};
pub(crate) use key::{PublicKeyInfo, SubjectKey};
pub(crate) use revocation_list::{ListError, REVOCATION_LIST_MAX_LEN, RevocationList};
