//! Tests Pawl on machines that measure their boot. The tests run on the host.
//!
//! `main` wires. The tests are in `story`, a file for each chapter. `image`, `machine` and `guest` build, run and control the
//! machines.
#![forbid(unsafe_code)]

mod architecture;
mod chance;
mod guest;
mod image;
mod machine;
mod release;
mod report;
mod story;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use pawl_e2e::rig::{invocation, wait};

use architecture::Architecture;
use release::Release;
use report::StoryReport;

/// Boots Debian with the package in QEMU, and tests a device's life: pairing, drift, updates, revocation, power cuts.
#[derive(Parser)]
#[command(name = "pawl-vm", version)]
struct Arguments {
    /// Architecture of the machine.
    architecture: Architecture,
    /// Debian release to boot.
    #[arg(long, default_value = "bookworm")]
    release: Release,
    /// Debian package for the machine's architecture.
    #[arg(long)]
    package: PathBuf,
    /// Directory in which to create a folder for the machines' files and the report.
    #[arg(long)]
    out: PathBuf,
    /// Test only pairing, posture, drift and revocation.
    #[arg(long)]
    short: bool,
    /// Number of power cuts during wipes, and the same number during pairings; 0 omits the second device.
    #[arg(long, default_value_t = 2)]
    cuts: u32,
    /// Seed for the moments of the power cuts: the same seed cuts at the same moments.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Returns the name of the folder for the machines' files.
    fn name(&self) -> String {
        let machine = self.architecture.name();
        match self.release {
            Release::Bookworm => machine.to_owned(),
            release => format!("{machine}-{}", release.name()),
        }
    }
}

fn main() -> ExitCode {
    let mut arguments: Arguments = match invocation::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let name = arguments.name();
    arguments.out.push(name);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pawl-vm: {error:#}");
            invocation::exit_code(&error)
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    wait::end_on_signals()?;
    let (machine, release) = (arguments.architecture.name(), arguments.release.name());
    let mut report = StoryReport::new(format!("Pawl on {machine} with Debian {release}"), arguments.json);
    fs::create_dir_all(&arguments.out).with_context(|| format!("make {}", arguments.out.display()))?;
    let told = story::tell(&mut report, arguments);
    report.write(&arguments.out)?;
    told
}
