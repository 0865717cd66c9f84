//! A TPM in software, and the chain of records that a device keeps: for tests of whoever builds on this crate. Nothing of it
//! may serve a device. A structure that cannot be made ends the test.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is for tests, which end here")]

mod activate;
mod records;
mod structures;
mod tpm;

pub use activate::activate;
pub use records::Records;
pub use structures::{
    ATTESTATION, BOUND_SIGNING, LOOSE_SIGNING, endorsement_public, sealed_public, signing_public,
};
pub use tpm::{Attestation, ENDORSEMENT, OWNER, SoftTpm};
