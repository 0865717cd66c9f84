//! Against the real thing: what `ssh-keygen` and `ssh-agent` do, and what this crate does, must agree.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod allowed_signers;
mod keygen;
mod security_key;
#[cfg(feature = "sign")]
mod sign_agent;
#[cfg(feature = "sign")]
mod sign_file;
mod sshsig;
mod verify;
