//! What tests share: a TPM in software. The server's tests include these files, too.

#![allow(dead_code, unused_imports, reason = "the tests of each crate use a part of it")]

mod activate;
mod records;
mod structures;
mod tpm;

pub(crate) use records::Records;
pub(crate) use structures::{BOUND_SIGNING, LOOSE_SIGNING, sealed_public, signing_public};
pub(crate) use tpm::{ENDORSEMENT, OWNER, SoftTpm};
