use std::fmt;

use pawl_wildcard::Step;

use super::is_printable_ascii;

/// A pattern's text and its parsed form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Written {
    text: String,
    steps: Vec<Step<u8>>,
}

impl Written {
    pub(super) fn new(text: String) -> Self {
        let mut steps = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            steps.push(match byte {
                b'*' => Step::Within,
                b'?' => Step::One,
                // A trailing backslash is literal.
                b'\\' => Step::Exactly(bytes.next().unwrap_or(b'\\')),
                other => Step::Exactly(other),
            });
        }
        Self { text, steps }
    }

    /// Returns the pattern that matches this text only.
    pub(super) fn literal(text: &str) -> Self {
        let mut written = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, '*' | '?' | '\\') {
                written.push('\\');
            }
            written.push(character);
        }
        Self::new(written)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn steps(&self) -> &[Step<u8>] {
        &self.steps
    }

    pub(super) fn has_wildcards(&self) -> bool {
        self.steps.iter().any(|step| !matches!(step, Step::Exactly(_)))
    }

    /// Returns whether all literal characters are printable ASCII.
    pub(super) fn is_printable_ascii(&self) -> bool {
        is_printable_ascii(&self.text)
    }

    /// Returns the only matching text; `None` if several match.
    pub(super) fn only_text(&self) -> Option<String> {
        let bytes = self.steps.iter().map(|step| match step {
            Step::Exactly(byte) => Some(*byte),
            Step::One | Step::Within | Step::Across => None,
        });
        String::from_utf8(bytes.collect::<Option<_>>()?).ok()
    }

    /// Returns the pattern as bytes for a parser, with a letter in place of each wildcard.
    pub(super) fn stand_in(&self) -> Vec<u8> {
        let byte = |step: &Step<u8>| match step {
            Step::Exactly(byte) => *byte,
            Step::One | Step::Within | Step::Across => b'x',
        };
        self.steps.iter().map(byte).collect()
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Returns whether a part of a text matches a part of a pattern; `stands_for` says which bytes a wildcard may
/// match.
pub(super) fn part_fits(steps: &[Step<u8>], part: &[u8], stands_for: impl Fn(u8) -> bool) -> bool {
    pawl_wildcard::matches(steps, part.iter().copied(), stands_for)
}

/// Splits at spaces, ignoring quotes.
pub(super) fn words(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut words = Vec::new();
    let mut start: usize = 0;
    for word in bytes.split(|byte| *byte == b' ') {
        let end = start.saturating_add(word.len());
        if !word.is_empty() {
            words.push(start..end);
        }
        start = end.saturating_add(1);
    }
    words
}
