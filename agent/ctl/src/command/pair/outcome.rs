//! Judges the outcome of a pairing from the daemon's session and status.

use std::time::Duration;

use pawl_local_api::{LocalStatus, Problem, SessionStage, SessionStatus};
use pawl_proto::message::DeviceState;
use pawl_proto::{PairingId, SessionId};

/// A daemon that accepted a request begins within this time.
const GRACE: Duration = Duration::from_secs(3);

/// The state of the queries so far.
pub(super) struct Watch {
    /// The pairing that will end. The daemon may still report it; it is not the outcome.
    old: Option<PairingId>,
    problem_before: Option<Problem>,
    begun: bool,
    session: Option<SessionId>,
    stage: Option<SessionStage>,
}

/// The outcome so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pending,
    Paired,
    /// Paired, but without a lease.
    Lapsed(Problem),
    /// The session or the pairing failed.
    Refused(Problem),
    /// Another session was opened before this one was approved.
    Superseded,
    /// The daemon was restarted before the approval, and lost the session.
    SessionLost,
}

impl Watch {
    /// `before` is the status before the request; its problem does not concern this pairing. `old` is the pairing that was live
    /// then.
    pub(super) fn new(before: &LocalStatus, old: Option<PairingId>) -> Self {
        Self { old, problem_before: before.problem.clone(), begun: false, session: None, stage: None }
    }

    /// Returns the last known stage of the session.
    pub(super) fn stage(&self) -> Option<SessionStage> {
        self.stage
    }

    /// Returns the present problem: the session's, or the device's if it is new.
    pub(super) fn problem<'a>(
        &self,
        session: Option<&'a SessionStatus>,
        status: &'a LocalStatus,
    ) -> Option<&'a Problem> {
        let new = |problem: &&Problem| problem.error != "pairing" && status.problem != self.problem_before;
        let of_device = status.problem.as_ref().filter(new);
        session.and_then(|session| session.problem.as_ref()).or(of_device)
    }

    /// Returns the outcome by the answers to a query, `waited` after the request.
    pub(super) fn judge(
        &mut self,
        session: Option<&SessionStatus>,
        status: &LocalStatus,
        waited: Duration,
    ) -> Outcome {
        let Some(session) = session else {
            return match self.stage {
                Some(SessionStage::Opening | SessionStage::Waiting) => Outcome::SessionLost,
                _ => self.judge_state(status, waited),
            };
        };
        if self.session.is_some() && session.id != self.session && !self.is_approved() {
            return Outcome::Superseded;
        }
        self.session = session.id;
        self.stage = Some(session.stage);
        match session.stage {
            SessionStage::Failed => Outcome::Refused(why(session, status)),
            SessionStage::Done => {
                (self.begun, self.old) = (true, None);
                self.judge_state(status, waited)
            }
            _ => Outcome::Pending,
        }
    }

    /// Returns whether the pairing is approved. Then the daemon completes it even without this command.
    pub(super) fn is_approved(&self) -> bool {
        matches!(self.stage, Some(SessionStage::Ending | SessionStage::Pairing | SessionStage::Done))
    }

    /// Returns the outcome by the device's state, without a session or after its end.
    fn judge_state(&mut self, status: &LocalStatus, waited: Duration) -> Outcome {
        self.begun |= status.state == DeviceState::Pairing || status.problem != self.problem_before;
        let over = self.begun || waited >= GRACE;
        let old = status.pairing.as_ref().is_some_and(|pairing| Some(pairing.id) == self.old);
        match (status.state, &status.problem) {
            (DeviceState::Pairing, _) => Outcome::Pending,
            (DeviceState::Entitled | DeviceState::Lapsed, _) if old && over => Outcome::SessionLost,
            (DeviceState::Entitled | DeviceState::Lapsed, _) if old => Outcome::Pending,
            (DeviceState::Entitled, _) => Outcome::Paired,
            (DeviceState::Lapsed, Some(problem)) if problem.error == "waiting" => Outcome::Pending,
            (DeviceState::Lapsed, Some(problem)) if over => Outcome::Lapsed(problem.clone()),
            (DeviceState::Unpaired | DeviceState::Revoked, Some(problem)) if over => {
                Outcome::Refused(problem.clone())
            }
            _ => Outcome::Pending,
        }
    }
}

