//! Sessions, from the offer to the approval.

use super::{By, ControlPlane, PairingState, SessionNo};
use crate::bounds::Policy;
use crate::fleet::DeviceId;
use crate::people::Approval;
use crate::rules::Rules;
use crate::tpm::{Epoch, Image};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) device: DeviceId,
    /// It takes the place of the other device.
    pub(crate) replaces: bool,
    /// What the evidence showed.
    pub(crate) boot: Image,
    pub(crate) waiver: Waiver,
    pub(crate) needed: u8,
    pub(crate) stage: Stage,
    /// The approvals that count.
    pub(crate) counted: Vec<Approval>,
    /// Those that were given elsewhere, and wait for their confirmation at the device.
    pub(crate) unconfirmed: Vec<Approval>,
    /// History: the pairings that came of it.
    pub(crate) grants: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Claimed by somebody; nothing is proven.
    Offered,
    /// Proven by its TPM; persons have yet to approve.
    Waiting,
    /// The old pairing is over, the new one must live above this epoch.
    Approved { above: Epoch },
    /// The pairing was granted.
    Spent,
    /// Expired, given up or replaced.
    Over,
}

/// Why a session may need fewer persons than a re-pair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Waiver {
    None,
    /// The device never had a pairing, and takes nobody's place.
    FirstPairing,
    /// A `repair` event ended the last pairing: this is who caused it.
    Repair(By),
}

/// The control plane's answer to an approved session, as the device keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Approved {
    pub(crate) session: SessionNo,
    /// Whose session it is, as the statement says.
    pub(crate) device: DeviceId,
    pub(crate) above: Epoch,
}

impl ControlPlane {
    /// `POST /v1/pairings`
    pub(crate) fn offer(&mut self, device: DeviceId, replaces: bool) -> Option<SessionNo> {
        let number = SessionNo(u8::try_from(self.sessions.len()).ok()?);
        self.sessions.push(Session::new(device, replaces));
        Some(number)
    }

    /// `POST /v1/pairings/{id}/session`: the TPM has shown that the session is its own.
    pub(crate) fn open(
        &mut self,
        rules: &Rules,
        policy: &Policy,
        number: SessionNo,
        boot: Image,
    ) -> Option<()> {
        let session = self.session(number).filter(|session| session.stage == Stage::Offered)?;
        let (device, replaces) = (session.device, session.replaces);
        if rules.a_newer_session_replaces_the_older {
            self.close_sessions_of(device, number);
        }
        let waiver = self.waiver(rules, device, replaces);
        let needed = match waiver {
            Waiver::None => policy.re_pair,
            Waiver::FirstPairing => policy.pair,
            Waiver::Repair(_) => policy.after_repair,
        };
        let session = self.session_mut(number)?;
        *session = Session { boot, waiver, needed, stage: Stage::Waiting, ..session.clone() };
        if needed == 0 { self.approve(rules, number) } else { Some(()) }
    }

    /// `POST /v1/pairings/{id}/approval` with an approval that was given at the device. None: it
    /// does not count here.
    pub(crate) fn count(&mut self, rules: &Rules, number: SessionNo, approval: Approval) -> Option<()> {
        let session = self.session_mut(number).filter(|session| session.stage == Stage::Waiting)?;
        let foreign = approval.session != number;
        let again = session.counted.iter().any(|counted| counted.person == approval.person);
        if (foreign && rules.an_approval_names_its_session)
            || (again && rules.approvals_are_of_different_persons)
        {
            return None;
        }
        session.counted.push(approval);
        if session.counted.len() < usize::from(session.needed) {
            return Some(());
        }
        self.approve(rules, number)
    }

    /// `approve --code`: given elsewhere, by somebody who was shown this session's request.
    pub(crate) fn approve_elsewhere(&mut self, rules: &Rules, approval: Approval) -> Option<()> {
        if !rules.an_approval_from_elsewhere_is_confirmed {
            return self.count(rules, approval.session, approval);
        }
        let session = self.session_mut(approval.session).filter(|session| session.stage == Stage::Waiting)?;
        let known = session.unconfirmed.iter().chain(&session.counted);
        if known.into_iter().any(|known| known.person == approval.person) {
            return None;
        }
        session.unconfirmed.push(approval);
        Some(())
    }

    /// `POST /v1/pairings/{id}/approval` with the confirmation that a person, who stands at this
    /// device, was shown for what they approved.
    pub(crate) fn confirm(&mut self, rules: &Rules, number: SessionNo, at: DeviceId) -> Option<()> {
        let session = self.session_mut(number)?;
        let place = session.unconfirmed.iter().position(|approval| approval.at == at)?;
        let approval = session.unconfirmed.remove(place);
        self.count(rules, number, approval)
    }

    /// The time of an unspent session is over.
    pub(crate) fn expire(&mut self, number: SessionNo) -> Option<()> {
        let session = self.session_mut(number)?;
        session.close().then_some(())
    }

    /// The last approval: in one transaction the old pairing ends and the new one may be made.
    fn approve(&mut self, rules: &Rules, number: SessionNo) -> Option<()> {
        let session = self.session(number)?;
        let (device, replaces) = (session.device, session.replaces);
        let epochs = self.pairings_of(device).map(|pairing| pairing.keys.epoch);
        let above = epochs.max().unwrap_or(Epoch::NONE);
        if rules.an_approval_ends_the_old_pairing {
            self.end_live(device, By::Approval);
        }
        if replaces {
            self.end_live(device.other(), By::Approval);
        }
        let session = self.session_mut(number)?;
        session.stage = Stage::Approved { above };
        session.unconfirmed.clear();
        Some(())
    }

    fn waiver(&self, rules: &Rules, device: DeviceId, replaces: bool) -> Waiver {
        if replaces {
            return Waiver::None;
        }
        match self.pairings_of(device).next_back().map(|newest| newest.state) {
            None => Waiver::FirstPairing,
            Some(PairingState::Ended(by))
                if by == By::Repair || by == By::Approval && !rules.only_the_operator_waives_an_approval =>
            {
                Waiver::Repair(by)
            }
            Some(PairingState::Live | PairingState::Ended(_)) => Waiver::None,
        }
    }

    fn close_sessions_of(&mut self, device: DeviceId, but: SessionNo) {
        for (number, session) in (0..).map(SessionNo).zip(&mut self.sessions) {
            if session.device == device && number != but && session.stage != Stage::Offered {
                session.close();
            }
        }
    }

    pub(super) fn session_mut(&mut self, number: SessionNo) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(number.0))
    }
}

impl Session {
    pub(super) fn new(device: DeviceId, replaces: bool) -> Self {
        Self {
            device,
            replaces,
            boot: Image::Known,
            waiver: Waiver::None,
            needed: 0,
            stage: Stage::Offered,
            counted: Vec::new(),
            unconfirmed: Vec::new(),
            grants: 0,
        }
    }

    /// Whether it was still open.
    fn close(&mut self) -> bool {
        let open = matches!(self.stage, Stage::Offered | Stage::Waiting | Stage::Approved { .. });
        if open {
            self.stage = Stage::Over;
            self.unconfirmed.clear();
        }
        open
    }
}
