//! Runs the dialogue with the person at this device while an approval session waits: shows the request, signs the statement with
//! a key, asks for the confirmation code.

use std::time::Duration;

use hyper::StatusCode;
use pawl_approval::Confirmation;
use pawl_local_api::{ApprovalRequest, Asked, ConfirmationRequest, WaitingStatus};
use pawl_proto::SessionId;
use tokio::time::{sleep, timeout};

use super::{Key, Requested, statement, waiting};
use crate::cli::Approving;
use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::output::{FieldList, Progress, Tone, now, span};
use crate::terminal::{self, Keyboard};

/// Interval of the queries while a session waits.
const INTERVAL: Duration = Duration::from_millis(500);

const CONFIRMATION: &str = "confirmation code: ";

/// The dialogue of one approval session.
pub(crate) struct Dialogue {
    requested: Requested,
    /// The key of `--sign-with`, until it has signed.
    key: Option<Key>,
    sign_unasked: bool,
    keyboard: Option<Keyboard>,
    qr: bool,
    /// The command that returns to this session.
    again: String,
    seen: Option<WaitingStatus>,
    code_shown: bool,
    prompted: bool,
    /// A step to submit again, because the control plane was unreachable.
    kept: Option<Step>,
}

impl Dialogue {
    /// Finds the keyboard and the key, before the caller opens a session that needs them. `again` is the command that returns
    /// to the session.
    ///
    /// # Errors
    /// If the key is not available, or if there is no terminal to confirm its use on.
    pub(crate) async fn open(
        options: Approving,
        requested: Requested,
        again: String,
        progress: &mut Progress,
    ) -> Result<Self, Failure> {
        let keyboard = Keyboard::find(progress);
        let key = match options.sign_with {
            None => None,
            Some(_) if keyboard.is_none() && !options.yes => {
                return Err(Failure::new(
                    Exit::Usage,
                    "nobody-to-ask",
                    "cannot ask whether to sign: no terminal",
                    "run it on a terminal, or add --yes to sign without a question",
                ));
            }
            Some(name) => Some(Key::find(name).await?),
        };
        Ok(Self {
            requested,
            key,
            sign_unasked: options.yes,
            keyboard,
            qr: !options.no_qr,
            again,
            seen: None,
            code_shown: false,
            prompted: false,
            kept: None,
        })
    }

    /// Replaces the command that returns to this session.
    pub(crate) fn set_return_command(&mut self, again: String) {
        self.again = again;
    }

    /// Has [`Dialogue::attend`] return this step again after the interval.
    pub(crate) fn retry(&mut self, step: Step) {
        self.kept = Some(step);
    }

    /// Shows the changes, and returns the person's next step; `None` after the interval without one.
    ///
    /// # Errors
    /// If the key does not sign.
    pub(crate) async fn attend(
        &mut self,
        session: Option<SessionId>,
        asked: Option<&Asked>,
        waiting: &WaitingStatus,
        progress: &mut Progress,
    ) -> Result<Option<Step>, Failure> {
        self.show_changes(asked, waiting, progress);
        if let Some(step) = self.kept.take() {
            sleep(INTERVAL).await;
            return Ok(Some(step));
        }
        if let Some(asked) = asked
            && let Some(key) = self.key.take()
        {
            return self.sign(&key, session, asked, progress).await.map(Some);
        }
        if !self.code_shown {
            progress.say(&self.code_display(progress).show(waiting));
            self.code_shown = true;
        }
        Ok(self.listen(waiting, progress).await)
    }

    fn show_changes(&mut self, asked: Option<&Asked>, waiting: &WaitingStatus, progress: &mut Progress) {
        if self.seen.is_none() {
            progress.say(&waiting::show(asked, waiting, progress.style()));
        }
        let confirm = format!("{} --confirm CODE", self.again);
        let confirm = self.keyboard.is_none().then_some(confirm.as_str());
        for line in waiting::changes(self.seen.as_ref(), waiting, confirm) {
            progress.say(&line);
            self.prompted = false;
        }
        self.seen = Some(waiting.clone());
    }

    fn code_display(&self, progress: &Progress) -> waiting::CodeDisplay {
        let drawable = self.qr && progress.to_terminal() && terminal::is_utf8();
        waiting::CodeDisplay {
            style: progress.style(),
            columns: if drawable { terminal::columns() } else { None },
            here: format!("{} --sign-with KEY", self.again),
        }
    }

    async fn sign(
        &mut self,
        key: &Key,
        session: Option<SessionId>,
        asked: &Asked,
        progress: &mut Progress,
    ) -> Result<Step, Failure> {
        let (bytes, stated) = match self.requested.check(asked, session) {
            Ok(checked) => checked,
            Err(failure) => return Ok(Step::Decline(failure)),
        };
        let mut fields = FieldList::new(progress.style());
        fields.headline(Tone::Doubtful, &format!("you are about to sign with {}", key.describe()));
        statement::show(&mut fields, &stated);
        progress.say(&fields.into_text());
        if !self.sign_unasked && !self.is_agreed(progress).await {
            let declined = "you answered no; nothing was signed";
            return Ok(Step::Decline(Failure::new(Exit::Failed, "declined", declined, "")));
        }
        if key.wants_touch() {
            progress.say("touch your security key now");
        }
        let signature = key.sign(bytes.to_be_signed()).await?;
        progress.say("signed");
        Ok(Step::Approve(ApprovalRequest { statement: asked.statement.clone(), signature }))
    }

