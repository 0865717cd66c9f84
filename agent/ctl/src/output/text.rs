//! Formats text for people: colours, and lines with a label and a value.

use std::fmt::Write as _;
use std::io::IsTerminal;

use super::plain;

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Doubtful,
    Bad,
    Faint,
    /// Text to read from a distance.
    Strong,
}

/// Whether text is coloured: on a terminal, unless NO_COLOR is set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// Returns the style for text that goes to `stream`.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self { coloured: stream.is_terminal() && !declined }
    }

    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self { coloured: false }
    }

    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self { coloured: true }
    }

    pub(crate) fn is_coloured(self) -> bool {
        self.coloured
    }

    /// Returns a line of a QR code, which needs a light background.
    pub(crate) fn black_on_white(self, line: &str) -> String {
        if self.coloured { format!("\u{1b}[30;47m{line}\u{1b}[0m") } else { line.to_owned() }
    }

    /// Returns the text in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Doubtful => "1;33",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A headline and fields, each with a label and a value.
pub(crate) struct FieldList {
    text: String,
    style: Style,
}

impl FieldList {
    pub(crate) fn new(style: Style) -> Self {
        Self { text: String::new(), style }
    }

    /// Adds a line of its own, in the colour of `tone`.
    pub(crate) fn headline(&mut self, tone: Tone, text: &str) {
        self.text.push_str(&self.style.paint(tone, &plain(text)));
        self.text.push('\n');
    }

    /// Adds a field, unless the value is empty. Without a label, the value continues the previous field.
    pub(crate) fn line(&mut self, label: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let label = self.style.paint(Tone::Faint, &format!("{label:<9}"));
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "  {label} {}", plain(value));
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Joins words with spaces.
pub(crate) fn words<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}
