//! `agent/daemon/src/pairing`: a session as the device sees it, from the request to the commit.

use super::{Device, Phase};
use crate::control_plane::{Approved, SessionNo};
use crate::rules::Rules;
use crate::tpm::{Epoch, Record};

/// How far a session is. Whatever stands here is gone with the process; what an approved one needs
/// to go on stands on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Talk {
    None,
    /// The offer is here.
    Asked(SessionNo),
    /// `re-pair.proven`: the control plane waits for persons.
    Proven(SessionNo),
    /// `re-pair.approved`: the answer is in memory.
    Approved(Approved),
    /// `re-pair.kept`: the answer is on the disk. The old pairing is wiped, the counter moved above
    /// it (`re-pair.wiped`), and keys are made.
    Kept(Approved),
    /// `pair.keys-created`, `pair.activated`: the proof is to be sent.
    Keyed(Approved, Epoch),
    /// `pair.granted`
    Granted(Record),
    /// `pair.staged`, and then the old folder is gone.
    Staged(Record),
    /// `pair.committed`; a note of the old pairing's end may still be there.
    Committed(Record),
}

impl Device {
    /// Somebody at the device asks for a pairing; or the device itself, after a `repair`.
    pub(crate) fn asked(&mut self, rules: &Rules, session: SessionNo) -> Option<()> {
        self.set_talk(Talk::Asked(session))?;
        match self.process?.phase {
            Phase::Paired(record) if !rules.the_wipe_waits_for_the_approval => self.begin_wipe(rules, record),
            Phase::Paired(_) | Phase::Idle | Phase::Wiping(..) => Some(()),
        }
    }

    /// Whether a new session may begin: one that is approved goes on instead.
    pub(crate) fn may_ask(&self) -> bool {
        self.process.is_some() && matches!(self.talk(), Talk::None | Talk::Asked(_) | Talk::Proven(_))
    }

    pub(crate) fn set_talk(&mut self, talk: Talk) -> Option<()> {
        self.process.as_mut()?.talk = talk;
        Some(())
    }

    /// The session has failed: a new one is needed.
    pub(crate) fn give_up(&mut self) -> Option<()> {
        self.disk.new = None;
        self.set_talk(Talk::None)
    }

    pub(super) fn talk_step(&mut self, rules: &Rules) -> Option<()> {
        let process = self.process?;
        match process.talk {
            Talk::None | Talk::Asked(_) | Talk::Proven(_) | Talk::Keyed(..) => None,
            Talk::Approved(approved) => {
                self.disk.new = Some(approved);
                self.set_talk(Talk::Kept(approved))
            }
            Talk::Kept(approved) => match process.phase {
                Phase::Paired(record) => self.begin_wipe(rules, record),
                Phase::Idle | Phase::Wiping(..) => self.make_keys(rules, approved),
            },
            Talk::Granted(record) => {
                self.disk.record = None;
                self.disk.keys = false;
                self.set_talk(Talk::Staged(record))
            }
            Talk::Staged(record) => {
                self.disk.record = Some(record);
                self.disk.keys = true;
                self.disk.new = None;
                self.set_talk(Talk::Committed(record))
            }
            Talk::Committed(record) => {
                self.disk.note = None;
                self.begun = None;
                let process = self.process.as_mut()?;
                (process.phase, process.gate, process.talk) = (Phase::Paired(record), None, Talk::None);
                Some(())
            }
        }
    }

    /// In an epoch above the old pairing's, one increment at a time.
    fn make_keys(&mut self, rules: &Rules, approved: Approved) -> Option<()> {
        if rules.the_device_climbs && self.tpm.counter <= approved.above {
            self.tpm.increment();
            return Some(());
        }
        self.set_talk(Talk::Keyed(approved, self.tpm.counter))
    }
}
