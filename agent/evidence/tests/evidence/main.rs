//! The library against real boots, a real TPM emulator and the tools that people trust.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod appraisal;
mod assurance;
mod boots;
mod certified;
mod credential;
mod endorsement;
mod event_log;
mod hostile;
mod lease;
mod quotes;
mod support;
