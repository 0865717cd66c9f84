//! How the programs that use the rig begin and end.

use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;

use super::wait::Interrupted;

/// What the program was called with.
///
/// # Errors
/// With what to exit at once: 64 after a usage error, 0 after `--help` and `--version`, each told.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|usage| {
        let _ = usage.print();
        ExitCode::from(if usage.use_stderr() { 64 } else { 0 })
    })
}

/// What a shell expects of a program that ends with this error: 128 and the signal if one ended it, else 1.
#[must_use]
pub fn exit_code(error: &Error) -> ExitCode {
    match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => ExitCode::from(u8::try_from(128 + interrupted.signal).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}
