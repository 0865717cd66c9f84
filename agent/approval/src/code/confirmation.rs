use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::CodeError;
use super::letters::Letters;

/// What the approver was shown and the device wants: `BCDF-GHJK`. Secret as a whole.
#[derive(Clone)]
pub struct Confirmation(Letters<8>);

impl Confirmation {
    /// A new confirmation from random bytes, such as those of `getrandom::fill`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn generate<E>(fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        Letters::draw(fill).map(Self)
    }

    /// The SHA-256 of the letters, for keeping instead of them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Whether the letters are those of the digest. Takes as long if not.
    #[must_use]
    pub fn matches(&self, digest: &[u8; 32]) -> bool {
        self.digest().ct_eq(digest).into()
    }
}

impl FromStr for Confirmation {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Letters::parse(text).map(Self)
    }
}

/// The confirmation itself, for the screen that it belongs on.
impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmation(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_matches_itself_only() {
        let confirmation: Confirmation = "bcdf-ghjk".parse().unwrap();
        let other: Confirmation = "BCDF-GHJL".parse().unwrap();
        assert!(confirmation.matches(&confirmation.digest()));
        assert!(!other.matches(&confirmation.digest()));
        assert_eq!(format!("{confirmation} {confirmation:?}"), "BCDF-GHJK Confirmation(…)");
    }

    #[test]
    fn a_new_one_can_be_typed_in() {
        let confirmation = Confirmation::generate(getrandom::fill).unwrap();
        let typed: Confirmation = confirmation.to_string().to_lowercase().parse().unwrap();
        assert!(typed.matches(&confirmation.digest()));
    }
}
