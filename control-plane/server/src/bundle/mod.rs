//! Bundles: all records of a device, with all that it takes to check them, under one signature.
//!
//! An auditor checks a bundle with the fleet authority's certificate alone: no server, no state,
//! no configuration. The signature says that the control plane held these records; what the facts in
//! them rest on (quotes, receipts, leases, approvals) is checked again, one by one.

mod check;
mod collect;
mod contents;
mod signature;
mod text;

pub use check::{Chain, Check, Checked, Failure, check};
pub(crate) use collect::collect;
pub use contents::{Contents, DeviceEntry, Entry, Format};
pub use signature::SignatureError;
pub(crate) use signature::{sign_claims, verify_claims};
pub use text::{Base64, Hex};

use serde::{Deserialize, Serialize};

use crate::keys::AuditKey;

/// No bundle is larger, in bytes.
pub const MAX_LENGTH: usize = 256 * 1024 * 1024;

/// A signed bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    contents: Contents,
    /// A compact JWS over the contents' digest.
    signature: String,
}

impl Bundle {
    /// Signs records.
    ///
    /// # Errors
    /// [`BundleError::Contents`], which does not happen: all in there is text and numbers.
    pub(crate) fn sign(contents: Contents, key: &AuditKey, authority: &[u8]) -> Result<Self, BundleError> {
        let signature = signature::sign(&contents, key, authority)?;
        Ok(Self { contents, signature })
    }

    /// Reads a bundle. Nothing in it is believed yet.
    ///
    /// # Errors
    /// [`BundleError`] when it is too long, none, or not in the one form in which it is written.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_LENGTH {
            return Err(BundleError::TooLong);
        }
        let bundle: Self = serde_json::from_slice(bytes).map_err(BundleError::Form)?;
        if bundle.write()? != bytes {
            return Err(BundleError::OtherForm);
        }
        Ok(bundle)
    }

    /// The file: one line of JSON.
    ///
    /// # Errors
    /// [`BundleError::Contents`]
    pub fn write(&self) -> Result<Vec<u8>, BundleError> {
        let mut bytes = serde_json::to_vec(self).map_err(BundleError::Contents)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The contents, if a key signed them to which the authority with this certificate (DER) gave
    /// that purpose. What they say has yet to be checked.
    ///
    /// # Errors
    /// [`SignatureError`] says what does not hold.
    pub fn verify(self, authority: &[u8]) -> Result<Contents, SignatureError> {
        signature::verify(&self.signature, &self.contents, authority)?;
        Ok(self.contents)
    }

    /// The contents, of which only their holder vouches.
    #[must_use]
    pub fn into_contents(self) -> Contents {
        self.contents
    }
}

/// A text that is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Too long.
    #[error("the bundle is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not JSON, or with members missing, unknown or of another type.
    #[error("not a bundle: {0}; `pawl-control-plane records DEVICE --export FILE --bundle` makes one")]
    Form(serde_json::Error),
    /// JSON, but not byte for byte what was written.
    #[error("the bundle is not as it was written: something in the file was altered")]
    OtherForm,
    /// Records that cannot be written.
    #[error("the records cannot be written: {0}")]
    Contents(serde_json::Error),
}

#[cfg(test)]
mod tests;
