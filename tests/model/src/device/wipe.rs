//! `agent/daemon/src/wipe.rs`

use super::disk::{Note, Receipt};
use super::{Begun, Device, Phase};
use crate::broker::Event;
use crate::fleet::DeviceId;
use crate::rules::Rules;
use crate::tpm::Record;

/// A step of a wipe. Closing the gate and the note of it are where it begins, and one step: a
/// process that is killed between the two has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WipeStep {
    /// `TPM2_NV_Increment`, the point of no return.
    Increment,
    /// The note is written again, to last.
    Record,
    /// Keys, vault and lease are unlinked.
    Unlink,
    /// Holders are told; the receipt is made and kept. A power cut between the two repeats both.
    Receipt,
}

impl WipeStep {
    fn first(rules: &Rules) -> Self {
        if rules.the_increment_comes_before_the_unlink { Self::Increment } else { Self::Record }
    }

    fn next(self, rules: &Rules) -> Option<Self> {
        let increment_first = rules.the_increment_comes_before_the_unlink;
        match self {
            Self::Increment if increment_first => Some(Self::Record),
            Self::Record => Some(Self::Unlink),
            Self::Unlink if !increment_first => Some(Self::Increment),
            Self::Unlink | Self::Increment => Some(Self::Receipt),
            Self::Receipt => None,
        }
    }
}

impl Device {
    /// An event arrives.
    pub(crate) fn receive(&mut self, rules: &Rules, me: DeviceId, event: Event) -> Option<()> {
        let Phase::Paired(record) = self.process?.phase else { return None };
        let other_device = event.device != me && rules.an_event_names_its_device;
        let other_epoch = event.epoch != record.epoch && rules.an_event_names_its_epoch;
        if other_device || other_epoch {
            return None;
        }
        self.begin_wipe(rules, record)
    }

    /// Closes the gate, and leaves word for the next process.
    pub(super) fn begin_wipe(&mut self, rules: &Rules, record: Record) -> Option<()> {
        let process = self.process.as_mut()?;
        process.phase = Phase::Wiping(record, WipeStep::first(rules));
        if rules.the_gate_closes_first {
            process.gate = None;
        }
        if rules.a_wipe_is_noted_first {
            let early = Receipt { tpm: record.tpm, counter: record.epoch.next() };
            let receipt = (!rules.a_receipt_certifies_the_counter).then_some(early);
            self.disk.note = Some(Note { synced: false, receipt, ..Note::lasting(&record) });
        }
        self.begun = Some(Begun { pairing: record.pairing, lasting: false });
        Some(())
    }

    /// Finishes a wipe whose epoch is found to be over.
    pub(super) fn finish_wipe(record: Record) -> Phase {
        Phase::Wiping(record, WipeStep::Record)
    }

    pub(super) fn wipe_step(&mut self, rules: &Rules, record: Record, step: WipeStep) -> Option<()> {
        let process = self.process.as_mut()?;
        process.phase = match step.next(rules) {
            Some(next) => Phase::Wiping(record, next),
            None => Phase::Idle,
        };
        match step {
            WipeStep::Increment => self.tpm.increment(),
            WipeStep::Record => {
                self.disk.note = Some(Note::lasting(&record));
            }
            WipeStep::Unlink => self.disk.keys = false,
            WipeStep::Receipt => {
                process.gate = None;
                let receipt = Some(Receipt { tpm: record.tpm, counter: self.tpm.counter });
                self.disk.note = Some(Note { receipt, ..Note::lasting(&record) });
            }
        }
        if let Some(begun) = &mut self.begun {
            begun.lasting = true;
        }
        Some(())
    }
}
