//! Endorsement keys, their certificates, and the vendors' CAs and revocation lists (TCG EK Credential Profile):
//! which vendor made the TPM.
//!
//! An endorsement key is public, so its certificate proves nothing about the sender. Together with
//! [`crate::credential`] it does.

mod chain;
mod store;
mod template;
mod vendor;

pub use chain::{EkEndorsement, EndorsementError};
pub use store::{Skipped, VendorCas};
pub use template::{EkTemplate, EkTemplateError};
pub use vendor::{CaProblem, CaRank, ListProblem, VendorCa, VendorItem, VendorList, read_vendor_file};
