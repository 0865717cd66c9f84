//! The stages that a session has reached. Each is shown once, in order, also if several were reached between two queries.

use pawl_local_api::{LocalStatus, SessionStage, SessionStatus};

use crate::output::plain;

/// The stages that were shown.
pub(super) struct Milestones {
    /// The line for the approval; it says whether a pairing ends.
    approved: &'static str,
    told: usize,
    trouble: Option<String>,
}

impl Milestones {
    /// `ends` says whether the approval ends a live pairing; `open`, whether the session is open already.
    pub(super) fn new(ends: bool, open: bool) -> Self {
        let approved = if ends { "approved; ending the old pairing" } else { "approved" };
        Self { approved, told: usize::from(open), trouble: None }
    }

    /// Returns the lines for what has changed since the last call.
    pub(super) fn since(&mut self, session: Option<&SessionStatus>, status: &LocalStatus) -> Vec<String> {
        let mut lines = Vec::new();
        let all = ["opening a session with the control plane", self.approved, "creating the new pairing"];
        let reached = session.map_or(self.told, |session| reached(session.stage)).max(self.told);
        lines.extend(all.iter().take(reached).skip(self.told).map(|line| (*line).to_owned()));
        self.told = reached;
        let trouble = trouble(session, status);
        if trouble.is_some() && trouble != self.trouble {
            lines.extend(trouble.clone());
        }
        self.trouble = trouble;
        lines
    }
}

/// Returns how many of the lines are true at this stage.
fn reached(stage: SessionStage) -> usize {
    match stage {
        SessionStage::Ending => 2,
        SessionStage::Pairing | SessionStage::Done => 3,
        // A failed session may have reached more. Only this is certain.
        _ => 1,
    }
}

/// Returns the problem that delays the session.
fn trouble(session: Option<&SessionStatus>, status: &LocalStatus) -> Option<String> {
    let problem = match session {
        Some(SessionStatus { stage: SessionStage::Failed, .. }) => None,
        Some(SessionStatus { stage: SessionStage::Done, .. }) | None => status
            .problem
            .as_ref()
            .filter(|problem| !["pairing", "waiting"].contains(&problem.error.as_str())),
        Some(session) => session.problem.as_ref(),
    }?;
    Some(plain(&format!("{}: {}", status.state, problem.reason)))
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::DeviceState;

    use super::super::tests::{session, status};
    use super::*;

    #[test]
    fn a_stage_that_nobody_saw_is_told_all_the_same() {
        let quiet = status(DeviceState::Entitled, None);
        let mut milestones = Milestones::new(true, false);
        let opening = milestones.since(Some(&session(SessionStage::Opening)), &quiet);
        assert_eq!(opening, ["opening a session with the control plane"]);
        assert!(milestones.since(Some(&session(SessionStage::Waiting)), &quiet).is_empty());
        let done = milestones.since(Some(&session(SessionStage::Done)), &quiet);
        assert_eq!(done, ["approved; ending the old pairing", "creating the new pairing"]);
        assert!(milestones.since(None, &quiet).is_empty());
    }

    #[test]
    fn a_session_that_is_open_is_not_opened() {
        let quiet = status(DeviceState::Entitled, None);
        assert!(Milestones::new(true, true).since(Some(&session(SessionStage::Waiting)), &quiet).is_empty());
    }

    #[test]
    fn a_failure_says_no_more_than_that_it_was_tried() {
        let failed = session(SessionStage::Failed);
        let refused = status(DeviceState::Unpaired, Some("not enrolled"));
        let told = Milestones::new(false, false).since(Some(&failed), &refused);
        assert_eq!(told, ["opening a session with the control plane"]);
    }

    #[test]
    fn trouble_is_told_when_it_changes() {
        let mut milestones = Milestones::new(false, false);
        let quiet = status(DeviceState::Pairing, None);
        let mut opening = session(SessionStage::Opening);
        milestones.since(Some(&opening), &quiet);
        opening.problem = status(DeviceState::Pairing, Some("no route")).problem;
        assert_eq!(milestones.since(Some(&opening), &quiet), ["pairing: no route"]);
        assert!(milestones.since(Some(&opening), &quiet).is_empty());
        opening.problem = None;
        assert!(milestones.since(Some(&opening), &quiet).is_empty());
    }
}
