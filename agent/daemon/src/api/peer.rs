//! Who is calling, as the kernel says it.

use pawl_proto::Text;
use pawl_proto::local::Problem;
use pawl_proto::message::ShortText;
use tokio::net::UnixStream;

use super::room::Holder;
use super::unit;
use crate::problem::problem;

/// The caller's user and process (`SO_PEERCRED`); none when the kernel does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    user: Option<u32>,
    process: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        Self {
            user: credentials.map(|credentials| credentials.uid()),
            process: credentials.and_then(|credentials| credentials.pid()),
        }
    }

    pub(super) fn user(self) -> Option<u32> {
        self.user
    }

    /// Root and the daemon's own user administrate the device; everybody else who may open the
    /// socket uses it.
    pub(super) fn administrates(self) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        self.user.is_some_and(|user| user == 0 || user == own)
    }

    /// Whose places on the socket it takes.
    pub(super) fn holder(self) -> Holder {
        Holder { user: self.user, process: self.process, administrates: self.administrates() }
    }

    /// Who asks, in the kernel's words, and then in their own: from where.
    pub(super) fn origin(self, said: &ShortText) -> ShortText {
        let user = self.user.map_or_else(|| "unknown user".to_owned(), |user| format!("uid {user}"));
        if said.as_str().is_empty() { Text::lossy(&user) } else { Text::lossy(&format!("{user}; {said}")) }
    }

    /// A workload, for an approver: its user, and the systemd unit as a hint beside it.
    pub(super) fn workload(self) -> ShortText {
        let user = self.origin(&ShortText::default());
        match self.process.and_then(unit::of) {
            Some(unit) => Text::lossy(&format!("{user} ({unit})")),
            None => user,
        }
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
