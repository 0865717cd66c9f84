//! The chapters in their order. They reuse a boot for as many steps as possible.

mod ahead;
mod command_lines;
mod drift;
mod first_boot;
mod late_tpm;
mod pairing;
mod policy;
mod power_cut;
mod revocation;
mod second_certificate;
mod secure_boot;
mod soft_reboot;
mod stage;
mod update;

use std::thread::{self, ScopedJoinHandle};

use anyhow::{Result, anyhow};
use pawl_e2e::Rig;

use crate::Arguments;
use crate::image::System;
use crate::report::StoryReport;
use stage::{Stage, TERMS};

/// Runs all steps, to the end or to the first one that fails. Meanwhile a second device has its power cut in another thread, as
/// each machine uses only one processor of the host.
pub(crate) fn tell(report: &mut StoryReport, arguments: &Arguments) -> Result<()> {
    let (rig, system) =
        report.step("prepared", "a system with the package and a control plane are built", |facts| {
            facts.add("package", arguments.package.display().to_string());
            let system = System::prepare(
                arguments.architecture,
                arguments.release,
                &arguments.package,
                &arguments.out,
            )?;
            Ok((Rig::start(&TERMS)?, system))
        })?;
    let mut part = report.part();
    let (first, second) = thread::scope(|scope| {
        let second = (!arguments.short && arguments.cuts > 0).then(|| {
            let (rig, system, part) = (&rig, &system, &mut part);
            scope.spawn(move || second(part, Stage::set(rig, system, "second", arguments)?, arguments))
        });
        let first =
            Stage::set(&rig, &system, "first", arguments).and_then(|stage| first(report, stage, arguments));
        (first, second.map_or(Ok(Ok(())), ScopedJoinHandle::join))
    });
    report.join(part);
    first?;
    second.map_err(|_| anyhow!("the second device's story panicked"))?
}

fn first(report: &mut StoryReport, mut stage: Stage<'_>, arguments: &Arguments) -> Result<()> {
    chapters(report, &mut stage, arguments).inspect_err(|error| stage.explain(error))
}

fn second(report: &mut StoryReport, mut stage: Stage<'_>, arguments: &Arguments) -> Result<()> {
    let told = power_cut::tell(report, &mut stage, arguments.cuts, arguments.seed);
    told.inspect_err(|error| stage.explain(error))
}

fn chapters(report: &mut StoryReport, stage: &mut Stage<'_>, arguments: &Arguments) -> Result<()> {
    first_boot::tell(report, stage)?;
    pairing::tell(report, stage)?;
    policy::tell(report, stage)?;
    if stage.system.release().logs_userspace() {
        soft_reboot::tell(report, stage)?;
    }
    if !arguments.short {
        late_tpm::tell(report, stage)?;
    }
    if arguments.short {
        drift::tell(report, stage, &stage.system.command_line("selinux=0"))?;
        drift::tell_put_back(report, stage)?;
    } else {
        drift::tell(report, stage, &stage.system.command_line_with_console(command_lines::OPEN_QUOTE))?;
        command_lines::tell(report, stage)?;
        update::tell(report, stage)?;
        second_certificate::tell(report, stage)?;
    }
    revocation::tell(report, stage)?;
    report.step("shut-down", "the machine is shut down", |_| stage.machine.shut_down())?;
    if !arguments.short {
        secure_boot::tell(report, stage)?;
    }
    Ok(())
}
