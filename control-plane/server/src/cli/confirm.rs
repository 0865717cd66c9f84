//! Asks before a command destroys something: shows what ends, and has the operator type the device's name.

use std::io::{self, IsTerminal as _, Write as _};

use super::{Failure, output, text};
use crate::admin::view::DeviceView;

/// What `revoke` and `repair` destroy.
pub(super) const ENDS: &str = "This ends the pairing permanently:";
/// What `retire` destroys.
pub(super) const RETIRES: &str = "This retires the device, and ends its pairing permanently:";
/// What `delete` destroys.
pub(super) const DELETES: &str = "This deletes the device; only its audit records stay:";

/// Asks the operator at the terminal to type the device's label, or its id if it has none.
///
/// # Errors
/// If there is no terminal to ask at, or if the operator types something else.
pub(super) fn ask(destroys: &str, view: &DeviceView) -> Result<(), Failure> {
    let name = name(view);
    let mut stderr = io::stderr().lock();
    write!(stderr, "{destroys}\n{}Type {name} to continue: ", text::ends(view))?;
    stderr.flush()?;
    drop(stderr);
    if output::read_line()?.trim() == name { Ok(()) } else { Err(Failure::NotConfirmed) }
}

/// Checks that there is a terminal to ask at.
///
/// # Errors
/// If there is none: a script must give --yes.
pub(super) fn must_have_terminal() -> Result<(), Failure> {
    if io::stdin().is_terminal() { Ok(()) } else { Err(Failure::NobodyToConfirm) }
}

fn name(view: &DeviceView) -> &str {
    view.label.as_deref().unwrap_or(view.device.as_str())
}
