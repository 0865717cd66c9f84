//! `pawld`: the daemon of a Pawl device.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pawld::main()
}
