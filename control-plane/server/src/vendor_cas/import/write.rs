//! Names and writes the imported files: each is in the vendor directory complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_evidence::endorsement::{VendorCa, VendorList};

const PART_MAX_LEN: usize = 40;
/// Bytes of the digest in a name, which make it unique.
const DIGEST_LEN: usize = 4;

/// Returns the name of a CA's file, such as `infineon-technologies-ag-optiga-rsa-manufacturing-ca-042-1a2b3c4d.pem`.
pub(super) fn ca_file_name(ca: &VendorCa) -> String {
    let vendor = ca.organization().map(|vendor| plain(&vendor)).unwrap_or_default();
    format!("{}.pem", joined([vendor, plain(&ca.name()), short(&ca.sha256())]))
}

/// Returns one name for all lists of a CA and scope: a newer list replaces an older one.
pub(super) fn list_file_name(list: &VendorList) -> String {
    format!("{}.crl", joined([plain(&list.issuer()), short(&list.scope())]))
}

/// Encodes a certificate as PEM (RFC 7468).
pub(super) fn to_pem(der: &[u8]) -> Vec<u8> {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (column, letter) in STANDARD.encode(der).chars().enumerate() {
        if column > 0 && column.is_multiple_of(64) {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text.into_bytes()
}

fn joined<const N: usize>(parts: [String; N]) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// Returns the words of a text in lower case with dashes between them: no character has a meaning in a shell or a path.
fn plain(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    joined.chars().take(PART_MAX_LEN).collect::<String>().trim_end_matches('-').to_owned()
}

fn short(digest: &[u8]) -> String {
    hex::encode(digest.get(..DIGEST_LEN).unwrap_or_default())
}

/// A file to write into the directory.
pub(super) struct NewFile {
    pub(super) name: String,
    pub(super) contents: Vec<u8>,
    /// Whether it may replace a file of its name.
    pub(super) replaces: bool,
}

/// Writes all files under hidden names, which the server does not read, and then renames each. After an error no file is
/// incomplete; those already renamed stay.
///
/// # Errors
/// Names the file. An existing file of the name is an error unless `replaces` is set.
pub(super) fn write_files(directory: &Path, files: &[NewFile]) -> Result<(), WriteError> {
    let made = fs::create_dir_all(directory).and_then(|()| File::open(directory));
    let opened = made.map_err(|source| WriteError { path: directory.to_owned(), source })?;
    let staged = Staged(files.iter().enumerate().map(|(number, _)| hidden(directory, number)).collect());
    for (file, hidden) in files.iter().zip(&staged.0) {
        write_hidden(hidden, &file.contents).map_err(|source| WriteError { path: hidden.clone(), source })?;
    }
    for (file, hidden) in files.iter().zip(&staged.0) {
        let path = directory.join(&file.name);
        // A hard link, unlike a rename, does not replace an existing file.
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

/// Hidden files, which are removed when this is dropped.
struct Staged(Vec<PathBuf>);

impl Drop for Staged {
    fn drop(&mut self) {
        for path in &self.0 {
            // Fails for a file that was renamed.
            let _ = fs::remove_file(path);
        }
    }
}

/// Why a file of the vendor directory cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_only_letters_digits_and_dashes() {
        assert_eq!(plain("Infineon Technologies AG"), "infineon-technologies-ag");
        assert_eq!(plain("../../etc/passwd\0"), "etc-passwd");
        assert_eq!(plain("Größe"), "gr-e");
        assert_eq!(plain("…"), "");
        assert_eq!(plain(&"a-".repeat(60)).len(), 39);
        assert_eq!(joined([plain("…"), plain("CA 1"), short(&[0xab; 32])]), "ca-1-abababab");
    }

    fn file(name: &str, contents: &str, replaces: bool) -> NewFile {
        NewFile { name: name.to_owned(), contents: contents.into(), replaces }
    }

    #[test]
    fn a_file_is_replaced_only_if_allowed_and_no_hidden_file_remains() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("new/vendor-cas");
        write_files(&place, &[file("a", "1", false), file("list", "1", true)]).unwrap();
        let error = write_files(&place, &[file("b", "2", false), file("a", "2", false)]).unwrap_err();
        assert!(error.to_string().contains("/a: File exists"), "{error}");
        write_files(&place, &[file("list", "2", true)]).unwrap();
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
