//! The failures of `pair` and `re-pair`. Each names how the session ended without a pairing, which pairing still works, and the
//! remedy.

use std::time::Duration;

use hyper::StatusCode;
use pawl_local_api::{Problem, SessionStage};

use super::outcome::Watch;
use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::output::span;

/// Time for the daemon's answer to a cancellation.
pub(super) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

const SEE_STATE: &str = "see the state with: pawlctl status";

/// Returns the failure for a daemon that stopped or no longer answers.
pub(super) fn daemon_lost(error: ClientError, watch: &Watch) -> Failure {
    let stopping = matches!(error, ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. });
    let failure = Failure::from(error);
    if failure.exit != Exit::Unreachable && failure.exit != Exit::Failed {
        return failure;
    }
    let holds = if watch.is_approved() {
        "the pairing is approved, and pawld completes it as soon as it runs"
    } else {
        "nothing has changed unless an approver approved in the meantime"
    };
    let exit = if stopping { Exit::Unreachable } else { failure.exit };
    let reason = format!("{}; {holds}", failure.problem.reason);
    Failure::new(
        exit,
        &failure.problem.error,
        reason,
        "start it: systemctl start pawld; then: pawlctl status",
    )
}

/// Returns the failure for an expired `--timeout`.
pub(super) fn timed_out(problem: Option<&Problem>, watch: &Watch, timeout: Duration) -> Failure {
    let waited = span(timeout.as_secs());
    if watch.stage() == Some(SessionStage::Waiting) {
        let reason = format!("not approved after {waited}; nothing has changed; the session stays open");
        let remedy = "continue waiting with: pawlctl re-pair --attach";
        return Failure::new(Exit::StillWaiting, "timeout", reason, remedy);
    }
    let (reason, remedy) = match problem {
        Some(problem) => (problem.reason.clone(), problem.remedy.clone()),
        None => (format!("not finished after {waited}"), format!("the daemon continues; {SEE_STATE}")),
    };
    Failure::new(Exit::StillWaiting, "timeout", reason, remedy)
}

/// Returns the failure for a session that was refused or has failed. `lives`: whether the earlier pairing is still live.
pub(super) fn refused(mut problem: Problem, lives: bool) -> Failure {
    if lives {
        problem.reason.push_str("; nothing has changed: the old pairing still works");
    }
    Failure::of_session(problem)
}

pub(super) fn superseded() -> Failure {
    Failure::new(
        Exit::Failed,
        "superseded",
        "another session was opened on this device and replaced this one",
        "follow the other session: pawlctl re-pair --attach",
    )
}

pub(super) fn session_lost() -> Failure {
    Failure::new(
        Exit::Failed,
        "session-lost",
        "pawld was restarted and lost the session; nothing has changed",
        "start again: pawlctl re-pair",
    )
}

/// Returns the failure for `--attach` or `--confirm` without an open session.
pub(super) fn nothing_open() -> Failure {
    Failure::new(Exit::Failed, "no-session", "no session is open on this device", "open one: pawlctl re-pair")
}

/// Returns the failure for an interrupt before a session was requested.
pub(super) fn untouched() -> Failure {
    interrupted("no session was opened; nothing has changed", "")
}

/// Returns the failure for an interrupt in a session that another command opened.
pub(super) fn interrupted_attached() -> Failure {
    interrupted("the session stays open", "return to it with: pawlctl re-pair --attach")
}

pub(super) fn interrupted_after_approval() -> Failure {
    interrupted("the pairing was approved; the daemon completes it", SEE_STATE)
}

/// Returns the failure for an interrupt before the approval. `answer` is the daemon's answer to the cancellation, if any.
pub(super) fn given_up(answer: Option<Result<(), ClientError>>, lives: bool) -> Failure {
    let old = if lives { ": the old pairing still works" } else { "" };
    match answer {
        Some(Ok(())) => interrupted(&format!("the session was cancelled; nothing has changed{old}"), ""),
        Some(Err(ClientError::Refused { problem, .. })) if problem.error == "approved" => {
            interrupted_after_approval()
        }
        Some(Err(ClientError::Refused { problem, .. })) if problem.error == "no-session" => {
            interrupted(&format!("no session was open; nothing has changed{old}"), "")
        }
        _ => interrupted(
            "pawld did not answer; unless an approver approved, the session expires within ten minutes",
            SEE_STATE,
        ),
    }
}

fn interrupted(what_holds: &str, remedy: &str) -> Failure {
    Failure::new(Exit::Interrupted, "interrupted", format!("interrupted: {what_holds}"), remedy)
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::DeviceState;

    use super::super::tests::{session, status};
    use super::*;

    fn refused(error: &str) -> Option<Result<(), ClientError>> {
        let problem = Problem { error: error.to_owned(), reason: "no".to_owned(), remedy: String::new() };
        Some(Err(ClientError::Refused { status: StatusCode::CONFLICT, problem }))
    }

    #[test]
    fn a_cancellation_names_the_pairing_that_still_works() {
        let reason = |answer, lives| given_up(answer, lives).problem.reason;
        let given_up = "interrupted: the session was cancelled; nothing has changed";
        assert_eq!(reason(Some(Ok(())), false), given_up);
        assert_eq!(reason(Some(Ok(())), true), format!("{given_up}: the old pairing still works"));
        assert!(reason(refused("approved"), true).contains("was approved"));
        assert!(reason(refused("no-session"), true).contains("no session was open"));
        assert!(reason(None, true).contains("within ten minutes"));
    }

    #[test]
    fn a_stopped_daemon_keeps_an_approved_pairing() {
        let before = status(DeviceState::Entitled, None);
        let mut watch = Watch::new(&before, None);
        let stopping = || refused("stopping").and_then(Result::err).unwrap();
        let early = daemon_lost(stopping(), &watch);
        assert!(early.problem.reason.contains("nothing has changed unless"), "{early:?}");
        watch.judge(Some(&session(SessionStage::Pairing)), &before, Duration::ZERO);
        assert!(daemon_lost(stopping(), &watch).problem.reason.contains("is approved"));
    }

    #[test]
    fn an_expired_timeout_leaves_the_session_open() {
        let before = status(DeviceState::Entitled, None);
        let mut watch = Watch::new(&before, None);
        watch.judge(Some(&session(SessionStage::Waiting)), &before, Duration::ZERO);
        let failure = timed_out(None, &watch, Duration::from_secs(900));
        assert_eq!(failure.exit, Exit::StillWaiting);
        let expected = "not approved after 15 min; nothing has changed; the session stays open";
        assert_eq!(failure.problem.reason, expected);
    }
}
