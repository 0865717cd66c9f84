//! Files that are in the vendor directory whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is to be put into the directory.
pub(super) struct NewFile {
    pub(super) name: String,
    pub(super) contents: Vec<u8>,
    /// It may take the place of a file of its name.
    pub(super) replaces: bool,
}

/// Writes all files under hidden names, which the server does not read, and then gives each its own. After an error
/// no file is half there; those that have their names stay.
///
/// # Errors
/// Names the file. Without leave to replace it, an existing file of the name is an error.
pub(super) fn write(directory: &Path, files: &[NewFile]) -> Result<(), WriteError> {
    let made = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let opened = made.map_err(|source| WriteError { path: directory.to_owned(), source })?;
    let staged = Staged(files.iter().enumerate().map(|(number, _)| hidden(directory, number)).collect());
    for (file, hidden) in files.iter().zip(&staged.0) {
        write_hidden(hidden, &file.contents).map_err(|source| WriteError { path: hidden.clone(), source })?;
    }
    for (file, hidden) in files.iter().zip(&staged.0) {
        let path = directory.join(&file.name);
        // A link, unlike a renaming, takes nobody's place.
        let named = if file.replaces { fs::rename(hidden, &path) } else { fs::hard_link(hidden, &path) };
        named.map_err(|source| WriteError { path, source })?;
    }
    drop(staged);
    opened.sync_all().map_err(|source| WriteError { path: directory.to_owned(), source })
}

fn hidden(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!(".import-{}-{number}", std::process::id()))
}

fn write_hidden(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Hidden files, which go when this is dropped.
struct Staged(Vec<PathBuf>);

impl Drop for Staged {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that was renamed is not there any more.
            let _ = fs::remove_file(path);
        }
    }
}

/// A file of the vendor directory that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, contents: &str, replaces: bool) -> NewFile {
        NewFile { name: name.to_owned(), contents: contents.into(), replaces }
    }

    #[test]
    fn a_file_is_replaced_only_with_leave_and_nothing_hidden_stays() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("new/vendor-cas");
        write(&place, &[file("a", "1", false), file("list", "1", true)]).unwrap();
        let error = write(&place, &[file("b", "2", false), file("a", "2", false)]).unwrap_err();
        assert!(error.to_string().contains("/a: File exists"), "{error}");
        write(&place, &[file("list", "2", true)]).unwrap();
        let mut found: Vec<(String, String)> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        let expected = [("a", "1"), ("b", "2"), ("list", "2")];
        assert_eq!(found, expected.map(|(name, contents)| (name.to_owned(), contents.to_owned())));
    }
}
