//! The caller, as the kernel identifies it: user, process, systemd unit.

use std::fs::File;
use std::io::Read as _;

use pawl_local_api::Problem;
use pawl_proto::Text;
use pawl_proto::message::ShortText;
use tokio::net::UnixStream;

use super::room::Holder;
use crate::problem::problem;

/// The caller's user and process (`SO_PEERCRED`); none if the kernel does not name them.
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

    /// Returns whether the caller may administrate the device: root and the daemon's own user may. Others who can open the
    /// socket may use tokens.
    pub(super) fn administrates(self) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        self.user.is_some_and(|user| user == 0 || user == own)
    }

    /// Returns the holder whose places on the socket the connection takes.
    pub(super) fn holder(self) -> Holder {
        Holder { user: self.user, process: self.process, administrates: self.administrates() }
    }

    /// Returns the origin of a request: the user that the kernel names, followed by the caller's own description.
    pub(super) fn origin(self, described: &ShortText) -> ShortText {
        let user = self.user.map_or_else(|| "unknown user".to_owned(), |user| format!("uid {user}"));
        if described.as_str().is_empty() {
            Text::lossy(&user)
        } else {
            Text::lossy(&format!("{user}; {described}"))
        }
    }

    /// Describes a workload for an approver: its user, and the systemd unit as a hint.
    pub(super) fn workload(self) -> ShortText {
        let user = self.origin(&ShortText::default());
        match self.process.and_then(unit_of) {
            Some(unit) => Text::lossy(&format!("{user} ({unit})")),
            None => user,
        }
    }

    /// Checks that the caller may administrate the device.
    ///
    /// # Errors
    /// The problem if it may not.
    pub(super) fn must_administrate(self) -> Result<(), Problem> {
        if self.administrates() {
            return Ok(());
        }
        Err(problem(
            "not-permitted",
            "only root and the daemon's own user may do this",
            "run the command as root: sudo pawlctl SUBCOMMAND …",
        ))
    }
}

/// Returns the unit in which the process runs, if it can be read. It is a hint for people: the process may have ended, and
/// another may have its number.
fn unit_of(process: i32) -> Option<String> {
    let mut groups = String::new();
    File::open(format!("/proc/{process}/cgroup")).ok()?.take(LONGEST).read_to_string(&mut groups).ok()?;
    unit(&groups)
}

/// Limit of the file. A process has one line for each hierarchy (cgroups(7)), and there are few hierarchies.
const LONGEST: u64 = 8 * 1024;

/// Returns the innermost unit in systemd's hierarchy: `0::PATH`, or the one named `name=systemd`.
fn unit(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        ["", "name=systemd"].contains(&controllers).then_some(path)
    })?;
    let names = path.rsplit('/');
    names.into_iter().find(|name| name.ends_with(".service") || name.ends_with(".scope")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_is_found_in_either_hierarchy() {
        let cases = [
            ("0::/system.slice/pump.service\n", Some("pump.service")),
            ("0::/system.slice/pump.service/worker\n", Some("pump.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/pump.service\n",
                Some("pump.service"),
            ),
            ("2:cpu:/x.service\n1:name=systemd:/user.slice/session-3.scope\n", Some("session-3.scope")),
            ("0::/\n", None),
            ("", None),
            ("nonsense", None),
        ];
        for (groups, expected) in cases {
            assert_eq!(unit(groups).as_deref(), expected, "{groups:?}");
        }
    }
}
