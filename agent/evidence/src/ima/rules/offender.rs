use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ima::entry::Entry;

/// The maximum length of a displayed path. Longer paths are cut at the start, because the end contains the file's name.
const SHOWN_PATH_MAX_LEN: usize = 200;

/// An entry that no rule explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// Its line in `ascii_runtime_measurements`, from 1.
    pub line: u64,
    /// The path of the file, or the name of another measured object, with unprintable characters escaped. A
    /// claim if the entry is a violation.
    pub path: String,
    /// The measured digest in the kernel's notation: `sha256:…`.
    pub digest: Option<String>,
    /// Why no rule explains it.
    pub why: Why,
}

/// Why no rule explains an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Why {
    /// No rule allows its digest, and it is not signed.
    Unknown,
    /// The file was written while it was measured.
    Violation,
    /// Its template is unknown, or it does not have the fields of its template.
    Template,
    /// Its hash algorithm is too weak or unknown.
    Algorithm,
    /// The kernel's digest of the PCRs at its start does not match the quoted PCRs.
    BootAggregate,
    /// The attribute is not a signature in a known form.
    SignatureForm,
    /// It is an EVM signature, which covers the file's metadata, and the log does not contain that.
    SignatureOfMetadata,
    /// No signer has this key id.
    Signer {
        /// The last four bytes of the key's identifier.
        key_id: u32,
    },
    /// A signer has the key id, but the signature is not by that key.
    Signature {
        /// The last four bytes of the key's identifier.
        key_id: u32,
    },
    /// The signature is over a digest with another algorithm than the log's.
    SignedHash,
}

impl Offender {
    pub(super) fn new(line: u64, entry: &Entry<'_>, why: Why) -> Self {
        let path = entry.path().map_or_else(|| String::from("(no name)"), shown);
        Self { line, path, digest: entry.file_digest().map(|digest| digest.to_string()), why }
    }
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the IMA log, {}: {}", self.line, self.path, self.why)?;
        match (&self.why, &self.digest) {
            (Why::Violation | Why::Template, _) | (_, None) => Ok(()),
            (_, Some(digest)) => write!(f, " ({digest})"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no rule allows its digest, and it is not signed"),
            Self::Violation => {
                f.write_str("it was written while it was measured, so its content is not known")
            }
            Self::Template => f.write_str("its template is not supported"),
            Self::Algorithm => f.write_str("its hash is too weak or unknown; boot with ima_hash=sha256"),
            Self::BootAggregate => {
                f.write_str("the PCRs that the kernel hashed at its start are not the quoted ones")
            }
            Self::SignatureForm => f.write_str("its signature has an unknown form"),
            Self::SignatureOfMetadata => {
                f.write_str("it has only an EVM signature, which does not cover its contents")
            }
            Self::Signer { key_id } => write!(f, "it is signed by the key {key_id:08x}, which no signer has"),
            Self::Signature { key_id } => write!(f, "its signature by the key {key_id:08x} is not valid"),
            Self::SignedHash => f.write_str("its signature is over a digest that is not in the log"),
        }
    }
}

/// Returns a path for display, with unprintable characters escaped.
fn shown(path: &[u8]) -> String {
    let cut = path.len().saturating_sub(SHOWN_PATH_MAX_LEN);
    let mut text = String::from(if cut > 0 { "…" } else { "" });
    for chunk in path.get(cut..).unwrap_or_default().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\'' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_paths_are_escaped() {
        assert_eq!(shown("/srv/Größe".as_bytes()), "/srv/Größe");
        assert_eq!(shown(b"/a\xff\x1b[31m\n"), "/a\\xff\\u{1b}[31m\\n");
        assert_eq!(shown("/a\u{202e}b".as_bytes()), "/a\\u{202e}b");
        assert!(shown(&[b'x'; 4000]).len() < 210);
    }
}
