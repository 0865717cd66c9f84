//! A core with models of its TPM, its control plane and its disk.

use pawl_local_api::{PairRequest, SessionStage};

use super::peers::{Disk, Plane, silence};
use super::soft_tpm::SoftTpm;
use super::*;

/// A core with its peers.
pub(super) struct Device {
    pub(super) rig: Rig,
    pub(super) tpm: SoftTpm,
    pub(super) plane: Plane,
    pub(super) disk: Disk,
    pub(super) logs: GatheredLogs,
    /// The logs that were read last.
    pub(super) range: Option<LogRange>,
    /// The effects that were executed, by their first words.
    pub(super) done: Vec<String>,
}

impl Device {
    /// Returns a device that was never paired.
    pub(super) fn unpaired() -> Self {
        Self::start(SoftTpm::new(None), Disk::new(None), 0)
    }

    /// Returns a paired device with a valid lease. A report that it began gets no answer.
    pub(super) fn entitled() -> Self {
        Self::paired(Rig::entitled(100_000))
    }

    /// Returns the paired device of this rig.
    pub(super) fn paired(rig: Rig) -> Self {
        let (tpm, disk) = (SoftTpm::new(Some(EPOCH)), Disk::new(Some(rig.record.clone())));
        let plane = Plane::new(rig.key.clone(), EPOCH);
        Self { rig, tpm, plane, disk, logs: peers::no_logs(), range: None, done: Vec::new() }
    }

    pub(super) fn start(tpm: SoftTpm, disk: Disk, above: u64) -> Self {
        let mut rig = Rig::new();
        rig.find(disk.found(&tpm));
        let plane = Plane::new(rig.key.clone(), above);
        Self { rig, tpm, plane, disk, logs: peers::no_logs(), range: None, done: Vec::new() }
    }

    /// Kills the process, and starts another one on the same disk, TPM and control plane.
    pub(super) fn restart(&mut self) {
        self.rig.core = Rig::new().core;
        self.rig.effects.clear();
        self.rig.find(self.disk.found(&self.tpm));
    }

    pub(super) fn pair(&mut self) {
        let request = PairRequest { again: true, reason: Text::lossy("moved"), ..PairRequest::default() };
        self.rig.feed(Input::Request(RequestId(1), Request::Pair(request)));
        assert!(matches!(self.rig.take_reply(), Some(Reply::Done)));
    }

    /// Takes the next effect that has a result.
    pub(super) fn next(&mut self) -> Option<Effect> {
        let index = self.rig.position(|effect| {
            matches!(
                effect,
                Effect::Tpm(..)
                    | Effect::Write(..)
                    | Effect::Call(..)
                    | Effect::Gather(..)
                    | Effect::Examine(_)
            )
        })?;
        Some(self.rig.effects.remove(index))
    }

    /// Executes an effect, and feeds its result.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        let result = self.perform(effect);
        self.rig.feed(result);
    }

    /// Executes an effect, and returns its result.
    pub(super) fn perform(&mut self, effect: Effect) -> Input {
        self.done.push(name(&effect));
        match effect {
            Effect::Tpm(ticket, command) => Input::Tpm(ticket, Ok(self.tpm.answer(&command))),
            Effect::Write(ticket, write) => Input::Written(ticket, self.disk.write(&write)),
            Effect::Call(ticket, call) => Input::Called(ticket, self.plane.answer(&call)),
            Effect::Gather(ticket, gather) => {
                if let Gather::Logs(range) = gather {
                    self.range = Some(range);
                }
                Input::Gathered(ticket, Ok(peers::gathered(gather, &self.logs)))
            }
            Effect::Examine(ticket) => Input::Found(ticket, Box::new(self.disk.found(&self.tpm))),
            other => panic!("{other:?}"),
        }
    }

    /// Executes effects until `stop` selects one, and returns that one. Returns none if no effect is left.
    pub(super) fn run_until(&mut self, stop: impl Fn(&Effect) -> bool) -> Option<Effect> {
        for _ in 0..200 {
            let effect = self.next()?;
            if stop(&effect) {
                return Some(effect);
            }
            self.carry_out(effect);
        }
        panic!("no end: {:?}", self.done);
    }

    pub(super) fn run(&mut self) {
        self.run_until(|_| false);
    }

    /// Fails an effect with a transient error.
    pub(super) fn fail(&mut self, effect: &Effect) {
        match effect {
            Effect::Tpm(ticket, _) => self.rig.fail(*ticket, TpmFailureKind::Transient),
            Effect::Write(ticket, _) => {
                self.rig.feed(Input::Written(*ticket, Err("no space left".to_owned())));
            }
            Effect::Call(ticket, _) => self.rig.feed(Input::Called(*ticket, Err(silence()))),
            Effect::Gather(ticket, _) => self.rig.feed(Input::Gathered(*ticket, Err("stopping".to_owned()))),
            Effect::Examine(ticket) => {
                let failure = TpmFailure {
                    kind: TpmFailureKind::Transient,
                    text: "busy".to_owned(),
                    remedy: String::new(),
                };
                self.rig.feed(Input::NotFound(*ticket, failure));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Fails the call if `is` selects it, and executes it otherwise.
    pub(super) fn fail_if(&mut self, effect: &Effect, is: impl Fn(&Call) -> bool) {
        match effect {
            Effect::Call(ticket, call) if !is(call) => {
                let answer = self.plane.answer(call);
                self.rig.feed(Input::Called(*ticket, answer));
            }
            other => self.fail(other),
        }
    }

    pub(super) fn stage(&self) -> SessionStage {
        self.rig.core.session().unwrap().stage
    }

    /// Returns the code of the session's problem.
    pub(super) fn session_problem(&self) -> String {
        self.rig.core.session().unwrap().problem.map(|problem| problem.error).unwrap_or_default()
    }

    pub(super) fn assert_paired(&self, epoch: u64) {
        assert_eq!(self.rig.core.status().record.map(|record| record.epoch), Some(Epoch(epoch)));
        assert_eq!(self.rig.problem(), "waiting");
        assert_eq!(self.tpm.counter, Some(epoch));
        assert!(self.disk.approved.is_none(), "the approval was not removed");
    }
}

/// Returns the first word of an effect.
pub(super) fn name(effect: &Effect) -> String {
    let text = match effect {
        Effect::Tpm(_, command) => format!("{command:?}"),
        Effect::Write(_, write) => format!("{write:?}"),
        Effect::Call(_, call) => format!("{call:?}"),
        Effect::Gather(_, gather) => format!("{gather:?}"),
        other => format!("{other:?}"),
    };
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

pub(super) fn is_call(effect: &Effect, is: impl Fn(&Call) -> bool) -> bool {
    matches!(effect, Effect::Call(_, call) if is(call))
}

pub(super) fn is_write(effect: &Effect, is: impl Fn(&Write) -> bool) -> bool {
    matches!(effect, Effect::Write(_, write) if is(write))
}