fn why(session: &SessionStatus, status: &LocalStatus) -> Problem {
    session.problem.clone().or_else(|| status.problem.clone()).unwrap_or_else(|| Problem {
        error: "failed".to_owned(),
        reason: "the session failed, and pawld gives no reason".to_owned(),
        remedy: "see its log: journalctl -u pawld".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{session, status};
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    fn watch(before: &LocalStatus) -> Watch {
        Watch::new(before, None)
    }

    #[test]
    fn a_session_is_followed_to_the_new_pairing() {
        let before = status(DeviceState::Entitled, None);
        let old = before.pairing.as_ref().map(|pairing| pairing.id);
        let mut watch = Watch::new(&before, old);
        for stage in
            [SessionStage::Opening, SessionStage::Waiting, SessionStage::Ending, SessionStage::Pairing]
        {
            assert_eq!(watch.judge(Some(&session(stage)), &before, GRACE), Outcome::Pending, "{stage:?}");
            assert_eq!(watch.stage(), Some(stage));
        }
        let mut unjudged = status(DeviceState::Lapsed, Some("no verdict yet"));
        unjudged.problem.as_mut().unwrap().error = "waiting".to_owned();
        assert_eq!(watch.judge(Some(&session(SessionStage::Done)), &unjudged, GRACE), Outcome::Pending);
        assert_eq!(watch.judge(Some(&session(SessionStage::Done)), &before, SOON), Outcome::Paired);
    }

    #[test]
    fn the_old_pairing_is_not_the_outcome() {
        let before = status(DeviceState::Entitled, None);
        let old = before.pairing.as_ref().map(|pairing| pairing.id);
        let mut watch = Watch::new(&before, old);
        assert_eq!(watch.judge(None, &before, SOON), Outcome::Pending);
        assert_eq!(watch.judge(None, &before, GRACE), Outcome::SessionLost);
        let mut new = before.clone();
        new.pairing.as_mut().unwrap().id = PairingId::from_random([9; 16]);
        assert_eq!(watch.judge(None, &new, SOON), Outcome::Paired);
    }

    #[test]
    fn a_missing_session_is_judged_by_its_last_stage() {
        let before = status(DeviceState::Unpaired, None);
        let mut early = watch(&before);
        early.judge(Some(&session(SessionStage::Waiting)), &before, SOON);
        assert_eq!(early.judge(None, &before, SOON), Outcome::SessionLost);

        let mut late = watch(&before);
        late.judge(Some(&session(SessionStage::Pairing)), &before, SOON);
        assert_eq!(late.judge(None, &status(DeviceState::Pairing, None), SOON), Outcome::Pending);
        assert_eq!(late.judge(None, &status(DeviceState::Entitled, None), SOON), Outcome::Paired);
    }

    #[test]
    fn another_session_ends_this_one_unless_it_was_approved() {
        let before = status(DeviceState::Unpaired, None);
        let mut other = session(SessionStage::Opening);
        other.id = None;
        let mut early = watch(&before);
        early.judge(Some(&session(SessionStage::Waiting)), &before, SOON);
        assert_eq!(early.judge(Some(&other), &before, SOON), Outcome::Superseded);

        let mut late = watch(&before);
        late.judge(Some(&session(SessionStage::Ending)), &before, SOON);
        assert_eq!(late.judge(Some(&other), &before, SOON), Outcome::Pending);
    }

    #[test]
    fn a_failed_session_has_a_reason() {
        let before = status(DeviceState::Revoked, Some("revoked: stolen"));
        let mut failed = session(SessionStage::Failed);
        let reason = |outcome| match outcome {
            Outcome::Refused(problem) => problem.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(watch(&before).judge(Some(&failed), &before, SOON)), "revoked: stolen");
        failed.problem = status(DeviceState::Pairing, Some("declined")).problem;
        assert_eq!(reason(watch(&before).judge(Some(&failed), &before, SOON)), "declined");
    }

    #[test]
    fn without_a_session_the_state_decides() {
        let revoked = status(DeviceState::Revoked, Some("revoked: stolen"));
        let mut watch = watch(&revoked);
        assert_eq!(watch.judge(None, &revoked, SOON), Outcome::Pending);
        assert_eq!(
            watch.judge(None, &status(DeviceState::Pairing, Some("no network")), SOON),
            Outcome::Pending
        );
        let refused = status(DeviceState::Revoked, Some("not enrolled"));
        assert!(matches!(watch.judge(None, &refused, SOON), Outcome::Refused(_)));
        let drifted = status(DeviceState::Lapsed, Some("contraindicated"));
        assert!(matches!(watch.judge(None, &drifted, SOON), Outcome::Lapsed(_)));
    }

    #[test]
    fn a_repeated_refusal_counts_after_the_grace_time() {
        let refused = status(DeviceState::Unpaired, Some("not enrolled"));
        let mut watch = watch(&refused);
        assert_eq!(watch.judge(None, &refused, SOON), Outcome::Pending);
        assert!(matches!(watch.judge(None, &refused, GRACE), Outcome::Refused(_)));
    }
}
