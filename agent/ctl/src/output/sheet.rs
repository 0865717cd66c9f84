//! Lines of a label and a value.

use std::fmt::Write as _;

use super::{Style, Tone, plain};

/// What people read of a device, a session or a statement.
pub(crate) struct Sheet {
    text: String,
    style: Style,
}

impl Sheet {
    pub(crate) fn new(style: Style) -> Self {
        Self { text: String::new(), style }
    }

    /// A line of its own, in the colour of what it says.
    pub(crate) fn headline(&mut self, tone: Tone, text: &str) {
        self.text.push_str(&self.style.paint(tone, &plain(text)));
        self.text.push('\n');
    }

    /// Nothing where there is no value. Without a label, the value goes on from the line before.
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

/// Words between spaces.
pub(crate) fn words<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}
