//! Pawl on machines that measure their boot, told from outside.
//!
//! `main` wires. The story is in `story`, a file for each chapter; what it is played on is in `image`, `machine`
//! and `guest`.
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

/// Boots a Debian with the package in QEMU, and tells its story: pairing, drift, updates, revocation, power cuts.
#[derive(Parser)]
#[command(name = "pawl-vm", version)]
struct Arguments {
    /// The machine.
    architecture: Architecture,
    /// The release of Debian that it boots.
    #[arg(long, default_value = "bookworm")]
    release: Release,
    /// The Debian package, for that machine.
    #[arg(long)]
    package: PathBuf,
    /// Where the machine's files and the report go: in a folder of their own.
    #[arg(long)]
    out: PathBuf,
    /// Pairing, posture, drift and revocation alone.
    #[arg(long)]
    short: bool,
    /// How often the power is cut in a wipe, and as often in a pairing; with 0 there is no second device.
    #[arg(long, default_value_t = 2)]
    cuts: u32,
    /// Seed for the moments of the power cuts: the same seed cuts at the same moments.
    #[arg(long)]
    seed: Option<u64>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The name of the machine's folder.
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
