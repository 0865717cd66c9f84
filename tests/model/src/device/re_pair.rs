//! `agent/daemon/src/pairing`: a session as the device sees it, from the request to the commit.

use super::{Device, Making, Phase};
use crate::control_plane::{Approved, SessionNo};
use crate::fleet::DeviceId;
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
    /// An approved session was found on the disk.
    Resumed(Approved),
    /// `re-pair.kept`: the answer is on the disk. The old pairing is wiped, the counter moved above
    /// it (`re-pair.wiped`), and keys are made.
    Kept(Approved),
    /// `pair.keys-created`, `pair.activated`: the proof is to be sent.
    Keyed(Approved, Epoch),
    /// `pair.granted`
    Granted(Record),
    /// `pair.staged`: the new pairing takes the place of the old one.
    Commit(Record, CommitStep),
}

/// What `Store::commit` does next. Cut short before the rename, all of it is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CommitStep {
    RemoveOld,
    DropNote,
    Rename,
}

impl CommitStep {
    pub(super) const FIRST: Self = Self::RemoveOld;

    fn next(self, rules: &Rules) -> Option<Self> {
        let note_first = rules.the_note_goes_before_the_new_record;
        match self {
            Self::RemoveOld if note_first => Some(Self::DropNote),
            Self::RemoveOld => Some(Self::Rename),
            Self::DropNote => note_first.then_some(Self::Rename),
            Self::Rename => (!note_first).then_some(Self::DropNote),
        }
    }
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
        self.disk.making = Making::Nothing;
        self.set_talk(Talk::None)
    }

    pub(super) fn talk_step(&mut self, rules: &Rules, me: DeviceId) -> Option<()> {
        let process = self.process?;
        match (process.talk, process.phase) {
            (Talk::None | Talk::Asked(_) | Talk::Proven(_) | Talk::Keyed(..), _) => None,
            (Talk::Approved(approved), _) => {
                self.disk.making = Making::Approved(approved);
                self.set_talk(Talk::Kept(approved))
            }
            (Talk::Resumed(_) | Talk::Kept(_), Phase::Paired(record)) => self.begin_wipe(rules, record),
            (Talk::Resumed(approved), _) => {
                if rules.a_resumed_session_moves_on {
                    self.tpm.increment();
                }
                self.set_talk(Talk::Kept(approved))
            }
            (Talk::Kept(approved), _) => self.make_keys(rules, approved),
            (Talk::Granted(record), _) => {
                self.disk.making = Making::Staged(record);
                self.held = Some(record.pairing);
                self.set_talk(Talk::Commit(record, CommitStep::FIRST))
            }
            (Talk::Commit(record, step), _) => self.commit_step(rules, me, record, step),
        }
    }

    /// In an epoch above the old pairing's, one increment at a time.
    fn make_keys(&mut self, rules: &Rules, approved: Approved) -> Option<()> {
        if rules.the_device_climbs && self.tpm.counter <= approved.above {
            self.tpm.increment();
            return Some(());
        }
        let epoch = self.tpm.create_keys(approved.session);
        self.set_talk(Talk::Keyed(approved, epoch))
    }

    fn commit_step(&mut self, rules: &Rules, me: DeviceId, record: Record, step: CommitStep) -> Option<()> {
        match step {
            CommitStep::RemoveOld => (self.disk.record, self.disk.keys) = (None, false),
            CommitStep::DropNote => self.disk.note = None,
            CommitStep::Rename => {
                (self.disk.record, self.disk.keys) = (Some(record), true);
                self.disk.making = Making::Nothing;
            }
        }
        let Some(next) = step.next(rules) else {
            self.begun = self.begun.filter(|begun| begun.pairing == record.pairing);
            self.set_talk(Talk::None)?;
            self.find_phase(rules, me, record);
            return Some(());
        };
        self.set_talk(Talk::Commit(record, next))
    }
}
