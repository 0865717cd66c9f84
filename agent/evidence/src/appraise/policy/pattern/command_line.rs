use pawl_wildcard::Step;
use serde::Deserialize;

use super::words::{Parameter, PatternText, parameters, part_fits, words};
use super::{Pattern, PatternError, only_literally};

/// A pattern for the kernel's command line, parameter by parameter.
///
/// Line and pattern are split into parameters as the kernel does it, double quotes included. They match if they
/// have the same number of parameters and each parameter matches its counterpart. Names of parameters are
/// literal: a wildcard may only follow a `=`, or be in a word that begins with `/` or `(`, such as the kernel's
/// path that GRUB puts in front.
///
/// A wildcard matches printable ASCII except a space, a quote, `\` and `$`. The kernel interprets double quotes,
/// systemd single ones too, old versions of systemd `\`, and U-Boot replaces `${…}` after it has measured the
/// line. A line with other characters, or longer than some kernel keeps, matches only the pattern without
/// wildcards that has its whole text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CommandLinePattern {
    written: PatternText,
    parameters: Vec<Parameter>,
}

impl CommandLinePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says which wildcard or character is not allowed.
    pub fn new(text: String) -> Result<Self, PatternError> {
        let written = PatternText::new(text);
        if written.has_wildcards() {
            if !written.is_printable_ascii() {
                return Err(PatternError::Characters(written.as_str().to_owned()));
            }
            // Even where the kernel sees one quoted value, other readers of /proc/cmdline see words.
            let is_unsafe = |word| has_wildcard_in_name(written.steps().get(word).unwrap_or_default());
            if words(&written.stand_in()).into_iter().any(is_unsafe) {
                return Err(PatternError::Name(written.as_str().to_owned()));
            }
        }
        Ok(Self::of(written))
    }

    /// Returns the pattern that matches this text, and texts that differ in the number of spaces between
    /// parameters.
    pub fn literal(text: &str) -> Self {
        Self::of(PatternText::literal(text))
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        self.written.as_str()
    }

    /// Returns the literal text; `None` if the pattern has wildcards.
    pub fn only_text(&self) -> Option<String> {
        self.written.only_text()
    }

    /// Returns whether the whole line matches. Takes at most time proportional to line × pattern.
    pub fn fits(&self, line: &str) -> bool {
        if self.only_text().is_some_and(|text| text == line) {
            return true;
        }
        if only_literally(line).is_some() {
            return false;
        }
        let bytes = line.as_bytes();
        let found = parameters(bytes);
        found.len() == self.parameters.len()
            && self
                .parameters
                .iter()
                .zip(&found)
                .all(|(expected, found)| self.fits_one(expected, found, bytes))
    }

    fn fits_one(&self, expected: &Parameter, found: &Parameter, line: &[u8]) -> bool {
        let (steps, text) = (self.written.steps().get(expected.at.clone()), line.get(found.at.clone()));
        let (Some(steps), Some(text)) = (steps, text) else { return false };
        // A path must not become a name with a value.
        let stands_for = |byte| is_plain(byte) && (expected.has_value || byte != b'=');
        expected.has_value == found.has_value && part_fits(steps, text, stands_for)
    }

    fn of(written: PatternText) -> Self {
        let parameters = parameters(&written.stand_in());
        Self { written, parameters }
    }
}

impl Pattern for CommandLinePattern {
    fn only_text(&self) -> Option<String> {
        self.only_text()
    }

    fn fits(&self, text: &str) -> bool {
        self.fits(text)
    }

    fn normal_form(text: &str) -> Option<String> {
        if only_literally(text).is_some() {
            return None;
        }
        let parts = parameters(text.as_bytes()).into_iter().filter_map(|parameter| text.get(parameter.at));
        Some(parts.collect::<Vec<_>>().join(" "))
    }
}

impl TryFrom<String> for CommandLinePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

/// Returns whether a wildcard may match this byte.
fn is_plain(byte: u8) -> bool {
    pawl_wildcard::is_plain(byte) && !matches!(byte, b'\'' | b'\\' | b'$')
}

