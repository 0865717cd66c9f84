//! What is typed at the operator's terminal.

use std::io::{self, BufRead as _};

/// A line.
pub(super) fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
