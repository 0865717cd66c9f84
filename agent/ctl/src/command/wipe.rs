//! `pawlctl wipe` and `pawlctl deprovision`: what ends the pairing.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use pawl_local_api::{Deprovisioned, WipeRequest, Wiped};

use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::{cli, output};

const WIPE_WARNING: &str = "\
This ends the device's pairing permanently. It increments the TPM's counter. Then
  - the pairing's keys no longer work, on this disk or on any copy of it;
  - the tokens in the vault are destroyed;
  - every unit that is bound to pawl-entitled.service stops.
Afterwards the device needs a new pairing (pawlctl pair).";

pub(super) async fn wipe(client: &Client, options: cli::Wipe, json: bool) -> Result<Answer, Failure> {
    if !options.yes && !is_confirmed(WIPE_WARNING, "wipe").map_err(Failure::internal)? {
        return Err(Failure::new(Exit::Failed, "declined", "nothing was wiped", ""));
    }
    let wiped = client.wipe(&WipeRequest { reason: options.reason }).await?;
    Ok(Answer::done(if json { output::json(&wiped)? } else { wiped_text(&wiped) }))
}

fn wiped_text(wiped: &Wiped) -> String {
    format!(
        "wiped: epoch {} has ended; the TPM counter is now {}; to pair again, run: pawlctl pair\n",
        wiped.ended, wiped.epoch
    )
}

const DEPROVISION_WARNING: &str = "\
This ends the device's pairing permanently, as pawlctl wipe does, and removes the epoch counter from the TPM.
Use it for a device that no longer uses Pawl. You can pair it again later, in a higher epoch.";

pub(super) async fn deprovision(
    client: &Client,
    options: &cli::Deprovision,
    json: bool,
) -> Result<Answer, Failure> {
    if !options.yes && !is_confirmed(DEPROVISION_WARNING, "deprovision").map_err(Failure::internal)? {
        return Err(Failure::new(Exit::Failed, "declined", "nothing was removed", ""));
    }
    let done = client.deprovision().await?;
    Ok(Answer::done(if json { output::json(&done)? } else { deprovisioned_text(&done) }))
}

fn deprovisioned_text(Deprovisioned { counter, removed }: &Deprovisioned) -> String {
    if *removed {
        format!("deprovisioned: removed the counter at NV index {counter:#010x} from the TPM\n")
    } else {
        format!("deprovisioned: there was no counter at NV index {counter:#010x}\n")
    }
}

/// Asks the person at the terminal to type `word`, and returns whether they did. Without a terminal the answer is yes.
fn is_confirmed(warning: &str, word: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{warning}\nType {word} to continue: ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().take(64).read_line(&mut line)?;
    Ok(line.trim() == word)
}
