use std::fmt;

use serde::Deserialize;

use crate::wildcard::{self, Step};

/// A pattern for a command line: `*` stands for any characters of one word, `?` for one, and `\` takes the meaning
/// of what follows. The whole text must fit.
///
/// Neither stands for white space, so that a pattern says how many words there are: `quiet` does not become
/// `quiet init=/bin/sh`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct CommandPattern {
    written: String,
    steps: Vec<Step<char>>,
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
        self.steps
            .iter()
            .map(|step| match step {
                Step::Exactly(character) => Some(*character),
                Step::One | Step::Within | Step::Across => None,
            })
            .collect()
    }

    /// Whether the whole text fits. Takes time in proportion to the text times the pattern at worst.
    pub fn fits(&self, text: &str) -> bool {
        wildcard::matches(&self.steps, text.chars(), char::is_whitespace)
    }
}

impl From<String> for CommandPattern {
    fn from(written: String) -> Self {
        let mut steps = Vec::new();
        let mut characters = written.chars();
        while let Some(character) = characters.next() {
            steps.push(match character {
                '*' => Step::Within,
                '?' => Step::One,
                // One at the end stands for itself.
                '\\' => Step::Exactly(characters.next().unwrap_or('\\')),
                other => Step::Exactly(other),
            });
        }
        Self { written, steps }
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
