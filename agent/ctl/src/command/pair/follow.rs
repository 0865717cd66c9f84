//! Follows a session: looks, tells, hands on what somebody does here, until it is over.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use pawl_approval::Confirmation;
use pawl_proto::local::{ConfirmationRequest, LocalStatus, Problem, SessionStage, SessionStatus};
use pawl_proto::message::DeviceState;
use serde::Serialize;
use tokio::time::sleep;

use super::found::living;
use super::milestones::Milestones;
use super::outcome::{Outcome, Watch};
use super::{Way, ending};
use crate::approval::{Desk, Handed, Step, confirmed, gist};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::{Voice, plain, span};

/// How often the daemon is looked at while nobody is waited for.
const INTERVAL: Duration = Duration::from_millis(250);

/// Comes back to a session that another command opened.
pub(super) const AGAIN: &str = "pawlctl re-pair --attach";

pub(super) struct Follower<'a> {
    client: &'a Client,
    desk: Desk,
    watch: Watch,
    milestones: Milestones,
    /// A pairing lives, and works on until an approval.
    lives: bool,
    /// Another command began the session, and this one must not end it.
    attached: bool,
    told_session: Option<SessionStatus>,
    told_state: Option<(DeviceState, Option<Problem>)>,
}

/// A change, for programs.
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
        desk: Desk,
        way: Way,
        attached: bool,
    ) -> Self {
        // Where none is to end, one that lives already has come of what the device began by itself.
        let old = living(before).map(|pairing| pairing.id).filter(|_| way == Way::Again);
        Self {
            client,
            desk,
            watch: Watch::new(before, old),
            milestones: Milestones::new(old.is_some(), attached),
            lives: old.is_some(),
            attached,
            told_session: None,
            told_state: None,
        }
    }

    /// The session that another command began has to be there, and under way.
    pub(super) async fn find_session(&mut self) -> Result<(), Failure> {
        match self.client.session().await? {
            Some(SessionStatus { stage: SessionStage::Failed | SessionStage::Done, .. }) | None => {
                Err(ending::nothing_open())
            }
            Some(_) => Ok(()),
        }
    }

    /// Hands in a confirmation that was given on the command line.
    pub(super) async fn confirm(
        &mut self,
        confirmation: &Confirmation,
        voice: &mut Voice,
    ) -> Result<(), Failure> {
        let request = ConfirmationRequest { code: confirmation.to_string() };
        let session = self.client.confirm_session(&request).await?;
        voice.say("confirmation code sent");
        confirmed(session.waiting.as_ref(), AGAIN)
    }

    /// Until a pairing has come of it; everything else is a failure.
    pub(super) async fn follow(
        &mut self,
        patience: Duration,
        voice: &mut Voice,
    ) -> Result<LocalStatus, Failure> {
        let started = Instant::now();
        loop {
            let (session, status) = match self.look().await {
                Err(ClientError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, problem })
                    if problem.error != "stopping" && started.elapsed() <= patience =>
                {
                    voice.live(&problem.reason);
                    sleep(INTERVAL).await;
                    continue;
                }
                seen => seen.map_err(|error| ending::adrift(error, &self.watch))?,
            };
            self.tell(session.as_ref(), &status, voice);
            match self.watch.judge(session.as_ref(), &status, started.elapsed()) {
                Outcome::Pending if started.elapsed() > patience => {
                    let problem = self.watch.complaint(session.as_ref(), &status);
                    return Err(ending::out_of_patience(problem, &self.watch, patience));
                }
                Outcome::Pending => self.attend(session.as_ref(), started, voice).await?,
                Outcome::Paired => return Ok(status),
                Outcome::Lapsed(problem) => return Err(Failure { exit: Exit::NotEntitled, problem }),
                Outcome::Refused(problem) => return Err(ending::refused(problem, living(&status).is_some())),
                Outcome::Superseded => return Err(ending::superseded()),
                Outcome::Forgotten => return Err(ending::forgotten()),
            }
        }
    }

    async fn look(&self) -> Result<(Option<SessionStatus>, LocalStatus), ClientError> {
        Ok((self.client.session().await?, self.client.status().await?))
    }

    fn tell(&mut self, session: Option<&SessionStatus>, status: &LocalStatus, voice: &mut Voice) {
        for line in self.milestones.since(session, status) {
            voice.say(&line);
        }
        if let Some(session) = session {
            let gist = SessionStatus { waiting: session.waiting.as_ref().map(gist), ..session.clone() };
            if self.told_session.as_ref() != Some(&gist) {
                voice.event(&Change::Session { session });
                self.told_session = Some(gist);
            }
        }
        let state = Some((status.state, status.problem.clone()));
        if self.told_state != state {
            voice.event(&Change::State { state: status.state, problem: &status.problem });
            self.told_state = state;
        }
    }

    /// Lets somebody act on a session that waits; otherwise lets some time pass.
    async fn attend(
        &mut self,
        session: Option<&SessionStatus>,
        started: Instant,
        voice: &mut Voice,
    ) -> Result<(), Failure> {
        let waiting = session.and_then(|session| session.waiting.as_ref().map(|waiting| (session, waiting)));
        let Some((session, waiting)) = waiting else {
            voice.live(&format!("in progress for {}", span(started.elapsed().as_secs())));
            sleep(INTERVAL).await;
            return Ok(());
        };
        let step = self.desk.attend(session.id, session.asked.as_ref(), waiting, voice).await?;
        match step {
            None => Ok(()),
            Some(Step::Decline(failure)) => {
                if !self.attached {
                    // It ends by itself where the daemon cannot be told.
                    let _ = self.client.give_up_session().await;
                }
                Err(failure)
            }
            Some(step) => self.hand_in(step, voice).await,
        }
    }

    async fn hand_in(&mut self, step: Step, voice: &mut Voice) -> Result<(), Failure> {
        let answer = match &step {
            Step::Approve(approval) => self.client.approve_session(approval).await,
            Step::Confirm(confirmation) => self.client.confirm_session(confirmation).await,
            Step::Decline(_) => return Ok(()),
        };
        match Handed::of(&step, answer.map(|session| session.waiting), AGAIN) {
            Handed::In => Ok(()),
            Handed::NotYet(why) => {
                voice.say(&plain(&format!("not sent yet: {why}; retrying")));
                self.desk.keep(step);
                Ok(())
            }
            Handed::Refused(failure) => Err(failure),
            Handed::Failed(error) => Err(ending::adrift(error, &self.watch)),
        }
    }

    /// Somebody has had enough: gives the session up while that still can be done.
    pub(super) async fn interrupted(&self) -> Failure {
        if self.watch.is_approved() {
            return ending::interrupted_after_approval();
        }
        if self.attached {
            return ending::left();
        }
        let given_up = tokio::time::timeout(ending::PATIENCE, self.client.give_up_session()).await;
        ending::given_up(given_up.ok(), self.lives)
    }
}
