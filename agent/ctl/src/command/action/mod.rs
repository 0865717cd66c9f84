//! `pawlctl action`

mod ask;
mod follow;

use hyper::StatusCode;
use pawl_proto::SessionId;
use pawl_proto::local::ActionStatus;
use zeroize::Zeroizing;

use crate::approval::Desk;
use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::{Answer, Exit, Failure, is_refusal};
use crate::output::{self, Voice};
use crate::terminal::Interrupt;

pub(super) async fn run(client: &Client, options: cli::Action, json: bool) -> Result<Answer, Failure> {
    let mut voice = Voice::new(json);
    let mut interrupt = Interrupt::listen().map_err(Failure::internal)?;
    let mut begun = None;
    let status = tokio::select! {
        followed = begin_and_follow(client, options, &mut begun, &mut voice) => followed?,
        () = interrupt.came() => return Err(interrupted(begun)),
    };
    drop(voice);
    let text = if json {
        output::json(&status)?
    } else {
        format!("{}\n", output::plain(status.assurance.as_deref().unwrap_or_default()))
    };
    Ok(Answer { text: Zeroizing::new(text), exit: Exit::Done })
}

/// `begun` is the action's session, as soon as there is one.
async fn begin_and_follow(
    client: &Client,
    options: cli::Action,
    begun: &mut Option<SessionId>,
    voice: &mut Voice,
) -> Result<ActionStatus, Failure> {
    let device = client.status().await?.device;
    let request = match options.attach {
        Some(_) => None,
        None => Some(ask::request(&options)?),
    };
    let wanted = ask::wanted(device, request.as_ref());
    let desk = Desk::set_up(options.approving, wanted, "pawlctl action".to_owned(), voice).await?;
    let status = match (&request, options.attach, &options.confirm) {
        (Some(request), ..) => client.act(request).await.map_err(refused)?,
        (None, Some(session), None) => client.action(session).await.map_err(refused)?,
        (None, Some(session), Some(code)) => follow::confirm(client, session, code).await?,
        (None, None, _) => return Err(Failure::internal("neither an action nor a session was given")),
    };
    *begun = Some(status.id);
    follow::follow(client, desk, status, options.timeout, voice).await
}

/// A gate that is closed is another matter than a policy that says no.
fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status: StatusCode::FORBIDDEN, problem } => {
            let exit = match problem.error.as_str() {
                "not-permitted" => Exit::NotPermitted,
                "statement-differs" | "assurance-differs" | "action-failed" => Exit::Failed,
                // A refusal of the control plane as well, and the same to whoever waits for tokens.
                "suspended" => Exit::NotEntitled,
                error if is_refusal(error) => Exit::Refused,
                _ => Exit::NotEntitled,
            };
            Failure { exit, problem }
        }
        other => other.into(),
    }
}

fn interrupted(begun: Option<SessionId>) -> Failure {
    match begun {
        None => Failure::new(Exit::Interrupted, "interrupted", "interrupted: nothing was signed", ""),
        Some(session) => Failure::new(
            Exit::Interrupted,
            "interrupted",
            "interrupted: the session stays open until it expires",
            format!("return to it with: {}", follow::again(session)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use pawl_proto::local::Problem;

    use super::*;

    fn exit_of(status: StatusCode, error: &str) -> Exit {
        let problem = Problem { error: error.to_owned(), reason: String::new(), remedy: String::new() };
        refused(ClientError::Refused { status, problem }).exit
    }

    #[test]
    fn a_closed_gate_is_told_from_a_policy() {
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "lease-expired"), Exit::NotEntitled);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "suspended"), Exit::NotEntitled);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "action-unknown"), Exit::Refused);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "statement-differs"), Exit::Failed);
        assert_eq!(exit_of(StatusCode::FORBIDDEN, "not-permitted"), Exit::NotPermitted);
        assert_eq!(exit_of(StatusCode::NOT_FOUND, "no-session"), Exit::Failed);
    }

    #[test]
    fn an_action_that_was_asked_for_can_be_come_back_to() {
        let session = SessionId::from_random([1; 16]);
        assert!(interrupted(Some(session)).problem.remedy.ends_with(&format!("--attach {session}")));
        assert_eq!(interrupted(None).problem.remedy, "");
    }
}
