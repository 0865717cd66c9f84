//! `agent/daemon/src/device/start.rs`: where the device stands, by its disk and its counter.

use super::re_pair::CommitStep;
use super::{Device, Making, Phase, Process, Talk};
use crate::control_plane::Approved;
use crate::fleet::DeviceId;
use crate::rules::Rules;
use crate::tpm::Record;

impl Device {
    /// The process starts; none when it runs.
    pub(crate) fn start(&mut self, rules: &Rules, me: DeviceId) -> Option<()> {
        if self.process.is_some() {
            return None;
        }
        let talk = self.take_up(rules, me);
        self.process = Some(Process { phase: Phase::Idle, gate: None, talk });
        if !matches!(talk, Talk::Commit(..))
            && let Some(record) = self.disk.record
        {
            self.find_phase(rules, me, record);
        }
        Some(())
    }

    /// What was in the making when the process ended goes on.
    fn take_up(&mut self, rules: &Rules, me: DeviceId) -> Talk {
        match self.disk.making {
            Making::Approved(approved) if self.is_due(rules, me, approved) => Talk::Resumed(approved),
            Making::Staged(record) => Talk::Commit(record, CommitStep::FIRST),
            Making::Approved(_) | Making::Nothing => {
                self.disk.making = Making::Nothing;
                Talk::None
            }
        }
    }

    /// This TPM asked, and no pairing was made since.
    fn is_due(&self, rules: &Rules, me: DeviceId, approved: Approved) -> bool {
        let asked = approved.device == me || !rules.a_kept_approval_names_its_tpm;
        let before = self.disk.record.filter(|record| record.tpm == me);
        asked && before.is_none_or(|record| record.epoch <= approved.above)
    }

    pub(super) fn find_phase(&mut self, rules: &Rules, me: DeviceId, record: Record) {
        let foreign = record.tpm != me && rules.a_record_names_its_tpm;
        if foreign || record.epoch > self.tpm.counter {
            return;
        }
        let note = self.disk.note.filter(|note| note.ended == record.epoch);
        let phase = if record.epoch < self.tpm.counter {
            match note {
                Some(note) if note.receipt.is_some() => {
                    self.disk.keys = false;
                    Phase::Idle
                }
                _ => Self::finish_wipe(record),
            }
        } else if note.is_some() {
            // The wipe of an earlier run, which ended before the increment.
            self.begin_wipe(rules, record);
            return;
        } else if self.disk.keys {
            Phase::Paired(record)
        } else {
            Phase::Idle
        };
        if let Some(process) = &mut self.process {
            process.phase = phase;
        }
    }
}
