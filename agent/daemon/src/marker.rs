//! The file by which systemd sees that the device is entitled: `pawl-entitled.path` watches for it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// `now` in the directory that systemd made for the service; nothing where it made none.
pub(crate) struct Marker {
    path: Option<PathBuf>,
}

impl Marker {
    /// The marker of this service. One that an earlier process left is gone with its directory.
    pub(crate) fn of_service() -> Self {
        // systemd.exec(5): `RuntimeDirectory=`.
        Self {
            path: std::env::var_os("RUNTIME_DIRECTORY").map(|directory| Path::new(&directory).join("now")),
        }
    }

    /// For a gate that nothing of systemd depends on.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn none() -> Self {
        Self { path: None }
    }

    /// Makes the file, or removes it.
    pub(crate) fn set(&self, entitled: bool) {
        let Some(path) = &self.path else { return };
        let outcome = if entitled { File::create(path).map(drop) } else { removed(path) };
        if let Err(error) = outcome {
            tracing::error!(path = %path.display(), %error, entitled, "systemd is not told of the entitlement");
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
    fn the_file_is_there_exactly_while_the_device_is_entitled() {
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
