//! Whose chip it is: endorsement keys, their certificates, and the vendors' CAs and revocation lists (TCG EK Credential Profile).
//!
//! An endorsement key is public; a certificate for it proves nothing about who presents it. Together with
//! [`crate::credential`] it does.

mod chain;
mod store;
mod template;
mod vendor_ca;
mod vendor_file;
mod vendor_list;

pub use chain::{EkEndorsement, EndorsementError};
pub use store::{Skipped, VendorCas};
pub use template::{EkTemplate, EkTemplateError};
pub use vendor_ca::{CaProblem, CaRank, VendorCa};
pub use vendor_file::{VendorItem, read_vendor_file};
pub use vendor_list::{ListProblem, VendorList};
