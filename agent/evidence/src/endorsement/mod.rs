//! Checks which vendor made a TPM: endorsement keys, their certificates, and the vendors' CAs and revocation lists (TCG
//! EK Credential Profile).
//!
//! Anybody can send the certificate of another TPM's endorsement key, so it proves nothing about the sender.
//! [`crate::credential`] proves that the sender's TPM has the key.

mod chain;
mod store;
mod template;
mod vendor;

pub use chain::{EkEndorsement, EndorsementError};
pub use store::{Skipped, VendorCas};
pub use template::{EkTemplate, EkTemplateError};
pub use vendor::{CaProblem, CaRank, ListProblem, VendorCa, VendorItem, VendorList, read_vendor_file};
