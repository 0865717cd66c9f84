//! Checks the permissions of the configuration, the socket, the state directory and the CA file, and whether the daemon's user
//! can read them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pawl_config::ConfigError;

use super::endpoint;
use super::finding::Finding;
use super::reader::Reader;

/// Write permission for group or others.
const WRITABLE: u32 = 0o022;
/// Permission for others to open a socket.
const WORLD: u32 = 0o002;
/// Any permission for group or others.
const SHARED: u32 = 0o077;

pub(super) fn configuration(path: &Path, error: Option<&ConfigError>, reader: Option<&Reader>) -> Finding {
    const CHECK: &str = "configuration";
    if error.is_none()
        && let Some(refusal) = reader.and_then(|reader| reader.refusal(CHECK, path))
    {
        return refusal;
    }
    match (error, mode(path)) {
        (Some(error), _) => {
            Finding::failed(CHECK, error.to_string(), "correct the file, then run: systemctl restart pawld")
        }
        (None, Ok(mode)) if mode & WRITABLE != 0 => Finding::failed(
            CHECK,
            format!("users other than the owner can write to {} (mode {mode:03o})", path.display()),
            format!("chmod go-w {}", path.display()),
        ),
        (None, Ok(_)) => Finding::ok(CHECK, format!("{} is valid", path.display())),
        (None, Err(error)) => unreadable(CHECK, path, &error),
    }
}

pub(super) fn state_dir(path: &Path) -> Finding {
    const CHECK: &str = "state-dir";
    match mode(path) {
        Ok(mode) if mode & SHARED != 0 => Finding::failed(
            CHECK,
            format!("users other than the owner can access {} (mode {mode:03o})", path.display()),
            format!("chmod 0700 {}", path.display()),
        ),
        Ok(_) => Finding::ok(CHECK, format!("{} is accessible only to its owner", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
            CHECK,
            format!("{} does not exist", path.display()),
            "start pawld with systemd, which creates it: systemctl start pawld",
        ),
        Err(error) => unreadable(CHECK, path, &error),
    }
}

/// With fewer free bytes, the daemon may soon be unable to write verdicts, tokens and records. A pairing needs 256 KiB.
const FEW_BYTES: u64 = 16 * 1024 * 1024;

/// Checks the free space of the state directory's file system. If the daemon cannot store a pairing, it must end it again.
pub(super) fn free_space(state_dir: &Path) -> Finding {
    const CHECK: &str = "disk-space";
    match rustix::fs::statvfs(state_dir) {
        Ok(stat) => free_space_of(CHECK, state_dir, stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => Finding::skipped(CHECK, format!("cannot examine {}: {error}", state_dir.display())),
    }
}

fn free_space_of(check: &'static str, state_dir: &Path, free: u64) -> Finding {
    let detail = format!("{} KiB are free in {}", free / 1024, state_dir.display());
    if free >= FEW_BYTES {
        return Finding::ok(check, detail);
    }
    Finding::warning(
        check,
        format!(
            "{detail}; below {} MiB writes may soon fail, and with them a pairing",
            FEW_BYTES / (1024 * 1024)
        ),
        "remove files from this disk, or use a larger one, before you pair the device",
    )
}

/// Checks that not every user can open the socket: a user who can open it can request tokens.
pub(super) fn socket(path: &Path) -> Finding {
    const CHECK: &str = "socket";
    match mode(path) {
        Ok(mode) if mode & WORLD != 0 => Finding::failed(
            CHECK,
            format!("every user of this host can open {} (mode {mode:03o})", path.display()),
            format!("run: chmod 0660 {}; and set its group to that of the workloads", path.display()),
        ),
        Ok(_) => Finding::ok(CHECK, format!("{} is accessible to its owner and group", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::skipped(CHECK, format!("{} does not exist; pawld creates it", path.display()))
        }
        Err(error) => unreadable(CHECK, path, &error),
    }
}

pub(super) fn authority(path: &Path, reader: Option<&Reader>) -> Finding {
    const CHECK: &str = "control-plane-ca";
    if let Some(refusal) = reader.and_then(|reader| reader.refusal(CHECK, path)) {
        return refusal;
    }
    match (endpoint::authorities(path), mode(path)) {
        (Err(error), _) => Finding::failed(
            CHECK,
            error.to_string(),
            "copy the control plane's CA certificate (PEM) to this path (control_plane.ca)",
        ),
        (Ok(_), Ok(mode)) if mode & WRITABLE != 0 => Finding::failed(
            CHECK,
            format!("users other than the owner can write to {} (mode {mode:03o})", path.display()),
            format!("chmod go-w {}", path.display()),
        ),
        (Ok(roots), _) => Finding::ok(CHECK, format!("{} in {}", certificates(roots.len()), path.display())),
    }
}

fn certificates(count: usize) -> String {
    if count == 1 { "1 certificate".to_owned() } else { format!("{count} certificates") }
}

fn mode(path: &Path) -> io::Result<u32> {
    fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o7777)
}

/// Returns the finding for a file that cannot be examined. If only this user lacks permission, the daemon may have it, so the
/// check is skipped.
pub(super) fn unreadable(check: &'static str, path: &Path, error: &io::Error) -> Finding {
    let detail = format!("cannot examine {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Finding::skipped(check, format!("{detail}; run as root")),
        _ => Finding::failed(check, detail, "check the path, and the disk: dmesg"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn permissions_for_others_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pawl.toml");
        fs::write(&path, "").unwrap();
        for (mode, result) in [(0o640, Outcome::Ok), (0o664, Outcome::Failed), (0o602, Outcome::Failed)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(configuration(&path, None, None).result, result, "{mode:o}");
        }
        for (mode, result) in [(0o700, Outcome::Ok), (0o750, Outcome::Failed)] {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(state_dir(directory.path()).result, result, "{mode:o}");
        }
        for (mode, result) in [(0o660, Outcome::Ok), (0o666, Outcome::Failed)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(socket(&path).result, result, "{mode:o}");
        }
        assert_eq!(state_dir(&directory.path().join("none")).result, Outcome::Warning);
    }

    #[test]
    fn little_free_space_is_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let of = |free| free_space_of("disk-space", directory.path(), free);
        assert_eq!(of(FEW_BYTES).result, Outcome::Ok);
        assert_eq!(of(FEW_BYTES - 1).result, Outcome::Warning);
        assert!(of(1024 * 300).detail.starts_with("300 KiB are free in "));
        assert_ne!(free_space(directory.path()).result, Outcome::Skipped);
        assert_eq!(free_space(&directory.path().join("none")).result, Outcome::Skipped);
    }

    #[test]
    fn the_ca_file_must_contain_a_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert_eq!(authority(&path, None).result, Outcome::Failed, "absent");
        fs::write(&path, "no certificate").unwrap();
        assert_eq!(authority(&path, None).result, Outcome::Failed);
        let certified = rcgen::generate_simple_self_signed(["control.example".to_owned()]).unwrap();
        fs::write(&path, certified.cert.pem()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(authority(&path, None).result, Outcome::Ok);
    }
}
