//! Whose signatures count: an `allowed_signers` file, in the form of ssh-keygen(1), ALLOWED SIGNERS.
//!
//! ```text
//! alice@example.com namespaces="pawl-approval@v1" ssh-ed25519 AAAA…
//! bob@example.com   valid-before="20270101Z"      sk-ssh-ed25519@openssh.com AAAA…
//! ```
//!
//! Decisions are those of `ssh-keygen -Y verify`, with these differences, all to the safe side or told:
//! - a date without a `Z`, which `ssh-keygen` reads in the host's time zone, is refused;
//! - `cert-authority` is not supported, and a file that has it is refused;
//! - a line that is wrong makes the whole file wrong, wherever it stands.

mod error;
mod line;
mod options;
mod pattern;
mod principal;
mod refusal;
mod time;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

pub use self::error::{AllowedSignersError, LineError};
use self::line::Line;
pub use self::principal::{Approver, NotAPrincipal, Principal};
pub use self::refusal::Refusal;
pub use self::time::{NotATime, Time};
use crate::sshsig::VerifiedKey;

/// Thousands of keys.
const MAX_LEN: u64 = 1 << 20;

/// The keys that may approve, with whose they are.
#[derive(Clone, Debug)]
pub struct AllowedSigners(Vec<Line>);

impl AllowedSigners {
    /// Reads the file, of at most 1 MiB.
    ///
    /// # Errors
    /// [`AllowedSignersError`] when it cannot be read, or names the first line that is wrong.
    pub fn load(path: &Path) -> Result<Self, AllowedSignersError> {
        let mut text = Vec::new();
        File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_LEN {
            return Err(AllowedSignersError::TooLong);
        }
        Self::parse(&String::from_utf8(text).map_err(|_| AllowedSignersError::NotText)?)
    }

    /// Reads the content of such a file. Empty lines and comments (`#`) are passed over.
    ///
    /// # Errors
    /// [`AllowedSignersError`] names the first line that is wrong.
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

    /// Whether nobody is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key this is, if it counts for `namespace` at `now_s` (Unix time in seconds). Of several lines
    /// with the key, any one that allows it suffices.
    ///
    /// # Errors
    /// [`Refusal`]: of the line that came nearest to allowing it.
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
