//! Checks whether the daemon's user can read a file. Root, who runs the check, can read every file.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::finding::Finding;

/// The user of the packaged unit.
const USER: &str = "pawl";
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// The user that the daemon runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    name: String,
    uid: u32,
    gid: u32,
}

impl Reader {
    /// Returns the owner of the state directory. If the directory does not exist yet, returns the package's user, if that exists.
    pub(super) fn find(state_dir: Option<&Path>) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Some(owner) = state_dir.and_then(|path| fs::metadata(path).ok()) {
            let name = account(&passwd, |name, uid| (uid == owner.uid()).then(|| name.to_owned()));
            let name = name.map_or_else(|| owner.uid().to_string(), |(name, ..)| name);
            return Some(Self { name, uid: owner.uid(), gid: owner.gid() });
        }
        let (name, uid, gid) = account(&passwd, |name, _| (name == USER).then(|| name.to_owned()))?;
        Some(Self { name, uid, gid })
    }

    /// Returns a finding if this user cannot read the file, by the modes of the file and of the directories above it. Ignores
    /// access control lists.
    pub(super) fn refusal(&self, check: &'static str, path: &Path) -> Option<Finding> {
        let (denied, mode) = self.denied(path).ok().flatten()?;
        let (what, bits) = if denied == path { ("read", "o+r") } else { ("enter", "o+x") };
        Some(Finding::failed(
            check,
            format!(
                "user {}, who runs pawld, cannot {what} {} (mode {mode:04o})",
                self.name,
                denied.display()
            ),
            format!("chmod {bits} {}", denied.display()),
        ))
    }

    /// Returns the first directory above the file that this user may not enter, or the file if the user may not read it, and its
    /// mode.
    fn denied(&self, path: &Path) -> io::Result<Option<(PathBuf, u32)>> {
        let path = fs::canonicalize(path)?;
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let steps = above.into_iter().map(|directory| (directory, SEARCH)).chain([(path.as_path(), READ)]);
        for (step, permission) in steps {
            let metadata = fs::metadata(step)?;
            if !self.may(permission, metadata.uid(), metadata.gid(), metadata.mode()) {
                return Ok(Some((step.to_owned(), metadata.mode() & 0o7777)));
            }
        }
        Ok(None)
    }

    fn may(&self, permission: u32, owner: u32, group: u32, mode: u32) -> bool {
        let class = match () {
            () if self.uid == 0 => return true,
            () if self.uid == owner => mode >> 6,
            () if self.gid == group => mode >> 3,
            () => mode,
        };
        class & permission != 0
    }
}

/// Returns the name, user id and group id of the first account for which `is_wanted` returns a name (passwd(5)).
fn account(passwd: &str, is_wanted: impl Fn(&str, u32) -> Option<String>) -> Option<(String, u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((is_wanted(name, uid)?, uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn pawl() -> Reader {
        Reader { name: "pawl".to_owned(), uid: 989, gid: 988 }
    }

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\npawl:x:989:988::/:/usr/sbin/nologin\n";
        let by_name = account(passwd, |name, _| (name == USER).then(|| name.to_owned()));
        assert_eq!(by_name, Some(("pawl".to_owned(), 989, 988)));
        let by_number = account(passwd, |name, uid| (uid == 0).then(|| name.to_owned()));
        assert_eq!(by_number, Some(("root".to_owned(), 0, 0)));
        assert_eq!(account(passwd, |name, _| (name == "nobody").then(String::new)), None);
    }

    #[test]
    fn the_class_of_a_user_decides() {
        // For the owner only the owner's bits count, even if others have more permissions.
        assert!(pawl().may(READ, 989, 0, 0o400) && !pawl().may(READ, 989, 0, 0o044));
        assert!(pawl().may(READ, 0, 988, 0o040) && !pawl().may(READ, 0, 988, 0o404));
        assert!(pawl().may(READ, 0, 0, 0o004) && !pawl().may(READ, 0, 0, 0o440));
        assert!(Reader { uid: 0, ..pawl() }.may(READ, 1, 1, 0));
    }

    #[test]
    fn a_file_and_a_directory_that_the_daemons_user_cannot_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, "").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(directory.path(), 0o755);
        set(&path, 0o600);
        let finding = pawl().refusal("control-plane-ca", &path).unwrap();
        assert!(finding.detail.contains("user pawl, who runs pawld, cannot read"), "{finding:?}");
        assert!(finding.remedy.unwrap().starts_with("chmod o+r "));
        set(&path, 0o644);
        assert!(pawl().refusal("control-plane-ca", &path).is_none());
        set(directory.path(), 0o700);
        let finding = pawl().refusal("control-plane-ca", &path).unwrap();
        assert!(finding.detail.contains("cannot enter"), "{finding:?}");
        assert!(pawl().refusal("control-plane-ca", &directory.path().join("none")).is_none());
    }
}
