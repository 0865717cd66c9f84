//! `pawlctl wipe` and `pawlctl deprovision`

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use pawl_local_api::{Deprovisioned, LocalStatus, WipeRequest, Wiped};

use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output::{FieldList, Style};
use crate::{cli, output};

const WIPE_WARNING: &str = "\
This ends the device's pairing permanently. It increments the TPM's counter. Then
  - the pairing's keys no longer work, on this disk or on any copy of it;
  - the tokens in the vault are destroyed;
  - every unit that is bound to pawl-entitled.service stops.
Afterwards the device needs a new pairing (pawlctl pair).";

pub(super) async fn wipe(client: &Client, options: cli::Wipe, json: bool) -> Result<Answer, Failure> {
    if !options.yes {
        confirm(client, WIPE_WARNING, "wipe").await?;
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
    if !options.yes {
        confirm(client, DEPROVISION_WARNING, "deprovision").await?;
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

/// Shows the pairing that ends, and asks the person at the terminal to type `word`.
///
/// # Errors
/// If the person types something else, or if there is no terminal: a script must use --yes.
async fn confirm(client: &Client, warning: &str, word: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "not-confirmed",
            "this ends the pairing permanently, and there is no terminal to ask at: nothing was done",
            format!("to do it without a question, run: pawlctl {word} --yes"),
        ));
    }
    // If the daemon refuses the status, it refuses the command too, and that refusal contains the reason.
    let ends = client.status().await.map(|status| what_ends(&status, Style::of(&io::stderr())));
    match ask(&format!("{warning}\n{}", ends.unwrap_or_default()), word).map_err(Failure::internal)? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "declined", "you did not confirm: nothing was done", "")),
    }
}

/// Formats the pairing and the tokens that the device loses.
fn what_ends(status: &LocalStatus, style: Style) -> String {
    let mut fields = FieldList::new(style);
    fields.line("device", status.device.as_str());
    fields.line("state", status.state.as_str());
    match &status.pairing {
        Some(pairing) => {
            fields.line("pairing", &format!("{} in epoch {}", pairing.id, pairing.epoch));
            fields.line("with", &pairing.control_plane);
        }
        None => fields.line("pairing", "none"),
    }
    for token in &status.tokens {
        fields.line("token", &token.name);
    }
    fields.into_text()
}

/// Asks the person at the terminal to type `word`, and returns whether they did.
fn ask(question: &str, word: &str) -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}Type {word} to continue: ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().take(64).read_line(&mut line)?;
    Ok(line.trim() == word)
}
