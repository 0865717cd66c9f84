//! `pawlctl deprovision`

use pawl_proto::local::Deprovisioned;

use super::wipe;
use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output;

const WARNING: &str = "\
This ends the device's pairing permanently, as pawlctl wipe does, and removes the epoch counter from the TPM.
Use it for a device that no longer uses Pawl. You can pair it again later, in a higher epoch.";

pub(super) async fn run(client: &Client, options: &cli::Deprovision, json: bool) -> Result<Answer, Failure> {
    if !options.yes && !wipe::confirmed(WARNING, "deprovision").map_err(Failure::internal)? {
        return Err(Failure::new(Exit::Failed, "declined", "nothing was removed", ""));
    }
    let done = client.deprovision().await?;
    Ok(Answer::done(if json { output::json(&done)? } else { sentence(&done) }))
}

fn sentence(Deprovisioned { counter, removed }: &Deprovisioned) -> String {
    if *removed {
        format!("deprovisioned: removed the counter at NV index {counter:#010x} from the TPM\n")
    } else {
        format!("deprovisioned: there was no counter at NV index {counter:#010x}\n")
    }
}
