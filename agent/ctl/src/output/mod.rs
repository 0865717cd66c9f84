//! Output for people and for programs.

mod progress;
mod qr;
mod text;
mod time;

use std::io::{self, Write as _};

use serde::Serialize;

use crate::exit::Failure;

pub(crate) use progress::Progress;
pub(crate) use qr::Drawing;
pub(crate) use text::{FieldList, Style, Tone, words};
pub(crate) use time::{from_now, now, span, utc};

/// Writes to standard output. Ignores a closed pipe.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes one line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(text));
}

/// Returns the value as one line of JSON.
///
/// # Errors
/// If JSON cannot represent the value. It can represent all values of this program.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string(value).map_err(Failure::internal)?;
    text.push('\n');
    Ok(text)
}

/// Prints the reason of a failure and its remedy.
pub(crate) fn report(failure: &Failure, as_json: bool) {
    if as_json && let Ok(text) = json(&failure.problem) {
        return print(&text);
    }
    note(&format!("pawlctl: {}", failure.problem.reason));
    if !failure.problem.remedy.is_empty() {
        note(&format!("  to do: {}", failure.problem.remedy));
    }
}

/// Replaces control characters, so that text from elsewhere cannot send escape sequences to the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d");
        assert_eq!(plain("Gerät 7"), "Gerät 7");
    }
}
