//! The person at the terminal, if there is one.

mod interrupt;
mod keyboard;

use std::io::{self, IsTerminal as _};

pub(crate) use interrupt::Interrupt;
pub(crate) use keyboard::Keyboard;

/// How many characters a line of standard error holds; none where it is no terminal, or one that does not say.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether characters beyond ASCII can be shown: the first of the variables that is set decides (locale(7)).
pub(crate) fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The device of the terminal that standard input is.
pub(crate) fn name() -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let path = std::fs::read_link("/proc/self/fd/0").ok()?;
    Some(path.to_string_lossy().into_owned()).filter(|path| path.starts_with("/dev/"))
}
