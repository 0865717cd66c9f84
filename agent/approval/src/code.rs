//! Codes that people carry from one screen to another.
//!
//! The device shows the [`UserCode`]; the approver types it, which proves that they see that device. The approver's
//! screen shows the [`Confirmation`], which somebody types at the device. Both are short enough to read out over a
//! telephone, so they are only as good as the limit on wrong tries.
//!
//! Codes have no vowels, so that no words arise, and no letter that looks like another (RFC 8628, section 6.1).

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const LEN: usize = 12;
const HANDLE_LEN: usize = 4;

/// The code on the device's screen: `BCDF-GHJK-LMNP`.
///
/// The first group identifies the session and is not secret. The other eight letters are the secret: 34 bits, which is
/// enough only with a limit on wrong tries.
#[derive(Clone)]
pub struct UserCode(Letters<LEN>);

impl UserCode {
    /// Generates a code from random bytes, such as those of `getrandom::fill`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn generate<E>(fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        Letters::draw(fill).map(Self)
    }

    /// Returns the first group in upper case, which identifies the session.
    #[must_use]
    pub fn handle(&self) -> &str {
        let (handle, _secret) = self.split();
        // ASCII is always UTF-8.
        str::from_utf8(handle).unwrap_or_default()
    }

    /// Returns the SHA-256 of the secret letters, to store instead of them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let (_handle, secret) = self.split();
        Sha256::digest(secret).into()
    }

    /// Returns whether the secret letters have this digest, in constant time.
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

/// Writes the whole code, for the device's screen.
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

/// The confirmation code: `BCDF-GHJK`. All letters are secret.
#[derive(Clone)]
pub struct Confirmation(Letters<8>);

impl Confirmation {
    /// Generates a code from random bytes, such as those of `getrandom::fill`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn generate<E>(fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        Letters::draw(fill).map(Self)
    }

    /// Returns the SHA-256 of the letters, to store instead of them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// Returns whether the letters have this digest, in constant time.
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

/// Writes the code, for the approver's screen.
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

const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// The random bytes below it are divided evenly among the letters.
const FAIR: u8 = 240;
const GROUP: usize = 4;

/// `N` letters, in upper case.
#[derive(Clone)]
struct Letters<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> Letters<N> {
    /// Draws letters with equal probability.
    fn draw<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut letters = Zeroizing::new([0; N]);
        for slot in letters.iter_mut() {
            *slot = draw_letter(&mut fill)?;
        }
        Ok(Self(letters))
    }

    /// Parses what a person typed: in any case, with dashes and spaces anywhere.
    fn parse(text: &str) -> Result<Self, CodeError> {
        let mut letters = Zeroizing::new([0; N]);
        let mut slots = letters.iter_mut();
        for character in text.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
            let letter = u8::try_from(character.to_ascii_uppercase()).ok();
            let letter = letter.filter(|l| ALPHABET.contains(l)).ok_or(CodeError::Letter(character))?;
            *slots.next().ok_or(CodeError::Length { expected: N })? = letter;
        }
        if slots.next().is_some() {
            return Err(CodeError::Length { expected: N });
        }
        Ok(Self(letters))
    }

    fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Letters<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                f.write_char('-')?;
            }
            f.write_char(char::from(*letter))?;
        }
        Ok(())
    }
}

fn draw_letter<E>(fill: &mut impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<u8, E> {
    let mut byte = Zeroizing::new([0]);
    loop {
        fill(&mut *byte)?;
        let [drawn] = *byte;
        if drawn < FAIR {
            let letter = ALPHABET.iter().cycle().nth(usize::from(drawn));
            return Ok(letter.copied().unwrap_or_default());
        }
    }
}

/// The text is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Too few letters or too many.
    #[error("a code of {expected} letters is wanted, in groups of four")]
    Length {
        /// The number of letters of a code.
        expected: usize,
    },
    /// A character that codes do not use.
    #[error("`{}` is in no code: the letters are {}", .0.escape_debug(), ALPHABET.escape_ascii())]
    Letter(char),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

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

    /// Draws from these bytes, one after the other.
    fn from_bytes(bytes: impl IntoIterator<Item = u8>) -> impl FnMut(&mut [u8]) -> Result<(), Infallible> {
        let mut bytes = bytes.into_iter();
        move |out| {
            out.fill_with(|| bytes.next().expect("enough bytes"));
            Ok(())
        }
    }

    #[test]
    fn every_letter_stands_for_as_many_bytes() {
        let mut counts = [0; 256];
        for byte in 0..=u8::MAX {
            // Where the first is rejected the second is drawn.
            let mut fill = from_bytes([byte, 0]);
            counts[usize::from(draw_letter(&mut fill).unwrap())] += 1;
        }
        for letter in ALPHABET {
            let rejected = if *letter == b'B' { 256 - usize::from(FAIR) } else { 0 };
            assert_eq!(counts[usize::from(*letter)], 12 + rejected, "{}", char::from(*letter));
        }
    }

    #[test]
    fn a_failing_source_fails_the_draw() {
        assert_eq!(Letters::<4>::draw(|_| Err("no randomness")).err(), Some("no randomness"));
    }

    #[test]
    fn what_people_type() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " b c d f  g h j k\n", "BCD-FGH-JK", "bcdf\u{a0}ghjk"] {
            let letters = Letters::<8>::parse(typed).map(|letters| letters.to_string());
            assert_eq!(letters.as_deref(), Ok("BCDF-GHJK"), "{typed:?}");
        }
        let error = |typed| Letters::<8>::parse(typed).err();
        assert_eq!(error("BCDF-GHJ"), Some(CodeError::Length { expected: 8 }));
        assert_eq!(error("BCDF-GHJK-L"), Some(CodeError::Length { expected: 8 }));
        assert_eq!(error("BCDF-GHJ0"), Some(CodeError::Letter('0')));
        assert_eq!(error("BCDF-GHJa"), Some(CodeError::Letter('a')));
        // The Kelvin sign, whose lower case is a k.
        assert_eq!(error("BCDF-GHJ\u{212a}"), Some(CodeError::Letter('\u{212a}')));
        assert_eq!(
            CodeError::Letter('\u{1b}').to_string(),
            "`\\u{1b}` is in no code: the letters are BCDFGHJKLMNPQRSTVWXZ"
        );
    }
}
