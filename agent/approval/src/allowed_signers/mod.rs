//! Who may approve: an `allowed_signers` file, as in ssh-keygen(1), ALLOWED SIGNERS.
//!
//! ```text
//! alice@example.com namespaces="pawl-approval@v1" ssh-ed25519 AAAA…
//! bob@example.com   valid-before="20270101Z"      sk-ssh-ed25519@openssh.com AAAA…
//! ```
//!
//! Decisions are those of `ssh-keygen -Y verify`, except that the whole file is refused if
//! - a date has no `Z`: `ssh-keygen` reads it in the host's time zone;
//! - a line has `cert-authority`, which is not supported;
//! - any line is malformed.

mod error;
mod line;
mod principal;
mod time;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::sshsig::VerifiedKey;
use line::Line;

pub use error::{AllowedSignersError, LineError, Refusal};
pub use principal::{Approver, NotAPrincipal, Principal};
pub use time::{NotATime, Time};

/// The size limit of the file, in bytes: thousands of keys.
const MAX_LEN: u64 = 1 << 20;

/// The keys that may approve, and their principals.
#[derive(Clone, Debug)]
pub struct AllowedSigners(Vec<Line>);

impl AllowedSigners {
    /// Reads the file, of at most 1 MiB.
    ///
    /// # Errors
    /// [`AllowedSignersError`] if it cannot be read; names the first malformed line.
    pub fn load(path: &Path) -> Result<Self, AllowedSignersError> {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_LEN {
            return Err(AllowedSignersError::TooLong);
        }
        Self::parse(&String::from_utf8(text).map_err(|_| AllowedSignersError::NotText)?)
    }

    /// Parses the content of such a file. Ignores empty lines and comments (`#`).
    ///
    /// # Errors
    /// [`AllowedSignersError`] names the first malformed line.
    pub fn parse(text: &str) -> Result<Self, AllowedSignersError> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = Line::parse(number, line)
                .map_err(|error| AllowedSignersError::Line { line: number, error })?;
            lines.push(line);
        }
        Ok(Self(lines))
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whose key this is, if it is valid for `namespace` at `now_s` (Unix time in seconds). If several lines
    /// have the key, one that allows it suffices.
    ///
    /// # Errors
    /// The [`Refusal`] of the line that met the most conditions.
    pub fn approver(&self, key: &VerifiedKey, namespace: &str, now_s: u64) -> Result<Approver, Refusal> {
        let mut nearest = Refusal::Unknown { key: key.fingerprint() };
        for line in self.0.iter().filter(|line| line.key == *key.key()) {
            match line.allows(namespace, now_s) {
                Ok(()) => {
                    return Ok(Approver { principal: line.principal.clone(), key: key.fingerprint() });
                }
                Err(refusal) if refusal.nearness() > nearest.nearness() => nearest = refusal,
                Err(_) => {}
            }
        }
        Err(nearest)
    }
}
