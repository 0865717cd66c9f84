//! As much of X.509 (RFC 5280) as the certificates need that are read here: those of endorsement keys, of action
//! keys, and of those who sign files; and the revocation lists of the first.

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
