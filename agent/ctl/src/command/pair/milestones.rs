//! Shows the stages that a session has reached. Each is shown once, in order, even if the session reached several between two
//! queries.

use pawl_local_api::{LocalStatus, SessionStage, SessionStatus};

use crate::output::plain;

/// The stages that were shown.
pub(super) struct Milestones {
    /// The line for the approval; it tells whether a pairing ends.
    approved: &'static str,
    shown: usize,
    trouble: Option<String>,
}

impl Milestones {
    /// `ends`: whether the approval ends a live pairing. `open`: whether the session is already open.
    pub(super) fn new(ends: bool, open: bool) -> Self {
        let approved = if ends { "approved; ending the old pairing" } else { "approved" };
        Self { approved, shown: usize::from(open), trouble: None }
    }

    /// Returns the lines for the changes since the last call.
    pub(super) fn since(&mut self, session: Option<&SessionStatus>, status: &LocalStatus) -> Vec<String> {
        let mut lines = Vec::new();
        let all = ["opening a session with the control plane", self.approved, "creating the new pairing"];
        let reached = session.map_or(self.shown, |session| reached(session.stage)).max(self.shown);
        lines.extend(all.iter().take(reached).skip(self.shown).map(|line| (*line).to_owned()));
        self.shown = reached;
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
        // A failed session may have reached later stages; only the opening is certain.
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
    fn a_stage_between_two_queries_is_shown() {
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
    fn an_open_session_is_not_shown_as_opening() {
        let quiet = status(DeviceState::Entitled, None);
        assert!(Milestones::new(true, true).since(Some(&session(SessionStage::Waiting)), &quiet).is_empty());
    }

    #[test]
    fn a_failed_session_shows_only_that_it_was_opened() {
        let failed = session(SessionStage::Failed);
        let refused = status(DeviceState::Unpaired, Some("not enrolled"));
        let told = Milestones::new(false, false).since(Some(&failed), &refused);
        assert_eq!(told, ["opening a session with the control plane"]);
    }

    #[test]
    fn a_problem_is_shown_when_it_changes() {
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
