//! Whose chip it is: endorsement keys, their certificates and the vendors' CAs (TCG EK Credential Profile).
//!
//! An endorsement key is public; a certificate for it proves nothing about who presents it. Together with
//! [`crate::credential`] it does.

mod chain;
mod store;
mod template;

pub use chain::{EkEndorsement, EndorsementError};
pub use store::{Skipped, VendorCas};
pub use template::{EkTemplate, EkTemplateError};
