//! Descriptors that systemd passed to this process (sd_listen_fds(3)).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::LazyLock;

/// systemd's measurement log, as `pawld.service` names it in `OpenFile=`.
pub(crate) const MEASURE_LOG: &str = "tpm2-measure.log";

/// The first descriptor with this name.
pub(crate) fn named(wanted: &str) -> Option<OwnedFd> {
    first(|name| name == wanted)
}

/// The first descriptor that is none of those with a name of their own here: the socket.
pub(crate) fn socket() -> Option<OwnedFd> {
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
