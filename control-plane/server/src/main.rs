//! `pawl-control-plane`: see `--help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pawl_control_plane::cli::main()
}
