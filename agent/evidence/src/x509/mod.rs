//! As much of X.509 (RFC 5280) as the two kinds of certificates need that are checked here: those of endorsement
//! keys and those of action keys.

mod certificate;
mod der;
mod extensions;
pub(crate) mod pem;
mod signature;
mod subject_key;
mod time;

pub(crate) use certificate::{CERTIFICATE_MAX_LEN, Certificate, common_name, shown};
pub(crate) use signature::is_signed_by;
pub(crate) use subject_key::SubjectKey;
