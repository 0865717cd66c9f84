use std::fmt;

use pawl_wildcard::Step;
use thiserror::Error;

/// The length limit of a pattern, which bounds the cost of a comparison.
const PATTERN_MAX_LEN: usize = 512;

/// A pattern that matches whole paths, byte by byte: `*` matches any bytes but `/`, `**` any bytes, `?` one byte
/// but `/`. Logs have underscores for spaces; in a pattern, a space or an underscore matches either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    steps: Vec<Step<u8>>,
}

/// Why a text is not a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty or too long.
    #[error("a path pattern has 1 to {PATTERN_MAX_LEN} bytes")]
    Length,
    /// Three or more stars mean nothing that two do not.
    #[error("`***` in a path pattern: `*` stands for anything but a slash, `**` for anything")]
    Stars,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > PATTERN_MAX_LEN {
            return Err(PatternError::Length);
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        let mut steps = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            steps.push(match byte {
                b'*' if bytes.next_if_eq(&b'*').is_some() => Step::Across,
                b'*' => Step::Within,
                b'?' => Step::One,
                b' ' => Step::Exactly(b'_'),
                byte => Step::Exactly(byte),
            });
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the whole path matches. Takes at most time proportional to path × pattern.
    pub fn matches(&self, path: &[u8]) -> bool {
        pawl_wildcard::matches(&self.steps, path.iter().copied(), |byte| byte != b'/')
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        PathPattern::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_match_within_a_directory_and_across() {
        assert!(matches("/var/log/*", b"/var/log/syslog"));
        assert!(!matches("/var/log/*", b"/var/log/journal/system.journal"));
        assert!(matches("/var/log/**", b"/var/log/journal/system.journal"));
        assert!(matches("/var/**/*.journal", b"/var/log/a/b/system.journal"));
        assert!(!matches("/var/**/*.journal", b"/var/log/a/b.journal/x"));
        assert!(matches("**", b""));
        assert!(matches("/run/?/x", b"/run/1/x") && !matches("/run/?/x", b"/run///x"));
        assert!(matches("/a*b*c", b"/abbbcbc") && !matches("/a*b*c", b"/abbb/c"));
    }

    #[test]
    fn a_pattern_is_about_the_whole_path() {
        assert!(!matches("/var/log", b"/var/log/x"));
        assert!(!matches("/var/log", b"/x/var/log"));
    }

    #[test]
    fn names_need_not_be_utf_8_and_spaces_are_underscores() {
        assert!(matches("/srv/*.bin", b"/srv/\xff\xfe.bin"));
        assert!(matches("/srv/my file", b"/srv/my_file"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(PathPattern::new(""), Err(PatternError::Length));
        assert_eq!(PathPattern::new(&"x".repeat(513)), Err(PatternError::Length));
        assert_eq!(PathPattern::new("/a/***"), Err(PatternError::Stars));
    }

    #[test]
    fn many_stars_cost_no_more_than_path_times_pattern() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, "a".repeat(4000).replace("aaaaaaaaaaa", "aaaaaaaaaa/").as_bytes()));
    }
}
