//! Pawl measured beside its limits, on real parts: swtpm, mosquitto, a control plane, pawld.
//!
//! | measure | limit | what is taken |
//! | --- | --- | --- |
//! | report over its floor | 1.5 | from the publishing of a `refresh` to the report's arrival at a client of the same broker, over a raw `TPM2_Quote` and the two broker hops |
//! | report without the hops, over a raw quote | 1.5 | the same, with the hops taken off: the stricter reading |
//! | revocation over its floor | 1.5 | from the publishing of a `revoke` to the answer to `TPM2_NV_Increment` on the TPM's bus, over a raw `TPM2_NV_Increment` and one broker hop |
//! | size of the daemon | 6 MB | the file, as released |
//! | resident memory | 8 MB | `VmRSS`, idle; with `Pss` and the parts of it |
//! | voluntary context switches | 5 | all threads, 60 idle seconds |
//! | written to the disk for a steady report | 8 KiB | `write_bytes` of `/proc/PID/io`, from a report's order until its verdict is kept, median and mean |
//! | warm start | 50 ms | from the start of the process to `READY=1`, paired, median |
//! | a steady report | below 1 KiB | the MQTT payload; the first one is printed, too |
//!
//! A *broker hop* is measured on the client's own connection: from the publishing of a message
//! (QoS 1, the size of the real one) to its arrival at a subscription of the same client. The
//! raw commands are the daemon's own, byte for byte, recorded on the bus of another device of
//! the same make and sent again without TSS, queue or thread: same keys, same PCRs. Figures that
//! are divided by each other are taken in turns, in one run, and are medians.
//!
//! On a machine with other work, `chrt -r 20 ./dev bench` (as root) keeps that work out of the
//! figures: a report wakes five threads of four processes, and waits for a processor each time.
//! Where the floors themselves were kept waiting, the ratio is printed without a verdict.
//!
//! A missed limit is printed and is no failure: this program says what is, tests say what
//! must be.
#![forbid(unsafe_code)]

mod amount;
mod broker;
mod disk;
mod idle;
mod measure;
mod orders;
mod process;
mod report;
mod revocation;
mod run;
mod samples;
mod sizes;
mod start;
mod subject;
mod tap;

use std::process::ExitCode;

use clap::Parser;
use pawl_e2e::rig::{invocation, wait};

use measure::Table;

/// Measures the daemon on this machine, beside the limits that are promised.
#[derive(Parser)]
#[command(name = "pawl-bench", version)]
struct Arguments {
    /// One JSON object a line: measure, figure, unit, aim, met, and what it was made of.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments: Arguments = match invocation::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let table = Table::begin(arguments.json);
    match wait::end_on_signals().and_then(|()| run::run(&table)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pawl-bench: {error:#}");
            invocation::exit_code(&error)
        }
    }
}
