//! A device: its TPM, its disk, and the process that may be killed at any time.
//! The real one is `agent/daemon`. One local step is what lies between two of its fail points.

mod disk;
mod re_pair;
mod start;
mod wipe;

use crate::control_plane::SessionNo;
use crate::fleet::DeviceId;
use crate::rules::Rules;
use crate::tpm::{Image, Record, Tpm};

pub(crate) use disk::{Disk, Making};
pub(crate) use re_pair::Talk;
use wipe::WipeStep;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub(crate) tpm: Tpm,
    pub(crate) boot: Image,
    pub(crate) disk: Disk,
    /// None: killed, or without power.
    pub(crate) process: Option<Process>,
    /// History: the last wipe that began.
    pub(crate) begun: Option<Begun>,
    /// History: the last pairing that this device kept, on the disk that it has.
    pub(crate) held: Option<SessionNo>,
    /// History: somebody on the device moved the counter on unasked.
    pub(crate) tampered: bool,
}

/// What is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) phase: Phase,
    /// Open: a workload may be served, now, with the tokens of this pairing.
    pub(crate) gate: Option<Record>,
    /// How far a session is, beside the phase.
    pub(crate) talk: Talk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Unpaired, revoked, or with a disk that is not its own.
    Idle,
    Paired(Record),
    /// What the wipe does next.
    Wiping(Record, WipeStep),
}

/// A wipe that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Begun {
    pub(crate) pairing: SessionNo,
    /// It got further than the note: not even a power cut takes it back.
    pub(crate) lasting: bool,
}

impl Device {
    pub(crate) fn unpaired() -> Self {
        Self {
            tpm: Tpm::new(),
            boot: Image::Known,
            disk: Disk::default(),
            process: Some(Process { phase: Phase::Idle, gate: None, talk: Talk::None }),
            begun: None,
            held: None,
            tampered: false,
        }
    }

    pub(crate) fn paired(record: Record) -> Self {
        Self {
            disk: Disk { record: Some(record), keys: true, ..Disk::default() },
            process: Some(Process { phase: Phase::Paired(record), gate: Some(record), talk: Talk::None }),
            held: Some(record.pairing),
            ..Self::unpaired()
        }
    }

    pub(crate) fn gate(&self) -> Option<Record> {
        self.process?.gate
    }

    pub(crate) fn talk(&self) -> Talk {
        self.process.map_or(Talk::None, |process| process.talk)
    }

    /// What the device does next by itself; none when it waits for somebody.
    pub(crate) fn step(&mut self, rules: &Rules, me: DeviceId) -> Option<()> {
        match self.process?.phase {
            Phase::Wiping(record, step) => self.wipe_step(rules, record, step),
            Phase::Idle | Phase::Paired(_) => self.talk_step(rules, me),
        }
    }

    /// Whether it is in the middle of work that nobody else sees, and that nobody else changes but by
    /// a fault of this device.
    pub(crate) fn is_busy(&self) -> bool {
        self.process.is_some_and(|process| match (process.phase, process.talk) {
            (Phase::Wiping(..), _) => true,
            (_, Talk::Resumed(_) | Talk::Kept(_) | Talk::Granted(_) | Talk::Commit(..)) => true,
            (_, Talk::None | Talk::Asked(_) | Talk::Proven(_) | Talk::Approved(_) | Talk::Keyed(..)) => false,
        })
    }

    /// A lease came, or was found on the disk, and the TPM is asked to open the vault with it.
    pub(crate) fn open_gate(&mut self, rules: &Rules, me: DeviceId) -> Option<()> {
        let record = match self.process?.phase {
            Phase::Paired(record) => record,
            Phase::Wiping(record, _) if !rules.a_wipe_is_final => record,
            Phase::Wiping(..) | Phase::Idle => return None,
        };
        let opens = self.disk.keys && self.tpm.accepts(rules, me, self.boot, &record);
        let process = self.process.as_mut()?;
        if !opens || process.gate.is_some() {
            return None;
        }
        process.gate = Some(record);
        Some(())
    }

    /// The process is gone; what it wrote is not.
    pub(crate) fn kill(&mut self) -> Option<()> {
        self.process.take().map(|_| ())
    }

    /// The process is gone, and all that did not reach the disk. A wipe that got no further than
    /// its note has not happened: the order is still at the broker, and the control plane has long
    /// stopped to serve the pairing.
    pub(crate) fn cut_power(&mut self) {
        self.process = None;
        self.disk.lose_what_is_not_synced();
        self.begun = self.begun.filter(|begun| begun.lasting);
    }
}
