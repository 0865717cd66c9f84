//! What systemd wants to know: ready, status, alive, stopping.
//!
//! Outside systemd (`NOTIFY_SOCKET` is not set) all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager that start-up is over.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Sets the one line that `systemctl status` shows.
pub(crate) fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Tells the service manager that the stop is deliberate.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the main loop still turns.
pub(crate) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is due: half of `WatchdogSec=`; none where there is no watchdog.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds).then(|| Duration::from_micros(microseconds / 2))
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "the service manager was not reached");
    }
}
