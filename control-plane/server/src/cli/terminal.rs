//! What is typed at the operator's terminal.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// A line.
pub(super) fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// The passphrase of a key file, which the terminal does not show; none when nobody types one.
pub(super) fn passphrase(file: &Path) -> Option<Zeroizing<String>> {
    let _silence = Silence::begin().ok()?;
    write!(io::stderr(), "passphrase of {}: ", file.display()).ok()?;
    let mut typed = Zeroizing::new(line().ok()?);
    let length = typed.trim_end_matches(['\n', '\r']).len();
    typed.truncate(length);
    (!typed.is_empty()).then_some(typed)
}

/// As long as it exists, the terminal of standard input shows nothing of what is typed.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to show.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
