//! Real parts for the end-to-end tests and the demo.
//!
//! A [`Rig`] is one small world in a private directory: a TPM factory with its own certificate
//! authority, TPMs (swtpm), a broker (mosquitto on the files that we ship), a control plane and
//! devices (pawld). Everything listens on the loopback interface alone, and everything that was
//! started ends with its value, or with this process, however that ends.
#![forbid(unsafe_code)]

pub mod rig;

pub use rig::Rig;
