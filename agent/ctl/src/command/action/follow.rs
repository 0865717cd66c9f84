//! Follows an action until its assurance is there.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use pawl_approval::Confirmation;
use pawl_proto::SessionId;
use pawl_proto::local::{ActionStatus, ConfirmationRequest};
use serde::Serialize;
use tokio::time::sleep;

use super::refused;
use crate::approval::{Desk, Handed, Step, confirmed, gist};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::{Voice, plain, span};

/// How often the daemon is looked at while nobody is waited for.
const INTERVAL: Duration = Duration::from_millis(250);

/// A change, for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename = "action")]
struct Change<'a> {
    action: &'a ActionStatus,
}

/// Comes back to this action.
pub(super) fn again(session: SessionId) -> String {
    format!("pawlctl action --attach {session}")
}

/// Hands in a confirmation that was given on the command line.
pub(super) async fn confirm(
    client: &Client,
    session: SessionId,
    code: &Confirmation,
) -> Result<ActionStatus, Failure> {
    let request = ConfirmationRequest { code: code.to_string() };
    let status = client.confirm_action(session, &request).await.map_err(refused)?;
    confirmed(status.waiting.as_ref(), &again(session))?;
    Ok(status)
}

/// Lets somebody act while the action waits, and returns the status that has the assurance.
pub(super) async fn follow(
    client: &Client,
    mut desk: Desk,
    mut status: ActionStatus,
    patience: Duration,
    voice: &mut Voice,
) -> Result<ActionStatus, Failure> {
    let started = Instant::now();
    let mut told = None;
    desk.come_back_with(again(status.id));
    loop {
        if status.assurance.is_some() {
            return Ok(status);
        }
        let gist = ActionStatus { waiting: status.waiting.as_ref().map(gist), ..status.clone() };
        if told.as_ref() != Some(&gist) {
            voice.event(&Change { action: &status });
            told = Some(gist);
        }
        if let Some(problem) = status.problem {
            return Err(Failure::of_session(problem));
        }
        if started.elapsed() > patience {
            return Err(out_of_patience(status.id, patience));
        }
        let step = match &status.waiting {
            Some(waiting) => desk.attend(Some(status.id), Some(&status.asked), waiting, voice).await?,
            None => {
                sleep(INTERVAL).await;
                None
            }
        };
        status = match step {
            None => look(client, status, voice).await?,
            Some(Step::Decline(failure)) => return Err(failure),
            Some(step) => hand_in(client, &mut desk, status, step, voice).await?,
        };
    }
}

/// The status now; the one before, while the control plane or the TPM is out of reach.
async fn look(client: &Client, before: ActionStatus, voice: &mut Voice) -> Result<ActionStatus, Failure> {
    match client.action(before.id).await {
        Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
            if problem.error != "stopping" =>
        {
            voice.live(&problem.reason);
            Ok(before)
        }
        answer => answer.map_err(refused),
    }
}

/// The assurance comes once, and the answer to a step may be what has it.
async fn hand_in(
    client: &Client,
    desk: &mut Desk,
    status: ActionStatus,
    step: Step,
    voice: &mut Voice,
) -> Result<ActionStatus, Failure> {
    let answer = match &step {
        Step::Approve(approval) => client.approve_action(status.id, approval).await,
        Step::Confirm(confirmation) => client.confirm_action(status.id, confirmation).await,
        Step::Decline(_) => return Ok(status),
    };
    // A step that the daemon refuses as out of place leaves what was known, and the next look tells more.
    let mut answered = status;
    let waiting = answer.map(|answer| {
        answered = answer;
        answered.waiting.clone()
    });
    match Handed::of(&step, waiting, &again(answered.id)) {
        Handed::In => Ok(answered),
        Handed::NotYet(why) => {
            voice.say(&plain(&format!("not sent yet: {why}; retrying")));
            desk.keep(step);
            Ok(answered)
        }
        Handed::Refused(failure) => Err(failure),
        Handed::Failed(error) => Err(refused(error)),
    }
}

fn out_of_patience(session: SessionId, patience: Duration) -> Failure {
    let waited = span(patience.as_secs());
    Failure::new(
        Exit::StillWaiting,
        "timeout",
        format!("not approved after {waited}; nothing was signed; the session stays open"),
        format!("continue waiting with: {}", again(session)),
    )
}
