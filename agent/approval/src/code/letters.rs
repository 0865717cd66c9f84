//! The letters of codes: no vowels, so that no words arise, and nothing that looks like another
//! (RFC 8628, section 6.1).

use std::fmt::{self, Write as _};

use zeroize::Zeroizing;

const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Bytes below it stand for each letter equally often.
const FAIR: u8 = 240;
const GROUP: usize = 4;

/// `N` letters, in upper case.
#[derive(Clone)]
pub(super) struct Letters<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> Letters<N> {
    /// Letters drawn from random bytes, each as likely as any other.
    pub(super) fn draw<E>(mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut letters = Zeroizing::new([0; N]);
        for slot in letters.iter_mut() {
            *slot = draw_letter(&mut fill)?;
        }
        Ok(Self(letters))
    }

    /// What a person typed: in any case, with dashes and spaces anywhere.
    pub(super) fn parse(text: &str) -> Result<Self, CodeError> {
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

    pub(super) fn as_bytes(&self) -> &[u8; N] {
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

/// What was typed is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Too few letters or too many.
    #[error("a code of {expected} letters is wanted, in groups of four")]
    Length {
        /// How many letters there must be.
        expected: usize,
    },
    /// A character that no code has.
    #[error("`{}` is in no code: the letters are {}", .0.escape_debug(), ALPHABET.escape_ascii())]
    Letter(char),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

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
