//! `pawlctl entitled [--wait] [--hold]`

use pawl_proto::local::EntitlementStatus;
use sd_notify::NotifyState;

use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output;

pub(super) async fn run(client: Client, options: &cli::Entitled, json: bool) -> Result<Answer, Failure> {
    let mut entitlement = client.entitlement().await?;
    if options.wait && !entitlement.entitled {
        entitlement = client.entitlement_once(true).await?;
    }
    if options.hold && entitlement.entitled {
        hold(&client).await?;
    }
    let text = if json { output::json(&entitlement)? } else { String::new() };
    let exit = if entitlement.entitled { Exit::Done } else { Exit::NotEntitled };
    Ok(Answer { exit, ..Answer::done(text) })
}

/// Tells systemd that the unit is up, and comes back when the device is no longer entitled. Who
/// cannot ask the daemon is not, either.
async fn hold(client: &Client) -> Result<(), Failure> {
    sd_notify::notify(false, &[NotifyState::Ready]).map_err(Failure::internal)?;
    while let Ok(EntitlementStatus { entitled: true }) = client.entitlement_once(false).await {}
    Ok(())
}
