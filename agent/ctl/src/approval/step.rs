//! What somebody did at the desk, and what became of it.

use hyper::StatusCode;
use pawl_proto::local::{ApprovalRequest, ConfirmationRequest, WaitingStatus};

use crate::client::ClientError;
use crate::exit::{Exit, Failure};

/// What somebody did here.
pub(crate) enum Step {
    /// Approved.
    Approve(ApprovalRequest),
    /// Typed the confirmation.
    Confirm(ConfirmationRequest),
    /// Nobody here wants this session any more.
    Decline(Failure),
}

/// What became of a step that was handed in.
pub(crate) enum Handed {
    /// The session goes on, or is over: the next look tells.
    In,
    /// The control plane was too far away: again later, with the reason for that.
    NotYet(String),
    /// The approval does not count, and the same key's next one would not.
    Refused(Failure),
    /// The daemon did not take it.
    Failed(ClientError),
}

impl Handed {
    /// `answer` is what the daemon said to `step`; `again` is the command that comes back to the session.
    pub(crate) fn of(step: &Step, answer: Result<Option<WaitingStatus>, ClientError>, again: &str) -> Self {
        match answer {
            Ok(waiting) => match (refusal(waiting.as_ref()), step) {
                (Some(why), Step::Approve(_)) => Self::Refused(approval_refused(why, again)),
                _ => Self::In,
            },
            Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
                if problem.error != "stopping" =>
            {
                Self::NotYet(problem.reason)
            }
            Err(ClientError::Refused { status: StatusCode::CONFLICT, .. }) => Self::In,
            Err(error) => Self::Failed(error),
        }
    }
}

/// A confirmation from the command line: whoever gave it is not there to give another.
///
/// # Errors
/// When it does not count.
pub(crate) fn confirmed(waiting: Option<&WaitingStatus>, again: &str) -> Result<(), Failure> {
    match refusal(waiting) {
        None => Ok(()),
        Some(why) => Err(Failure::new(
            Exit::Refused,
            "confirmation-refused",
            format!("confirmation code rejected: {why}; the session stays open"),
            format!("ask the approver to read the code again, then: {again} --confirm CODE"),
        )),
    }
}

fn approval_refused(why: &str, again: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "approval-refused",
        format!("{why}; the session stays open"),
        format!("approve with another key: {again} --sign-with KEY; or ask the operator for the reason"),
    )
}

fn refusal(waiting: Option<&WaitingStatus>) -> Option<&str> {
    waiting.and_then(|waiting| waiting.refused.as_deref())
}

#[cfg(test)]
mod tests {
    use pawl_proto::local::Problem;

    use super::*;

    fn approve() -> Step {
        Step::Approve(ApprovalRequest { statement: String::new(), signature: String::new() })
    }

    fn answered(status: StatusCode, error: &str) -> Result<Option<WaitingStatus>, ClientError> {
        let problem = Problem { error: error.to_owned(), reason: "no".to_owned(), remedy: String::new() };
        Err(ClientError::Refused { status, problem })
    }

    fn waiting(refused: Option<&str>) -> WaitingStatus {
        WaitingStatus {
            user_code: String::new(),
            url: String::new(),
            needed: 1,
            approved: Vec::new(),
            unconfirmed: 0,
            tries_left: 4,
            expires: 0,
            refused: refused.map(str::to_owned),
        }
    }

    #[test]
    fn an_approval_that_does_not_count_ends_the_command() {
        let waiting = waiting(Some("not this key"));
        let Handed::Refused(failure) =
            Handed::of(&approve(), Ok(Some(waiting.clone())), "pawlctl re-pair --attach")
        else {
            panic!("it counts")
        };
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.problem.reason.contains("not this key"));
        assert!(failure.problem.remedy.contains("pawlctl re-pair --attach --sign-with KEY"));
    }

    #[test]
    fn a_wrong_confirmation_can_be_typed_again_and_not_given_again() {
        let waiting = waiting(Some("not this one"));
        let step = Step::Confirm(ConfirmationRequest { code: String::new() });
        assert!(matches!(Handed::of(&step, Ok(Some(waiting.clone())), ""), Handed::In));
        assert_eq!(confirmed(Some(&waiting), "x").unwrap_err().exit, Exit::Refused);
        assert!(confirmed(None, "x").is_ok());
    }

    #[test]
    fn a_step_waits_for_a_control_plane_that_is_far_away() {
        let of = |status, error| Handed::of(&approve(), answered(status, error), "");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert!(matches!(of(unavailable, "control-plane-unreachable"), Handed::NotYet(_)));
        assert!(matches!(of(unavailable, "stopping"), Handed::Failed(_)));
        assert!(matches!(of(StatusCode::CONFLICT, "no-session"), Handed::In));
        assert!(matches!(of(StatusCode::BAD_REQUEST, "bad-request"), Handed::Failed(_)));
    }
}
