//! Tells on standard error how a pairing goes: a spinner on a terminal, else a line for each change.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use pawl_proto::local::LocalStatus;

use crate::output::{note, plain};

const FRAMES: [char; 4] = ['|', '/', '-', '\\'];

pub(super) struct Progress {
    terminal: bool,
    frame: usize,
    last: String,
}

impl Progress {
    pub(super) fn on_stderr() -> Self {
        Self { terminal: io::stderr().is_terminal(), frame: 0, last: String::new() }
    }

    pub(super) fn show(&mut self, status: &LocalStatus, waited: Duration) {
        let text = describe(status);
        if self.terminal {
            self.spin(&text, waited);
        } else if text != self.last {
            note(&text);
        }
        self.last = text;
    }

    fn spin(&mut self, text: &str, waited: Duration) {
        let frame = FRAMES.iter().cycle().nth(self.frame).copied().unwrap_or('|');
        self.frame = (self.frame + 1) % FRAMES.len();
        let mut stderr = io::stderr().lock();
        // A terminal that is gone needs no spinner.
        let _ =
            write!(stderr, "\r\u{1b}[K{frame} {text} ({} s)", waited.as_secs()).and_then(|()| stderr.flush());
    }
}

impl Drop for Progress {
    /// Leaves an empty line for what comes next.
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn describe(status: &LocalStatus) -> String {
    let problem = status.problem.as_ref().map(|problem| format!(": {}", problem.reason));
    plain(&format!("{}{}", status.state, problem.unwrap_or_default()))
}
