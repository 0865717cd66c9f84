//! `pawlctl wipe --reason TEXT`

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use pawl_proto::local::{WipeRequest, Wiped};

use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output;

const WARNING: &str = "\
This ends the device's pairing permanently. It increments the TPM's counter. Then
  - the pairing's keys no longer work, on this disk or on any copy of it;
  - the tokens in the vault are destroyed;
  - every unit that is bound to pawl-entitled.service stops.
Afterwards the device needs a new pairing (pawlctl pair).";

pub(super) async fn run(client: &Client, options: cli::Wipe, json: bool) -> Result<Answer, Failure> {
    if !options.yes && !confirmed(WARNING, "wipe").map_err(Failure::internal)? {
        return Err(Failure::new(Exit::Failed, "declined", "nothing was wiped", ""));
    }
    let wiped = client.wipe(&WipeRequest { reason: options.reason }).await?;
    Ok(Answer::done(if json { output::json(&wiped)? } else { sentence(&wiped) }))
}

fn sentence(wiped: &Wiped) -> String {
    format!(
        "wiped: epoch {} has ended; the TPM counter is now {}; to pair again, run: pawlctl pair\n",
        wiped.ended, wiped.epoch
    )
}

/// Asks on the terminal for `word`. A script has written down what it wants.
pub(super) fn confirmed(warning: &str, word: &str) -> io::Result<bool> {
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
