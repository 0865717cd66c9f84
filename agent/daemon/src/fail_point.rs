//! Named instructions at which a test may cut the power.
//!
//! Without the feature `fail-points`, which no package has, [`reach`] does nothing.

/// Kills the process here, if the environment names this point in `PAWL_FAIL_POINT`.
#[cfg(feature = "fail-points")]
pub(crate) fn reach(name: &str) {
    if std::env::var("PAWL_FAIL_POINT").is_ok_and(|wanted| wanted == name) {
        // SIGKILL, because a power cut runs no destructor and flushes nothing either.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(feature = "fail-points"))]
pub(crate) fn reach(_name: &str) {}
