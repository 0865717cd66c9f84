//! Who is calling, as the kernel says it.

use pawl_proto::local::Problem;
use tokio::net::UnixStream;

use crate::problem::problem;

/// The caller's user (`SO_PEERCRED`); none when the kernel does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    user: Option<u32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self { user: stream.peer_cred().ok().map(|credentials| credentials.uid()) }
    }

    /// Root and the daemon's own user administrate the device; everybody else who may open the
    /// socket uses it.
    pub(super) fn administrates(self) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        self.user.is_some_and(|user| user == 0 || user == own)
    }

    /// # Errors
    /// What everybody else is told.
    pub(super) fn must_administrate(self) -> Result<(), Problem> {
        if self.administrates() {
            return Ok(());
        }
        Err(problem(
            "not-permitted",
            "only root and the daemon's own user may ask for this",
            "run the command as root: sudo pawlctl",
        ))
    }
}
