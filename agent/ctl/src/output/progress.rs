//! Shows the progress of a command: lines on standard error for people, lines of JSON on standard output for programs.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::{Style, json, plain, print};

/// The reader of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A person at a terminal, who sees the last line change.
    Terminal,
    /// A log or a transcript, in which every line remains.
    Lines,
    /// A program, which reads JSON.
    Program,
}

/// Shows the progress of a command.
pub(crate) struct Progress {
    reader: Reader,
    last: Last,
}

/// The last line of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    /// A line that the next one replaces.
    Live,
    /// A question without an answer yet.
    Question,
}

impl Progress {
    pub(crate) fn new(as_json: bool) -> Self {
        let reader = match (as_json, io::stderr().is_terminal()) {
            (true, _) => Reader::Program,
            (false, true) => Reader::Terminal,
            (false, false) => Reader::Lines,
        };
        Self { reader, last: Last::Nothing }
    }

    /// Returns the style of text for [`Progress::say`].
    pub(crate) fn style(&self) -> Style {
        Style::of(&io::stderr())
    }

    pub(crate) fn to_terminal(&self) -> bool {
        self.reader == Reader::Terminal
    }

    pub(crate) fn to_program(&self) -> bool {
        self.reader == Reader::Program
    }

    /// Prints permanent lines, for people. The caller must have passed text from elsewhere through [`plain`].
    pub(crate) fn say(&mut self, lines: &str) {
        if self.to_program() {
            return;
        }
        self.clear();
        let newline = if lines.ends_with('\n') { "" } else { "\n" };
        write(&format!("{lines}{newline}"));
    }

    /// Replaces the last line, for a person at a terminal.
    pub(crate) fn live(&mut self, text: &str) {
        if self.to_terminal() {
            write(&format!("\r\u{1b}[K{}", plain(text)));
            self.last = Last::Live;
        }
    }

    /// Prints a question. The person types the answer on the same line.
    pub(crate) fn ask(&mut self, question: &str) {
        self.clear();
        write(&plain(question));
        self.last = Last::Question;
    }

    /// Marks the question as answered: the person has typed the answer and Enter.
    pub(crate) fn answered(&mut self) {
        self.last = Last::Nothing;
    }

    /// Prints a change, for programs.
    pub(crate) fn event(&self, event: &impl Serialize) {
        if self.to_program()
            && let Ok(line) = json(event)
        {
            print(&line);
        }
    }

    pub(crate) fn clear(&mut self) {
        match self.last {
            Last::Nothing => {}
            Last::Live => write("\r\u{1b}[K"),
            Last::Question => write("\n"),
        }
        self.last = Last::Nothing;
    }
}

impl Drop for Progress {
    /// Clears the last line for the output that follows.
    fn drop(&mut self) {
        self.clear();
    }
}

/// Writes to standard error. Ignores a closed pipe.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
