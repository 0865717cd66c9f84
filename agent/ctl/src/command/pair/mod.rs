//! `pawlctl pair`

mod outcome;
mod progress;

use std::time::{Duration, Instant};

use pawl_proto::local::{LocalStatus, PairRequest};
use tokio::time::sleep;

use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::{Answer, Exit, Failure};
use crate::output;

use outcome::{Outcome, Watch};
use progress::Progress;

/// Often enough for a spinner.
const INTERVAL: Duration = Duration::from_millis(150);

pub(super) async fn run(client: &Client, options: cli::Pair, json: bool) -> Result<Answer, Failure> {
    let before = client.status().await?;
    match client.pair(&PairRequest { reason: options.reason, scopes: options.scopes }).await {
        // A device that pairs by itself was quicker: follow that.
        Err(ClientError::Refused { problem, .. }) if problem.error == "pairing" => {}
        answer => answer?,
    }
    let status = settled(client, Watch::new(&before), options.timeout).await?;
    Ok(Answer::done(if json { output::json(&status)? } else { sentence(&status) }))
}

/// Follows the daemon until it is entitled; everything else is a failure.
async fn settled(client: &Client, mut watch: Watch, patience: Duration) -> Result<LocalStatus, Failure> {
    let started = Instant::now();
    let mut progress = Progress::on_stderr();
    loop {
        let status = client.status().await?;
        let waited = started.elapsed();
        progress.show(&status, waited);
        match watch.judge(&status, waited) {
            Outcome::Paired => return Ok(status),
            Outcome::Lapsed(problem) => return Err(Failure { exit: Exit::NotEntitled, problem }),
            Outcome::Refused(problem) => return Err(Failure { exit: Exit::Failed, problem }),
            Outcome::Pending if waited > patience => return Err(out_of_patience(&status, patience)),
            Outcome::Pending => sleep(INTERVAL).await,
        }
    }
}

fn sentence(status: &LocalStatus) -> String {
    let with = status.pairing.as_ref().map(|pairing| {
        format!(" with {}, which checked the EK by {}", pairing.control_plane, pairing.endorsement)
    });
    let epoch = status.counter.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    format!("paired{}: device {}{epoch}\n", output::plain(&with.unwrap_or_default()), status.device)
}

fn out_of_patience(status: &LocalStatus, patience: Duration) -> Failure {
    let reason = match &status.problem {
        Some(problem) => problem.reason.clone(),
        None => format!("still {} after {}", status.state, output::span(patience.as_secs())),
    };
    let remedy = status.problem.as_ref().map_or_else(
        || "the daemon goes on: look again with pawlctl status".to_owned(),
        |problem| problem.remedy.clone(),
    );
    Failure::new(Exit::Failed, "timeout", reason, remedy)
}
