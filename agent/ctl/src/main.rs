//! `pawlctl`: the technician's command for a device and its `pawld`.
#![forbid(unsafe_code)]

mod approval;
mod client;
mod command;
mod exit;
mod http;
mod output;
mod terminal;
mod unit;

use std::process::ExitCode;

use clap::Parser as _;
use pawlctl::cli::{self, Cli};

use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli).into(),
        Err(error) => usage(&error).into(),
    }
}

fn run(cli: Cli) -> Exit {
    let json = cli.json;
    // With --socket, the daemon is not the one of the unit.
    let is_unit = cli.socket.is_none();
    match runtime().and_then(|runtime| runtime.block_on(command::run(cli))) {
        Ok(answer) => {
            output::print(&answer.text);
            answer.exit
        }
        Err(failure) => {
            let failure = if is_unit { unit::explain(failure) } else { failure };
            output::report(&failure, json);
            failure.exit
        }
    }
}

/// One thread suffices, because the command does everything in sequence.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::internal)
}

/// Prints the error, or the output of `--help` and `--version`, which clap returns as errors.
fn usage(error: &clap::Error) -> Exit {
    // Ignores a closed pipe.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}
