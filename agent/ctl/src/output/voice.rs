//! Tells how something goes that takes its time: to people on standard error, to programs as lines of JSON on
//! standard output.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::{Style, json, plain, print};

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    /// A person at a terminal, who sees the last line change.
    Terminal,
    /// A log or a transcript, in which every line stays.
    Lines,
    /// A program, which reads JSON.
    Program,
}

pub(crate) struct Voice {
    listener: Listener,
    last: Last,
}

/// What stands in the last line of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    /// A line that the next one takes the place of.
    Live,
    /// A question that has no answer yet.
    Question,
}

impl Voice {
    pub(crate) fn new(as_json: bool) -> Self {
        let listener = match (as_json, io::stderr().is_terminal()) {
            (true, _) => Listener::Program,
            (false, true) => Listener::Terminal,
            (false, false) => Listener::Lines,
        };
        Self { listener, last: Last::Nothing }
    }

    /// For the text of [`Voice::say`].
    pub(crate) fn style(&self) -> Style {
        Style::of(&io::stderr())
    }

    pub(crate) fn to_terminal(&self) -> bool {
        self.listener == Listener::Terminal
    }

    pub(crate) fn to_program(&self) -> bool {
        self.listener == Listener::Program
    }

    /// Lines that stay, for people. Whatever in them came from elsewhere is plain already.
    pub(crate) fn say(&mut self, lines: &str) {
        if self.to_program() {
            return;
        }
        self.clear();
        let newline = if lines.ends_with('\n') { "" } else { "\n" };
        write(&format!("{lines}{newline}"));
    }

    /// What changes by the second, for a person at a terminal.
    pub(crate) fn live(&mut self, text: &str) {
        if self.to_terminal() {
            write(&format!("\r\u{1b}[K{}", plain(text)));
            self.last = Last::Live;
        }
    }

    /// A question, behind which the answer is typed.
    pub(crate) fn ask(&mut self, question: &str) {
        self.clear();
        write(&plain(question));
        self.last = Last::Question;
    }

    /// The terminal has shown the answer, and the end of its line.
    pub(crate) fn answered(&mut self) {
        self.last = Last::Nothing;
    }

    /// What changed, for programs.
    pub(crate) fn event(&self, event: &impl Serialize) {
        if self.to_program()
            && let Ok(line) = json(event)
        {
            print(&line);
        }
    }

    fn clear(&mut self) {
        match self.last {
            Last::Nothing => {}
            Last::Live => write("\r\u{1b}[K"),
            Last::Question => write("\n"),
        }
        self.last = Last::Nothing;
    }
}

impl Drop for Voice {
    /// Leaves an empty line for what comes next.
    fn drop(&mut self) {
        self.clear();
    }
}

/// Where nobody reads any more there is nobody to tell.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
