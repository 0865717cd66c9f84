//! `pawl-manual DIRECTORY`: writes the man pages and shell completions of all programs.
//!
//! It generates them from the definitions of the command lines when a package is built, never on the device. Other sections,
//! such as files and signals, are in `packaging/man`.
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

/// Writes a folder for each program, with the folders `man` and `completions` in it.
fn write(directory: &Path) -> io::Result<()> {
    for program in program::all() {
        let directory = directory.join(program.name);
        page::write(&program, &directory.join("man"))?;
        completion::write(&program, &directory.join("completions"))?;
    }
    Ok(())
}