/// Returns whether a wildcard in this word could be part of a parameter's name.
pub(super) fn has_wildcard_in_name(word: &[Step<u8>]) -> bool {
    let is_literal = |step: &Step<u8>| matches!(step, Step::Exactly(_));
    let equals = Step::Exactly(b'=');
    let is_path = matches!(word.first(), Some(Step::Exactly(b'/' | b'('))) && !word.contains(&equals);
    if is_path || word.iter().all(is_literal) {
        return false;
    }
    let mut before = word.iter().take_while(|step| is_literal(step));
    // A leading `=` belongs to the name, even after a quote.
    let has_name = before.any(|step| *step != equals && *step != Step::Exactly(b'"'));
    !(has_name && before.any(|step| *step == equals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appraise::policy::pattern::WILDCARD_TEXT_MAX;

    fn pattern(text: &str) -> CommandLinePattern {
        CommandLinePattern::new(text.to_owned()).unwrap()
    }

    fn fits(text: &str, line: &str) -> bool {
        pattern(text).fits(line)
    }

    #[test]
    fn a_pattern_must_match_the_whole_line() {
        assert!(fits("quiet", "quiet"));
        assert!(!fits("quiet", "quie"));
        assert!(!fits("quiet", "quiet quiet"));
        assert!(fits("", "") && !fits("", "x"));
        assert!(fits("quiet ro", " quiet  ro ") && !fits("quiet ro", "quiet\tro"));
    }

    #[test]
    fn a_star_stays_within_its_parameter() {
        assert!(fits("root=UUID=* ro", "root=UUID=12-34 ro"));
        assert!(fits("root=*", "root="));
        assert!(fits("a=a*b*c", "a=aXbYbc"));
        assert!(!fits("root=* ro", "root=/dev/sda init=/bin/sh ro"));
        assert!(!fits("root=*", "root=/dev/sda init=/bin/sh"));
        assert!(!fits("root=*", "root=\ninit=/bin/sh"));
        assert!(fits("v=?", "v=1") && !fits("v=?", "v=") && !fits("v=?", "v= "));
        assert!(fits("/boot/vmlinuz-* ro", "/boot/vmlinuz-6.1 ro"));
        assert!(!fits("/boot/vmlinuz-* ro", "/boot/vmlinuz-6.1=x ro"));
    }

    #[test]
    fn a_wildcard_matches_no_byte_that_other_parsers_interpret() {
        for line in [
            "console=ttyS0\u{e0}init=/bin/sh",
            "console=ttyS0\u{a0}init=/bin/sh",
            "console=tty\"S0",
            "console='tty",
            "console=tty\\",
            "console=${x}",
            "console=\u{fc}",
            "console=tty\x7f",
        ] {
            assert!(!fits("console=*", line), "{line}");
            assert!(!fits("console=*?*", line), "{line}");
            assert!(CommandLinePattern::literal(line).fits(line), "{line}");
        }
        assert!(!fits("console=* ima_policy=tcb", "console=\" ima_policy=tcb"));
        assert!(!fits("console=* ima_policy=tcb", "console=\"x ima_policy=tcb\" ima_policy=tcb"));
    }

    #[test]
    fn a_quoted_value_is_one_parameter() {
        assert!(fits("dyndbg=\"file a +p\" ro", "dyndbg=\"file a +p\" ro"));
        assert!(fits("a=\"b=*\" ro", "a=\"b=c\" ro"));
        assert!(!fits("a=\"b=*\" ro", "a=\"b=c ro\" ro"));
    }

    #[test]
    fn wildcards_in_names_are_refused() {
        let texts =
            ["*", "?", "con*=ttyS0", "-?", "=*", "\"=*", "a \"b *\"", "a=\"file * +p\"", "quiet?", "/a*=b"];
        for text in texts {
            let error = CommandLinePattern::new(text.to_owned()).unwrap_err();
            assert_eq!(error, PatternError::Name(text.to_owned()));
        }
        let error = CommandLinePattern::new("a=* \u{e0}".to_owned()).unwrap_err();
        assert_eq!(error, PatternError::Characters("a=* \u{e0}".to_owned()));
        assert!(fits(r"\* \?=*", "* ?=x"));
    }

    #[test]
    fn a_line_longer_than_the_kernel_keeps_matches_no_wildcard() {
        let long = |len: usize| format!("console={} ima_policy=tcb", "x".repeat(len - 23));
        assert_eq!(long(WILDCARD_TEXT_MAX).len(), WILDCARD_TEXT_MAX);
        assert!(fits("console=* ima_policy=tcb", &long(WILDCARD_TEXT_MAX)));
        assert!(!fits("console=* ima_policy=tcb", &long(WILDCARD_TEXT_MAX + 1)));
        let line = long(3000);
        assert!(CommandLinePattern::literal(&line).fits(&line));
        assert!(!fits("quiet", &format!("{}quiet", " ".repeat(3000))));
    }

    #[test]
    fn a_literal_matches_only_itself() {
        let text = r"/boot/vmlinuz-* a?b\c";
        let pattern = CommandLinePattern::literal(text);
        assert!(pattern.fits(text));
        assert!(!pattern.fits(r"/boot/vmlinuz-6 a?b\c"));
        assert_eq!(pattern.only_text().as_deref(), Some(text));
        assert_eq!(CommandLinePattern::new("a=*".to_owned()).unwrap().only_text(), None);
    }

    #[test]
    fn time_is_bounded_with_many_stars() {
        let (pattern, text) = (format!("a={}b", "a*".repeat(500)), format!("a={}", "a".repeat(1000)));
        assert!(!fits(&pattern, &text));
    }
}
