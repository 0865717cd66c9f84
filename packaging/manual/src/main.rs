//! `pawl-manual DIRECTORY`: writes the man pages and shell completions of all programs.
//!
//! They are made of the command lines when a package is built, never on the device. What a command
//! line does not say, such as files and signals, stands in `packaging/man`.
#![forbid(unsafe_code)]

mod completion;
mod page;
mod program;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: pawl-manual DIRECTORY");
        return ExitCode::from(64);
    };
    match write(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pawl-manual: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

/// A folder for each program: `man` and `completions` in it.
fn write(directory: &Path) -> io::Result<()> {
    for program in program::all() {
        let directory = directory.join(program.name);
        page::write(&program, &directory.join("man"))?;
        completion::write(&program, &directory.join("completions"))?;
    }
    Ok(())
}
