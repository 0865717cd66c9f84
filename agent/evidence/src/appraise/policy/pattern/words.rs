use std::fmt;
use std::ops::Range;

use pawl_wildcard::Step;

use super::is_printable_ascii;

/// A pattern's text and its parsed form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PatternText {
    text: String,
    steps: Vec<Step<u8>>,
}

impl PatternText {
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

impl fmt::Debug for PatternText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Returns whether a part of a text matches a part of a pattern. `stands_for` decides which bytes a wildcard matches.
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

/// One parameter of a kernel command line, with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// The parameter's bytes in the line.
    pub(super) at: Range<usize>,
    /// Whether it has the form `name=…`.
    pub(super) has_value: bool,
}

/// Splits a line into parameters as Linux does (`parse_args` and `next_arg` of kernel/params.c and
/// lib/cmdline.c). Parameters after `--` are arguments of init; they are split the same way.
pub(super) fn parameters(line: &[u8]) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut next = 0;
    while let Some(start) = position(line, next, |byte| !is_space(byte)) {
        let parameter = parameter(line, start);
        // The next byte is white space.
        next = parameter.at.end.saturating_add(1);
        parameters.push(parameter);
    }
    parameters
}

fn parameter(line: &[u8], start: usize) -> Parameter {
    let rest = line.get(start..).unwrap_or_default();
    // A leading quote begins a quoted name; the kernel strips it.
    let name = rest.strip_prefix(b"\"").unwrap_or(rest);
    let mut in_quotes = name.len() < rest.len();
    let mut has_value = false;
    let mut len = name.len();
    for (position, byte) in name.iter().enumerate() {
        if is_space(*byte) && !in_quotes {
            len = position;
            break;
        }
        // A leading `=` belongs to the name.
        has_value |= *byte == b'=' && position > 0;
        in_quotes ^= *byte == b'"';
    }
    let quote = rest.len().saturating_sub(name.len());
    let end = start.saturating_add(quote).saturating_add(len);
    Parameter { at: start..end, has_value }
}

/// `isspace` of lib/ctype.c: Latin-1, whose no-break space is the last byte of many UTF-8 characters.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

fn position(line: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    let found = line.get(from..)?.iter().position(|byte| is(*byte))?;
    from.checked_add(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &[u8]) -> Vec<(String, bool)> {
        let shown = |parameter: Parameter| {
            (String::from_utf8_lossy(&line[parameter.at]).into_owned(), parameter.has_value)
        };
        parameters(line).into_iter().map(shown).collect()
    }

    #[test]
    fn a_line_is_split_where_the_kernel_splits_it() {
        let owned = |parameters: &[(&str, bool)]| -> Vec<(String, bool)> {
            parameters.iter().map(|(text, has_value)| ((*text).to_owned(), *has_value)).collect()
        };
        assert_eq!(
            cut(b"  a  b=c\t-- d "),
            owned(&[("a", false), ("b=c", true), ("--", false), ("d", false)])
        );
        assert_eq!(cut(b"a=\"b c\" d"), owned(&[("a=\"b c\"", true), ("d", false)]));
        assert_eq!(cut(b"\"a b=c d\" e"), owned(&[("\"a b=c d\"", true), ("e", false)]));
        assert_eq!(cut(b"a=\" b c=d"), owned(&[("a=\" b c=d", true)]));
        assert_eq!(cut(b"=a =b=c \"=d"), owned(&[("=a", false), ("=b=c", true), ("\"=d", false)]));
        assert_eq!(cut(b"a\x0bb\xa0c"), owned(&[("a", false), ("b", false), ("c", false)]));
        assert_eq!(cut(b" \" "), owned(&[("\" ", false)]));
        assert_eq!(cut(b""), []);
    }
}
