//! What several tests need besides the rig.

mod device_records;
mod exportable_key;
mod impostor;
mod judgement;
mod mqtt;
mod receiver;
mod sessions;
mod small_disk;
mod token_request;
mod tpm2_tools;

pub(crate) use device_records::Records;
pub(crate) use exportable_key::exportable_key;
pub(crate) use impostor::{Impostor, Wire};
pub(crate) use judgement::{judged, judged_anew};
pub(crate) use mqtt::Client;
pub(crate) use receiver::{Receiver, assured, update};
pub(crate) use sessions::{
    approval_of, approve_here, failed_bindings, newly_paired, seen_by_operator, session_id, turned_away,
};
pub(crate) use small_disk::SmallDisk;
pub(crate) use token_request::TokenRequest;
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
