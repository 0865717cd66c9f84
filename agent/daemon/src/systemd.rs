//! Communication with systemd: notifications, passed descriptors, and the file that `pawl-entitled.path` watches: it exists while
//! the device is entitled. Outside systemd (`NOTIFY_SOCKET` is not set) notifications do nothing.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use sd_notify::NotifyState;

/// Notifies systemd that the start is complete.
pub(crate) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Sets the one line that `systemctl status` shows.
pub(crate) fn show_status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Notifies systemd that the stop is deliberate.
pub(crate) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Notifies the watchdog that the main loop runs.
pub(crate) fn notify_watchdog() {
    notify(&[NotifyState::Watchdog]);
}

/// Returns how often [`notify_watchdog`] is due: half of `WatchdogSec=`; none if there is no watchdog.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let mut microseconds = 0;
    sd_notify::watchdog_enabled(false, &mut microseconds).then(|| Duration::from_micros(microseconds / 2))
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}

/// systemd's measurement log, as `pawld.service` names it in `OpenFile=`.
pub(crate) const MEASURE_LOG: &str = "tpm2-measure.log";

/// Returns the first descriptor that systemd passed under this name (sd_listen_fds(3)).
pub(crate) fn passed_file(name: &str) -> Option<OwnedFd> {
    first(|passed| passed == name)
}

/// Returns the socket: the first descriptor that systemd passed under another name than [`MEASURE_LOG`].
pub(crate) fn passed_socket() -> Option<OwnedFd> {
    first(|name| name != MEASURE_LOG)
}

fn first(is: impl Fn(&str) -> bool) -> Option<OwnedFd> {
    static PASSED: LazyLock<Vec<(RawFd, String)>> =
        LazyLock::new(|| sd_notify::listen_fds_with_names(true).map(Iterator::collect).unwrap_or_default());
    let (fd, _) = PASSED.iter().find(|(_, name)| is(name))?;
    // SAFETY: systemd passes descriptors that stay open for the process's life, and sd_notify has checked that they
    // were meant for this process; each is only borrowed to be duplicated.
    #[expect(unsafe_code, reason = "a descriptor that systemd passed is a bare number")]
    let passed = unsafe { BorrowedFd::borrow_raw(*fd) };
    passed.as_fd().try_clone_to_owned().ok()
}

/// The file `now` in the directory that systemd made for the service. Without such a directory the daemon writes no file.
pub(crate) struct Marker {
    path: Option<PathBuf>,
}

impl Marker {
    /// Returns the marker of this service. systemd removes one that an earlier process left, with its directory.
    pub(crate) fn of_service() -> Self {
        // systemd.exec(5): `RuntimeDirectory=`.
        Self {
            path: std::env::var_os("RUNTIME_DIRECTORY").map(|directory| Path::new(&directory).join("now")),
        }
    }

    /// Returns a marker that writes nothing.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn none() -> Self {
        Self { path: None }
    }

    /// Creates the file, or removes it.
    pub(crate) fn set(&self, entitled: bool) {
        let Some(path) = &self.path else { return };
        let outcome = if entitled { File::create(path).map(drop) } else { removed(path) };
        if let Err(error) = outcome {
            tracing::error!(
                path = %path.display(), %error, entitled,
                "cannot set the file that systemd watches; units that depend on the entitlement do not start or stop"
            );
        }
    }
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_exists_exactly_while_the_device_is_entitled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("now");
        let marker = Marker { path: Some(path.clone()) };
        marker.set(false);
        assert!(!path.exists());
        for _ in 0..2 {
            marker.set(true);
            assert!(path.exists());
        }
        marker.set(false);
        assert!(!path.exists());
    }
}
