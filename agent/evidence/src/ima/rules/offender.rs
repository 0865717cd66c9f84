use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::entry::Entry;

/// Longer paths are cut: what stands at their end tells more than what stands at their beginning.
const SHOWN_PATH_MAX_LEN: usize = 200;

/// An entry that nothing explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// Its line in `ascii_runtime_measurements`, as people count.
    pub line: u64,
    /// The path of the file, or the name of what else was measured, with what cannot be printed escaped. A claim
    /// where the entry is a violation.
    pub path: String,
    /// What was measured, as the kernel writes it: `sha256:…`.
    pub digest: Option<String>,
    /// What is wrong with it.
    pub why: Why,
}

/// Why an entry is not explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Why {
    /// No rule allows its digest, and it is not signed.
    Unknown,
    /// The file was written while it was measured.
    Violation,
    /// Its template is not understood, or it does not have the fields of its template.
    Template,
    /// It was hashed by an algorithm that is too weak or not known.
    Algorithm,
    /// The digest of the firmware's PCRs that the kernel took at its start is not that of the quoted ones.
    BootAggregate,
    /// The attribute is no signature, or none of a form that is known.
    SignatureForm,
    /// An EVM signature: it covers the file's metadata, which the log does not have.
    SignatureOfMetadata,
    /// Nobody who may sign has this key id.
    Signer {
        /// The last four bytes of the key's identifier.
        key_id: u32,
    },
    /// The key id is known, and the signature is not by that key.
    Signature {
        /// The last four bytes of the key's identifier.
        key_id: u32,
    },
    /// The signature is over a digest of another algorithm than the one in the log.
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
            Self::Violation => f.write_str("it was written while it was measured, so what ran is not known"),
            Self::Template => f.write_str("its template is not understood"),
            Self::Algorithm => f.write_str("its hash is too weak or not known; boot with ima_hash=sha256"),
            Self::BootAggregate => {
                f.write_str("the PCRs that the kernel found at its start are not the quoted ones")
            }
            Self::SignatureForm => f.write_str("its signature is of no known form"),
            Self::SignatureOfMetadata => {
                f.write_str("it has an EVM signature alone, which does not cover its contents")
            }
            Self::Signer { key_id } => write!(f, "it is signed by the key {key_id:08x}, which no signer has"),
            Self::Signature { key_id } => write!(f, "its signature by the key {key_id:08x} is false"),
            Self::SignedHash => f.write_str("its signature is over a digest that is not in the log"),
        }
    }
}

/// A path for people: UTF-8 as it is, everything that cannot be printed escaped.
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
    use super::shown;

    #[test]
    fn paths_are_shown_so_that_nothing_in_them_acts_on_a_terminal() {
        assert_eq!(shown("/srv/Größe".as_bytes()), "/srv/Größe");
        assert_eq!(shown(b"/a\xff\x1b[31m\n"), "/a\\xff\\u{1b}[31m\\n");
        assert_eq!(shown("/a\u{202e}b".as_bytes()), "/a\\u{202e}b");
        assert!(shown(&[b'x'; 4000]).len() < 210);
    }
}
