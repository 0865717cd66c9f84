//! `pawlctl action`

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use pawl_approval::Confirmation;
use pawl_local_api::{ActionRequest, ActionStatus, ConfirmationRequest};
use pawl_proto::{DeviceId, Digest, SessionId};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::approval::{Dialogue, Purpose, Requested, Step, StepOutcome, check_confirmation, without_expiry};
use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::{Answer, Exit, Failure, is_refusal};
use crate::output::{self, Progress, plain, span};
use crate::terminal::Interrupt;

pub(super) async fn run(client: &Client, options: cli::Action, json: bool) -> Result<Answer, Failure> {
    let mut progress = Progress::new(json);
    let mut interrupt = Interrupt::listen().map_err(Failure::internal)?;
    let mut session = None;
    let status = tokio::select! {
        followed = request_and_follow(client, options, &mut session, &mut progress) => followed?,
        () = interrupt.arrived() => return Err(interrupted(session)),
    };
    drop(progress);
    let text = if json {
        output::json(&status)?
    } else {
        format!("{}\n", output::plain(status.assurance.as_deref().unwrap_or_default()))
    };
    Ok(Answer { text: Zeroizing::new(text), exit: Exit::Done })
}

/// Requests the action, or attaches to one, and follows it. Sets `session` as soon as the action has one.
async fn request_and_follow(
    client: &Client,
    options: cli::Action,
    session: &mut Option<SessionId>,
    progress: &mut Progress,
) -> Result<ActionStatus, Failure> {
    let device = client.status().await?.device;
    let request = match options.attach {
        Some(_) => None,
        None => Some(request(&options)?),
    };
    let requested = requested(device, request.as_ref());
    let dialogue =
        Dialogue::open(options.approving, requested, "pawlctl action".to_owned(), progress).await?;
    let status = match (&request, options.attach, &options.confirm) {
        (Some(request), ..) => client.act(request).await.map_err(refused)?,
        (None, Some(session), None) => client.action(session).await.map_err(refused)?,
        (None, Some(session), Some(code)) => confirm(client, session, code).await?,
        (None, None, _) => return Err(Failure::internal("neither an action nor a session was given")),
    };
    *session = Some(status.id);
    follow(client, dialogue, status, options.timeout, progress).await
}

/// Returns the failure for a refusal. A device that is not entitled has another exit code than an action that is refused.
fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: StatusCode::FORBIDDEN, problem } => {
            let exit = match problem.error.as_str() {
                "not-permitted" => Exit::NotPermitted,
                "statement-differs" | "assurance-differs" | "action-failed" => Exit::Failed,
                // The control plane sends this refusal too. A suspended device is not entitled.
                "suspended" => Exit::NotEntitled,
                error if is_refusal(error) => Exit::Refused,
                _ => Exit::NotEntitled,
            };
            Failure { exit, problem }
        }
        other => other.into(),
    }
}

fn interrupted(session: Option<SessionId>) -> Failure {
    match session {
        None => Failure::new(Exit::Interrupted, "interrupted", "interrupted: nothing was signed", ""),
        Some(session) => Failure::new(
            Exit::Interrupted,
            "interrupted",
            "interrupted: the session stays open until it expires",
            format!("return to it with: {}", again(session)),
        ),
    }
}

/// Returns the request that the command line describes.
///
/// # Errors
/// If the file cannot be read.
fn request(options: &cli::Action) -> Result<ActionRequest, Failure> {
    let digest = match (&options.digest, &options.file) {
        (Some(digest), _) => digest.clone(),
        (None, Some(path)) => digest_of(path)?,
        (None, None) => String::new(),
    };
    Ok(ActionRequest {
        action: options.action.clone().unwrap_or_default(),
        resource: options.resource.clone().unwrap_or_default(),
        digest,
        session: options.session.clone().unwrap_or_default(),
        reason: options.reason.clone(),
    })
}

fn digest_of(path: &Path) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash)).map_err(|error| {
        let reason = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::Failed, "file", reason, "use a file that this user can read, or use --digest")
    })?;
    Ok(hex::encode(hash.finalize()))
}

/// Returns the request that a statement must match. If another command requested the action, any action of this device matches.
fn requested(device: DeviceId, request: Option<&ActionRequest>) -> Requested {
    let subject =
        |digest: &str| hex::decode(digest).ok().and_then(|bytes| Digest::try_from(bytes.as_slice()).ok());
    Requested {
        device,
        purpose: request.map_or(Purpose::AnyAction, |request| Purpose::Action(request.action.clone())),
        origin: None,
        reason: request.map(|request| request.reason.clone()),
        scopes: Some(Vec::new()),
        replaces: Some(None),
        resource: request.map(|request| Some(request.resource.clone())),
        subject: request.map(|request| subject(&request.digest)),
        context: request.map(|request| Some(request.session.clone())),
    }
}

/// Interval of the queries while no person has to act.
const INTERVAL: Duration = Duration::from_millis(250);

