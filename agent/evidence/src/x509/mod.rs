//! The part of X.509 (RFC 5280) that Pawl needs: certificates of endorsement keys, action keys and signers of
//! files, and revocation lists of endorsement key CAs.

mod certificate;
mod der;
mod extensions;
pub(crate) mod pem;
mod public_key_info;
mod revocation_list;
mod signature;
mod subject_key;
mod time;

pub(crate) use certificate::{Certificate, common_name, organization, shown};
pub(crate) use public_key_info::{PublicKeyInfo, read_public_key};
pub(crate) use revocation_list::{ListError, REVOCATION_LIST_MAX_LEN, RevocationList};
pub(crate) use signature::is_signed_by;
pub(crate) use subject_key::SubjectKey;