    async fn is_agreed(&mut self, progress: &mut Progress) -> bool {
        let Some(keyboard) = &mut self.keyboard else { return false };
        let answer = keyboard.ask(progress, "sign? [y/N] ").await;
        answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
    }

    /// Waits for the interval. If a confirmation code is expected, reads one from the keyboard meanwhile.
    async fn listen(&mut self, waiting: &WaitingStatus, progress: &mut Progress) -> Option<Step> {
        let Some(keyboard) = self.keyboard.as_mut().filter(|_| waiting.unconfirmed > 0) else {
            progress
                .live(&format!("waiting for approval; {} left", span(waiting.expires.saturating_sub(now()))));
            sleep(INTERVAL).await;
            return None;
        };
        if !self.prompted {
            keyboard.prompt(progress, CONFIRMATION);
            self.prompted = true;
        }
        match timeout(INTERVAL, keyboard.typed(progress)).await {
            Err(_) => None,
            Ok(Some(typed)) => {
                self.prompted = false;
                confirmation(&typed, progress)
            }
            Ok(None) => {
                self.keyboard = None;
                progress.say(&format!(
                    "the input has ended; submit the confirmation code with: {} --confirm CODE",
                    self.again
                ));
                None
            }
        }
    }
}

/// Parses a typed code. An invalid code is not sent, so that it does not use up a try.
fn confirmation(typed: &str, progress: &mut Progress) -> Option<Step> {
    match typed.parse::<Confirmation>() {
        Ok(confirmation) => Some(Step::Confirm(ConfirmationRequest { code: confirmation.to_string() })),
        Err(error) => {
            progress.say(&error.to_string());
            None
        }
    }
}

/// A step of the person.
pub(crate) enum Step {
    /// The person approved the session.
    Approve(ApprovalRequest),
    /// The person typed the confirmation code.
    Confirm(ConfirmationRequest),
    /// The person declined to sign, or the statement differs from the request.
    Decline(Failure),
}

/// The outcome of a submitted step.
pub(crate) enum StepOutcome {
    /// The step was submitted. The next query shows the state of the session.
    Submitted,
    /// The control plane is unreachable, for this reason: submit the step again later.
    Retry(String),
    /// The control plane refused the approval, and would refuse another one by the same key.
    Refused(Failure),
    /// The daemon refused the step, or did not answer.
    Failed(ClientError),
}

impl StepOutcome {
    /// Evaluates the daemon's answer to `step`. `again` is the command that returns to the session.
    pub(crate) fn of(step: &Step, answer: Result<Option<WaitingStatus>, ClientError>, again: &str) -> Self {
        match answer {
            Ok(waiting) => match (refusal(waiting.as_ref()), step) {
                (Some(why), Step::Approve(_)) => Self::Refused(approval_refused(why, again)),
                _ => Self::Submitted,
            },
            Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
                if problem.error != "stopping" =>
            {
                Self::Retry(problem.reason)
            }
            Err(ClientError::Refused { status: StatusCode::CONFLICT, .. }) => Self::Submitted,
            Err(error) => Self::Failed(error),
        }
    }
}

/// Checks the answer to the confirmation code of `--confirm`. The person cannot type it again, so a refusal ends the command.
///
/// # Errors
/// If the control plane refused the code.
pub(crate) fn check_confirmation(waiting: Option<&WaitingStatus>, again: &str) -> Result<(), Failure> {
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
    use pawl_local_api::Problem;

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
    fn a_rejected_approval_ends_the_command() {
        let waiting = waiting(Some("not this key"));
        let StepOutcome::Refused(failure) =
            StepOutcome::of(&approve(), Ok(Some(waiting.clone())), "pawlctl re-pair --attach")
        else {
            panic!("the approval counts")
        };
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.problem.reason.contains("not this key"));
        assert!(failure.problem.remedy.contains("pawlctl re-pair --attach --sign-with KEY"));
    }

    #[test]
    fn a_wrong_confirmation_ends_the_command_only_if_it_was_an_option() {
        let waiting = waiting(Some("not this one"));
        let step = Step::Confirm(ConfirmationRequest { code: String::new() });
        assert!(matches!(StepOutcome::of(&step, Ok(Some(waiting.clone())), ""), StepOutcome::Submitted));
        assert_eq!(check_confirmation(Some(&waiting), "x").unwrap_err().exit, Exit::Refused);
        assert!(check_confirmation(None, "x").is_ok());
    }

    #[test]
    fn a_step_is_retried_while_the_control_plane_is_unreachable() {
        let of = |status, error| StepOutcome::of(&approve(), answered(status, error), "");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert!(matches!(of(unavailable, "control-plane-unreachable"), StepOutcome::Retry(_)));
        assert!(matches!(of(unavailable, "stopping"), StepOutcome::Failed(_)));
        assert!(matches!(of(StatusCode::CONFLICT, "no-session"), StepOutcome::Submitted));
        assert!(matches!(of(StatusCode::BAD_REQUEST, "bad-request"), StepOutcome::Failed(_)));
    }
}
