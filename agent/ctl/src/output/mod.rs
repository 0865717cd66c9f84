//! What people and programs read.

mod qr;
mod sheet;
mod style;
mod time;
mod voice;

use std::io::{self, Write as _};

use serde::Serialize;

use crate::exit::Failure;

pub(crate) use qr::Drawing;
pub(crate) use sheet::{Sheet, words};
pub(crate) use style::{Style, Tone};
pub(crate) use time::{from_now, now, span, utc};
pub(crate) use voice::Voice;

/// To standard output. Where nobody reads any more there is nobody to tell.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// One line of JSON.
///
/// # Errors
/// For a value that JSON cannot hold; there is none here.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string(value).map_err(Failure::internal)?;
    text.push('\n');
    Ok(text)
}

/// Says why the command failed and what to do.
pub(crate) fn report(failure: &Failure, as_json: bool) {
    if as_json && let Ok(text) = json(&failure.problem) {
        return print(&text);
    }
    note(&format!("pawlctl: {}", failure.problem.reason));
    if !failure.problem.remedy.is_empty() {
        note(&format!("  to do: {}", failure.problem.remedy));
    }
}

/// The text with control characters made visible: what came from elsewhere shall not steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d");
        assert_eq!(plain("Gerät 7"), "Gerät 7");
    }
}