/// A change of the action, printed for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename = "action")]
struct Change<'a> {
    action: &'a ActionStatus,
}

/// Returns the command that attaches to this action.
fn again(session: SessionId) -> String {
    format!("pawlctl action --attach {session}")
}

/// Submits the confirmation code of `--confirm`.
async fn confirm(client: &Client, session: SessionId, code: &Confirmation) -> Result<ActionStatus, Failure> {
    let request = ConfirmationRequest { code: code.to_string() };
    let status = client.confirm_action(session, &request).await.map_err(refused)?;
    check_confirmation(status.waiting.as_ref(), &again(session))?;
    Ok(status)
}

/// Follows the action until its status contains the assurance. While it waits for approval, runs the dialogue with the person.
async fn follow(
    client: &Client,
    mut dialogue: Dialogue,
    mut status: ActionStatus,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<ActionStatus, Failure> {
    let started = Instant::now();
    let mut shown = None;
    dialogue.set_return_command(again(status.id));
    loop {
        if status.assurance.is_some() {
            return Ok(status);
        }
        let current = ActionStatus { waiting: status.waiting.as_ref().map(without_expiry), ..status.clone() };
        if shown.as_ref() != Some(&current) {
            progress.event(&Change { action: &status });
            shown = Some(current);
        }
        if let Some(problem) = status.problem {
            return Err(Failure::of_session(problem));
        }
        if started.elapsed() > timeout {
            return Err(timed_out(status.id, timeout));
        }
        let step = match &status.waiting {
            Some(waiting) => dialogue.attend(Some(status.id), Some(&status.asked), waiting, progress).await?,
            None => {
                sleep(INTERVAL).await;
                None
            }
        };
        status = match step {
            None => query(client, status, progress).await?,
            Some(Step::Decline(failure)) => return Err(failure),
            Some(step) => submit(client, &mut dialogue, status, step, progress).await?,
        };
    }
}

/// Returns the present status, or `before` while the control plane or the TPM is unreachable.
async fn query(
    client: &Client,
    before: ActionStatus,
    progress: &mut Progress,
) -> Result<ActionStatus, Failure> {
    match client.action(before.id).await {
        Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
            if problem.error != "stopping" =>
        {
            progress.live(&problem.reason);
            Ok(before)
        }
        answer => answer.map_err(refused),
    }
}

/// Submits a step, and returns the status in the answer. The daemon returns the assurance only once, possibly in this answer.
async fn submit(
    client: &Client,
    dialogue: &mut Dialogue,
    status: ActionStatus,
    step: Step,
    progress: &mut Progress,
) -> Result<ActionStatus, Failure> {
    let answer = match &step {
        Step::Approve(approval) => client.approve_action(status.id, approval).await,
        Step::Confirm(confirmation) => client.confirm_action(status.id, confirmation).await,
        Step::Decline(_) => return Ok(status),
    };
    // If the daemon refuses the step as out of place, the old status remains until the next query.
    let mut answered = status;
    let waiting = answer.map(|answer| {
        answered = answer;
        answered.waiting.clone()
    });
    match StepOutcome::of(&step, waiting, &again(answered.id)) {
        StepOutcome::Submitted => Ok(answered),
        StepOutcome::Retry(why) => {
            progress.say(&plain(&format!("not sent yet: {why}; retrying")));
            dialogue.retry(step);
            Ok(answered)
        }
        StepOutcome::Refused(failure) => Err(failure),
        StepOutcome::Failed(error) => Err(refused(error)),
    }
}

fn timed_out(session: SessionId, timeout: Duration) -> Failure {
    let waited = span(timeout.as_secs());
    Failure::new(
        Exit::StillWaiting,
        "timeout",
        format!("not approved after {waited}; nothing was signed; the session stays open"),
        format!("continue waiting with: {}", again(session)),
    )
}

#[cfg(test)]
mod tests {
    use pawl_local_api::Problem;

    use super::*;

    fn exit_of(status: StatusCode, error: &str) -> Exit {
        let problem = Problem { error: error.to_owned(), reason: String::new(), remedy: String::new() };
        refused(ClientError::Refused { status, problem }).exit
    }

    #[test]
    fn exit_codes_tell_a_closed_gate_from_a_refused_action() {
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "lease-expired"), Exit::NotEntitled);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "suspended"), Exit::NotEntitled);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "action-unknown"), Exit::Refused);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "statement-differs"), Exit::Failed);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "not-permitted"), Exit::NotPermitted);
        assert_eq!(exit_of(StatusCode::NOT_FOUND, "no-session"), Exit::Failed);
    }

    #[test]
    fn an_interrupted_action_names_the_command_to_continue() {
        let session = SessionId::from_random([1; 16]);
        assert!(interrupted(Some(session)).problem.remedy.ends_with(&format!("--attach {session}")));
        assert_eq!(interrupted(None).problem.remedy, "");
    }
}
