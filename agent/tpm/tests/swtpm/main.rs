//! pawl-tpm against swtpm, through a proxy that sees and counts every command.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod action;
mod counter;

mod endorsement;
mod lease;
mod objects;
mod one_command;
mod owner_certificate;
mod pins;
mod policies;
mod refusals;
mod rig;
mod scratch;
mod secrecy;
mod several;
mod slots;
