use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::CodeError;
use super::letters::Letters;

const LEN: usize = 12;
const HANDLE_LEN: usize = 4;

/// The code on the device's screen: `BCDF-GHJK-LMNP`.
///
/// The first group names the session and is no secret. The other eight letters are one: 34 bits, enough
/// only because wrong tries are few.
#[derive(Clone)]
pub struct UserCode(Letters<LEN>);

impl UserCode {
    /// A new code from random bytes, such as those of `getrandom::fill`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn generate<E>(fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        Letters::draw(fill).map(Self)
    }

    /// The first group, in upper case: finds the session.
    #[must_use]
    pub fn handle(&self) -> &str {
        let (handle, _secret) = self.split();
        // Letters of ASCII: always UTF-8.
        str::from_utf8(handle).unwrap_or_default()
    }

    /// The SHA-256 of the secret letters, for keeping instead of them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let (_handle, secret) = self.split();
        Sha256::digest(secret).into()
    }

    /// Whether the secret letters are those of the digest. Takes as long if not.
    #[must_use]
    pub fn matches(&self, digest: &[u8; 32]) -> bool {
        self.digest().ct_eq(digest).into()
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.0.as_bytes().split_at(HANDLE_LEN)
    }
}

impl FromStr for UserCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Letters::parse(text).map(Self)
    }
}

/// The whole code, for the screen that it belongs on.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserCode({}-…)", self.handle())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handle_is_open_and_the_rest_is_not() {
        let code: UserCode = "bcdf ghjk lmnp".parse().unwrap();
        assert_eq!(code.handle(), "BCDF");
        assert_eq!(format!("{code:?}"), "UserCode(BCDF-…)");
        assert_eq!(code.to_string(), "BCDF-GHJK-LMNP");
    }

    #[test]
    fn only_the_secret_letters_are_compared() {
        let code: UserCode = "BCDF-GHJK-LMNP".parse().unwrap();
        let same_secret: UserCode = "XXXX-GHJK-LMNP".parse().unwrap();
        let other: UserCode = "BCDF-GHJK-LMNQ".parse().unwrap();
        assert!(code.matches(&code.digest()));
        assert!(same_secret.matches(&code.digest()));
        assert!(!other.matches(&code.digest()));
    }

    #[test]
    fn new_codes_differ() {
        let [a, b] = [(); 2].map(|()| UserCode::generate(getrandom::fill).unwrap());
        assert_ne!(a.digest(), b.digest());
        assert_eq!(a.to_string().parse::<UserCode>().unwrap().digest(), a.digest());
    }
}
