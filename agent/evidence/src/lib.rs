//! Parse, replay and appraise TPM evidence, without a TPM, without I/O and without C.
//!
//! A control plane gets attestation structures, event logs and IMA logs from devices that it does not trust. This
//! crate checks such bytes, and returns types that only a passed check can construct:
//!
//! 1. [`endorsement`] checks which vendor made the TPM; [`credential`] proves that an attestation key is in it;
//! 2. [`attest`] verifies the attestations that this key signed: quotes, certified keys, the epoch counter;
//! 3. [`eventlog`], [`measure_log`] and [`ima`] replay logs to PCR values; a log counts only if they equal the quoted
//!    values. [`boot_image`] computes the measurements of a boot from other files;
//! 4. [`appraise`] compares the verified evidence with reference values and returns reasons;
//! 5. [`lease`] computes the policies that the TPM will enforce on the device's keys;
//! 6. [`assurance`] lets the TPM sign for one action, once, and verifies the result.
//!
//! [`tpm`] has the TPM's own structures. Without the default feature `verifier` the crate has only the parts that a
//! device needs: [`tpm`], the digests of [`lease`] and [`assurance`], [`eventlog`], [`measure_log`], [`ima`] and
//! [`nv_certificates`].
//!
//! No function here panics on any input, and the size of the input bounds its memory.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

#[cfg(feature = "verifier")]
pub mod appraise;
pub mod assurance;
#[cfg(feature = "verifier")]
pub mod attest;
#[cfg(feature = "verifier")]
pub mod boot_image;
mod bytes;
#[cfg(feature = "verifier")]
pub mod credential;
#[cfg(feature = "verifier")]
pub mod endorsement;
pub mod eventlog;
pub mod ima;
pub mod lease;
pub mod measure_log;
pub mod nv_certificates;
pub mod tpm;
#[cfg(feature = "verifier")]
mod x509;

#[cfg(feature = "verifier")]
pub use rand_core;
