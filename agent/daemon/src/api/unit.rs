//! The systemd unit of a process.

use std::fs::File;
use std::io::Read as _;

/// The unit in which the process runs, as far as it can be seen. It is a hint for people: the
/// process may have gone, and another may have its number.
pub(super) fn of(process: i32) -> Option<String> {
    let mut groups = String::new();
    File::open(format!("/proc/{process}/cgroup")).ok()?.take(LONGEST).read_to_string(&mut groups).ok()?;
    unit(&groups)
}

/// cgroups(7): a process has a line in each hierarchy, and few hierarchies.
const LONGEST: u64 = 8 * 1024;

/// The innermost unit in the hierarchy that systemd keeps: `0::PATH`, or the one that is named
/// after it.
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
