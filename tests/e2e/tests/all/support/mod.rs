//! What several tests need besides the rig.

mod certificate;
mod impostor;
mod mqtt;
mod tpm2_tools;

pub(crate) use certificate::{ClientCertificate, stranger};
pub(crate) use impostor::Impostor;
pub(crate) use mqtt::Client;
pub(crate) use tpm2_tools::Tpm2Tools;

use pawl_e2e::rig::{Device, TokenAnswer};

/// The error that a request for the token is refused with.
pub(crate) fn refusal(device: &Device) -> String {
    match device.token().unwrap() {
        TokenAnswer::Refused { status: 403, problem } => problem.error,
        TokenAnswer::Refused { status, problem } => panic!("HTTP {status}: {}", problem.reason),
        TokenAnswer::Granted(_) => panic!("the token was given"),
    }
}
