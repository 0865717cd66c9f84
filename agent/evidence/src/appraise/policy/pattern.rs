use std::fmt;

use serde::Deserialize;

/// A pattern for a command line: `*` stands for any characters of one word, `?` for one, and `\` takes the meaning
/// of what follows. The whole text must fit.
///
/// Neither stands for white space, so that a pattern says how many words there are: `quiet` does not become
/// `quiet init=/bin/sh`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct CommandPattern {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Exactly(char),
    One,
    Any,
}

impl CommandPattern {
    /// The pattern that fits this text alone.
    pub fn literal(text: &str) -> Self {
        let mut written = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, '*' | '?' | '\\') {
                written.push('\\');
            }
            written.push(character);
        }
        written.into()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The one text that fits; `None` when there are several.
    pub fn only_text(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Exactly(character) => Some(*character),
                Part::One | Part::Any => None,
            })
            .collect()
    }

    /// Whether the whole text fits. Takes time in proportion to the lengths of both.
    pub fn fits(&self, text: &str) -> bool {
        // The set of places in the pattern at which a match of what was read so far may stand.
        let mut places = vec![false; self.parts.len().saturating_add(1)];
        if let Some(first) = places.first_mut() {
            *first = true;
        }
        self.skip_any(&mut places);
        for character in text.chars() {
            let mut next = vec![false; places.len()];
            for ((place, part), standing) in self.parts.iter().enumerate().zip(&places) {
                let (stays, moves) = match part {
                    Part::Exactly(exactly) => (false, *exactly == character),
                    Part::One => (false, !character.is_whitespace()),
                    Part::Any => (!character.is_whitespace(), false),
                };
                for (to, reached) in [(place, stays), (place.saturating_add(1), moves)] {
                    if let Some(next) = next.get_mut(to).filter(|_| *standing && reached) {
                        *next = true;
                    }
                }
            }
            self.skip_any(&mut next);
            places = next;
        }
        places.last().copied().unwrap_or_default()
    }

    /// `*` also stands for nothing.
    fn skip_any(&self, places: &mut [bool]) {
        for (place, part) in self.parts.iter().enumerate() {
            let standing = places.get(place).copied().unwrap_or_default();
            if let Some(next) =
                places.get_mut(place.saturating_add(1)).filter(|_| *part == Part::Any && standing)
            {
                *next = true;
            }
        }
    }
}

impl From<String> for CommandPattern {
    fn from(written: String) -> Self {
        let mut parts = Vec::new();
        let mut characters = written.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                // One at the end stands for itself.
                '\\' => Part::Exactly(characters.next().unwrap_or('\\')),
                other => Part::Exactly(other),
            });
        }
        Self { written, parts }
    }
}

impl fmt::Debug for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        CommandPattern::from(pattern.to_owned()).fits(text)
    }

    #[test]
    fn the_whole_text_fits_or_nothing() {
        assert!(fits("quiet", "quiet"));
        assert!(!fits("quiet", "quiet "));
        assert!(!fits("quiet", "quie"));
        assert!(fits("", ""));
        assert!(!fits("", "x"));
    }

    #[test]
    fn a_star_stays_within_its_word() {
        assert!(fits("root=UUID=* ro", "root=UUID=12-34 ro"));
        assert!(fits("root=*", "root="));
        assert!(fits("a*b*c", "aXbYbc"));
        assert!(!fits("root=* ro", "root=/dev/sda init=/bin/sh ro"));
        assert!(!fits("root=*", "root=/dev/sda init=/bin/sh"));
        assert!(!fits("root=*", "root=\ninit=/bin/sh"));
        assert!(fits("v?", "v1") && !fits("v?", "v") && !fits("v?", "v "));
    }

    #[test]
    fn a_literal_fits_itself_alone() {
        let text = r"linux /boot/vmlinuz-* a?b\c";
        let pattern = CommandPattern::literal(text);
        assert!(pattern.fits(text));
        assert!(!pattern.fits(r"linux /boot/vmlinuz-6 a?b\c"));
        assert_eq!(pattern.only_text().as_deref(), Some(text));
        assert_eq!(CommandPattern::from("a*".to_owned()).only_text(), None);
    }

    #[test]
    fn many_stars_take_no_more_time_than_the_lengths() {
        let (pattern, text) = ("a*".repeat(500) + "b", "a".repeat(2000));
        assert!(!fits(&pattern, &text));
    }
}
