//! Colour, where somebody sees it and has not declined it (no-color.org).

use std::io::IsTerminal;

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Doubtful,
    Bad,
    Faint,
    /// What somebody has to read from afar.
    Strong,
}

/// Whether to colour at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// For text that goes to `stream`.
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

    /// A line of a drawing that needs a light ground.
    pub(crate) fn black_on_white(self, line: &str) -> String {
        if self.coloured { format!("\u{1b}[30;47m{line}\u{1b}[0m") } else { line.to_owned() }
    }

    /// The text in its colour.
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
