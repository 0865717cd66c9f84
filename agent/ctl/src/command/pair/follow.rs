//! Follows an approval session to its end: queries the daemon, shows changes, submits the person's steps.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use pawl_approval::Confirmation;
use pawl_local_api::{ConfirmationRequest, LocalStatus, Problem, SessionStage, SessionStatus};
use pawl_proto::message::DeviceState;
use serde::Serialize;
use tokio::time::sleep;

use super::milestones::Milestones;
use super::outcome::{Outcome, Watch};
use super::preview::living;
use super::{Way, failure};
use crate::approval::{Dialogue, Step, StepOutcome, check_confirmation, without_expiry};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::{Progress, plain, span};

/// Interval of the queries while no person has to act.
const INTERVAL: Duration = Duration::from_millis(250);

/// The command that returns to an open session.
pub(super) const AGAIN: &str = "pawlctl re-pair --attach";

pub(super) struct Follower<'a> {
    client: &'a Client,
    dialogue: Dialogue,
    watch: Watch,
    milestones: Milestones,
    /// Whether there is a live pairing, which works until the approval.
    lives: bool,
    /// Whether another command opened the session, so that this one must not cancel it.
    attached: bool,
    shown_session: Option<SessionStatus>,
    shown_state: Option<(DeviceState, Option<Problem>)>,
}

/// A change of the session or of the device's state, printed for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Change<'a> {
    Session { session: &'a SessionStatus },
    State { state: DeviceState, problem: &'a Option<Problem> },
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        client: &'a Client,
        before: &LocalStatus,
        dialogue: Dialogue,
        way: Way,
        attached: bool,
    ) -> Self {
        // `pair` ends no pairing. If one is already live, the device created it itself by resuming an approved pairing.
        let old = living(before).map(|pairing| pairing.id).filter(|_| way == Way::Again);
        Self {
            client,
            dialogue,
            watch: Watch::new(before, old),
            milestones: Milestones::new(old.is_some(), attached),
            lives: old.is_some(),
            attached,
            shown_session: None,
            shown_state: None,
        }
    }

    /// Checks that a session that another command opened is in progress.
    pub(super) async fn find_session(&mut self) -> Result<(), Failure> {
        match self.client.session().await? {
            Some(SessionStatus { stage: SessionStage::Failed | SessionStage::Done, .. }) | None => {
                Err(failure::nothing_open())
            }
            Some(_) => Ok(()),
        }
    }

    /// Submits the confirmation code of `--confirm`.
    pub(super) async fn confirm(
        &mut self,
        confirmation: &Confirmation,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let request = ConfirmationRequest { code: confirmation.to_string() };
        let session = self.client.confirm_session(&request).await?;
        progress.say("confirmation code sent");
        check_confirmation(session.waiting.as_ref(), AGAIN)
    }

    /// Returns the status once the device is paired. Every other outcome is a failure.
    pub(super) async fn follow(
        &mut self,
        patience: Duration,
        progress: &mut Progress,
    ) -> Result<LocalStatus, Failure> {
        let started = Instant::now();
        loop {
            let (session, status) = match self.query().await {
                Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
                    if problem.error != "stopping" && started.elapsed() <= patience =>
                {
                    progress.live(&problem.reason);
                    sleep(INTERVAL).await;
                    continue;
                }
                seen => seen.map_err(|error| failure::daemon_lost(error, &self.watch))?,
            };
            self.show_changes(session.as_ref(), &status, progress);
            match self.watch.judge(session.as_ref(), &status, started.elapsed()) {
                Outcome::Pending if started.elapsed() > patience => {
                    let problem = self.watch.problem(session.as_ref(), &status);
                    return Err(failure::timed_out(problem, &self.watch, patience));
                }
                Outcome::Pending => self.attend(session.as_ref(), started, progress).await?,
                Outcome::Paired => return Ok(status),
                Outcome::Lapsed(problem) => return Err(Failure { exit: Exit::NotEntitled, problem }),
                Outcome::Refused(problem) => {
                    return Err(failure::refused(problem, living(&status).is_some()));
                }
                Outcome::Superseded => return Err(failure::superseded()),
                Outcome::SessionLost => return Err(failure::session_lost()),
            }
        }
    }

    async fn query(&self) -> Result<(Option<SessionStatus>, LocalStatus), ClientError> {
        Ok((self.client.session().await?, self.client.status().await?))
    }

    fn show_changes(
        &mut self,
        session: Option<&SessionStatus>,
        status: &LocalStatus,
        progress: &mut Progress,
    ) {
        for line in self.milestones.since(session, status) {
            progress.say(&line);
        }
        if let Some(session) = session {
            let shown =
                SessionStatus { waiting: session.waiting.as_ref().map(without_expiry), ..session.clone() };
            if self.shown_session.as_ref() != Some(&shown) {
                progress.event(&Change::Session { session });
                self.shown_session = Some(shown);
            }
        }
        let state = Some((status.state, status.problem.clone()));
        if self.shown_state != state {
            progress.event(&Change::State { state: status.state, problem: &status.problem });
            self.shown_state = state;
        }
    }

    /// Runs the dialogue with the person if the session waits for approval; otherwise waits for the interval.
    async fn attend(
        &mut self,
        session: Option<&SessionStatus>,
        started: Instant,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let waiting = session.and_then(|session| session.waiting.as_ref().map(|waiting| (session, waiting)));
        let Some((session, waiting)) = waiting else {
            progress.live(&format!("in progress for {}", span(started.elapsed().as_secs())));
            sleep(INTERVAL).await;
            return Ok(());
        };
        let step = self.dialogue.attend(session.id, session.asked.as_ref(), waiting, progress).await?;
        match step {
            None => Ok(()),
            Some(Step::Decline(failure)) => {
                if !self.attached {
                    // If the daemon does not answer, the session expires.
                    let _ = self.client.give_up_session().await;
                }
                Err(failure)
            }
            Some(step) => self.submit(step, progress).await,
        }
    }

    async fn submit(&mut self, step: Step, progress: &mut Progress) -> Result<(), Failure> {
        let answer = match &step {
            Step::Approve(approval) => self.client.approve_session(approval).await,
            Step::Confirm(confirmation) => self.client.confirm_session(confirmation).await,
            Step::Decline(_) => return Ok(()),
        };
        match StepOutcome::of(&step, answer.map(|session| session.waiting), AGAIN) {
            StepOutcome::Submitted => Ok(()),
            StepOutcome::Retry(why) => {
                progress.say(&plain(&format!("not sent yet: {why}; retrying")));
                self.dialogue.retry(step);
                Ok(())
            }
            StepOutcome::Refused(failure) => Err(failure),
            StepOutcome::Failed(error) => Err(failure::daemon_lost(error, &self.watch)),
        }
    }

    /// Cancels the session after Ctrl-C, unless it is approved or another command opened it.
    pub(super) async fn interrupted(&self) -> Failure {
        if self.watch.is_approved() {
            return failure::interrupted_after_approval();
        }
        if self.attached {
            return failure::interrupted_attached();
        }
        let given_up = tokio::time::timeout(failure::CANCEL_TIMEOUT, self.client.give_up_session()).await;
        failure::given_up(given_up.ok(), self.lives)
    }
}
