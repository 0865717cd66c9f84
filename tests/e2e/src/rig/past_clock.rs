//! A wall clock that begins in 1970, for one process: a library that is preloaded into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

const SOURCE: &str = include_str!("past_clock.c");

/// Returns the library. The first call of a process compiles it, with the compiler that the TSS needs, too.
pub(super) fn library() -> Result<PathBuf> {
    static COMPILED: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = compiled.as_ref() {
        return Ok(library.clone());
    }
    // Kept for as long as the process lives, and longer: others may be running on it.
    let folder = tempfile::Builder::new().prefix("pawl-clock-").tempdir()?.keep();
    let library = compile(&folder)?;
    Ok(compiled.insert(library).clone())
}

fn compile(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("past_clock.c"), folder.join("past_clock.so"));
    fs::write(&source, SOURCE)?;
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = cc.output().context("start cc")?;
    ensure!(output.status.success(), "{cc:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
