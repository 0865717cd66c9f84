//! Parse, replay and appraise TPM evidence, without a TPM, without I/O and without C.
//!
//! A control plane gets attestation structures, event logs and IMA logs from devices that it has no reason to
//! believe. This crate turns such bytes into types that exist only after the check that gives them meaning:
//!
//! 1. [`endorsement`] says whose chip it is, [`credential`] proves that an attestation key lives in it;
//! 2. [`attest`] checks what that key signed: quotes, certified keys, the epoch counter;
//! 3. [`eventlog`], [`measure_log`] and [`ima`] replay logs to PCR values, which give the logs their worth;
//!    [`boot_image`] tells what booting other files will measure;
//! 4. [`appraise`] compares all of it with reference values and gives reasons;
//! 5. [`lease`] computes the policies that the TPM will enforce on the device's keys;
//! 6. [`assurance`] has it sign for one action, once, and checks what it signed.
//!
//! [`tpm`] holds the TPM's own structures. Without the default feature `verifier` only [`tpm`], the digests
//! of [`lease`] and [`assurance`], [`eventlog`], [`measure_log`], [`ima`] and [`nv_certificates`] remain: what a
//! device needs.
//!
//! No function here panics on any input, and memory is bounded by the size of what was passed in.
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
