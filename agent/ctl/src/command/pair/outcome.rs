//! How a pairing goes, from what the daemon says of itself.

use std::time::Duration;

use pawl_proto::local::{LocalStatus, Problem};
use pawl_proto::message::DeviceState;

/// A daemon that has taken a request begins within this time.
const GRACE: Duration = Duration::from_secs(3);

/// What was seen so far.
pub(super) struct Watch {
    problem_before: Option<Problem>,
    begun: bool,
}

/// How it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pending,
    Paired,
    /// Paired, but without a lease.
    Lapsed(Problem),
    Refused(Problem),
}

impl Watch {
    /// `before` is the status before the pairing was asked for: what it complains of is history.
    pub(super) fn new(before: &LocalStatus) -> Self {
        Self { problem_before: before.problem.clone(), begun: false }
    }

    /// Judges a status that is `waited` old.
    pub(super) fn judge(&mut self, status: &LocalStatus, waited: Duration) -> Outcome {
        self.begun |= status.state == DeviceState::Pairing || status.problem != self.problem_before;
        let over = self.begun || waited >= GRACE;
        match (status.state, &status.problem) {
            (DeviceState::Pairing, _) => Outcome::Pending,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: DeviceState, reason: Option<&str>) -> LocalStatus {
        LocalStatus {
            version: String::new(),
            state,
            problem: reason.map(|reason| Problem {
                error: "refused".to_owned(),
                reason: reason.to_owned(),
                remedy: String::new(),
            }),
            device: "abcdefghijklmnopqrstuvwxyz234567".parse().unwrap(),
            ek_sha256: String::new(),
            ek_kind: String::new(),
            ek_certificates: 0,
            counter: None,
            pairing: None,
            verdict: None,
            lease: None,
            tokens: Vec::new(),
            broker: Default::default(),
            receipt_waiting: false,
            refused: Default::default(),
        }
    }

    const SOON: Duration = Duration::from_millis(10);

    #[test]
    fn a_pairing_goes_well() {
        let mut watch = Watch::new(&status(DeviceState::Unpaired, None));
        assert_eq!(watch.judge(&status(DeviceState::Unpaired, None), SOON), Outcome::Pending);
        assert_eq!(watch.judge(&status(DeviceState::Pairing, None), SOON), Outcome::Pending);
        assert_eq!(watch.judge(&status(DeviceState::Lapsed, None), SOON), Outcome::Pending);
        let mut unjudged = status(DeviceState::Lapsed, Some("no verdict yet"));
        unjudged.problem.as_mut().unwrap().error = "waiting".to_owned();
        assert_eq!(watch.judge(&unjudged, GRACE), Outcome::Pending);
        assert_eq!(watch.judge(&status(DeviceState::Entitled, None), SOON), Outcome::Paired);
    }

    #[test]
    fn the_end_of_the_last_pairing_is_no_refusal_of_this_one() {
        let revoked = status(DeviceState::Revoked, Some("revoked: stolen"));
        let mut watch = Watch::new(&revoked);
        assert_eq!(watch.judge(&revoked, SOON), Outcome::Pending);
        assert_eq!(watch.judge(&status(DeviceState::Pairing, None), SOON), Outcome::Pending);
        assert!(matches!(
            watch.judge(&status(DeviceState::Revoked, Some("not enrolled")), SOON),
            Outcome::Refused(_)
        ));
    }

    #[test]
    fn the_same_refusal_again_is_one() {
        let refused = status(DeviceState::Unpaired, Some("not enrolled"));
        let mut watch = Watch::new(&refused);
        assert_eq!(watch.judge(&refused, SOON), Outcome::Pending);
        assert!(matches!(watch.judge(&refused, GRACE), Outcome::Refused(_)));
    }

    #[test]
    fn a_pairing_without_a_lease_is_none_to_work_with() {
        let mut watch = Watch::new(&status(DeviceState::Unpaired, None));
        assert_eq!(watch.judge(&status(DeviceState::Pairing, Some("no network")), SOON), Outcome::Pending);
        assert!(matches!(
            watch.judge(&status(DeviceState::Lapsed, Some("contraindicated")), SOON),
            Outcome::Lapsed(_)
        ));
    }
}
