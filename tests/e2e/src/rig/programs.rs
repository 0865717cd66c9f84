//! Where the programs under test are.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// One of our own programs: from `PAWL_BIN_DIR`, else beside this one.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.is_file(), "{} is missing: build it with `cargo build --workspace --bins`", path.display());
    Ok(path)
}

/// A command that runs it.
pub(super) fn command(name: &str) -> Result<Command> {
    program(name).map(Command::new)
}

/// The directory of our own programs.
pub(super) fn directory() -> Result<PathBuf> {
    if let Some(directory) = env::var_os("PAWL_BIN_DIR") {
        return Ok(directory.into());
    }
    let mut directory = env::current_exe().context("find this program")?;
    directory.pop();
    // Cargo puts tests one level deeper.
    if directory.ends_with("deps") {
        directory.pop();
    }
    Ok(directory)
}
