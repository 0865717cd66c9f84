//! Writes shell completions under the file names that the shells expect.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use clap_complete::Shell;

use crate::program::Program;

pub(crate) fn write(program: &Program, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let name = program.name;
    for (shell, file) in [
        (Shell::Bash, name.to_owned()),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut file = File::create(directory.join(file))?;
        clap_complete::generate(shell, &mut program.command.clone(), name, &mut file);
    }
    Ok(())
}
