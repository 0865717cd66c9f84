use std::ops::Range;

use pawl_wildcard::Step;
use serde::Deserialize;

use super::command_line::has_wildcard_in_name;
use super::words::{PatternText, part_fits, words};
use super::{Pattern, PatternError, only_literally};

/// A pattern for a GRUB command, word by word.
///
/// GRUB measures a command as it executes it: with variables replaced, quotes removed, and words joined by
/// spaces. Command and pattern match if they have the same number of words and each word matches its counterpart
/// and is of the same kind: an option (`-…`), an assignment (`…=…`), or neither. The command's name is literal.
/// In commands that load a kernel, the words after the kernel are its parameters, so wildcards are allowed there
/// only where [`super::CommandLinePattern`] allows them.
///
/// A wildcard matches printable ASCII except a space and characters with a meaning in GRUB scripts, because text
/// that is stored for later, as in `menuentry`, is then parsed as a script. A command with other characters, or
/// one that is too long, matches only the pattern without wildcards that has its whole text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LoaderCommandPattern {
    written: PatternText,
    words: Vec<Range<usize>>,
}

impl LoaderCommandPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says which wildcard or character is not allowed.
    pub fn new(text: String) -> Result<Self, PatternError> {
        let written = PatternText::new(text);
        let pattern = Self::of(written);
        if pattern.written.has_wildcards() {
            pattern.check()?;
        }
        Ok(pattern)
    }

    /// Returns the pattern that matches this text, and texts that differ in the number of spaces between words.
    pub fn literal(text: &str) -> Self {
        Self::of(PatternText::literal(text))
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        self.written.as_str()
    }

    /// Returns whether the whole command matches. Takes at most time proportional to command × pattern.
    pub fn fits(&self, command: &str) -> bool {
        if self.written.only_text().is_some_and(|text| text == command) {
            return true;
        }
        if only_literally(command).is_some() {
            return false;
        }
        let bytes = command.as_bytes();
        let (found, pattern) = (words(bytes), self.written.stand_in());
        found.len() == self.words.len()
            && self.words.iter().zip(&found).all(|(expected, found)| {
                let (steps, text) = (self.steps(expected), bytes.get(found.clone()).unwrap_or_default());
                let kind = Kind::of(pattern.get(expected.clone()).unwrap_or_default());
                kind == Kind::of(text) && part_fits(steps, text, is_plain)
            })
    }

    fn steps(&self, word: &Range<usize>) -> &[Step<u8>] {
        self.written.steps().get(word.clone()).unwrap_or_default()
    }

    /// Checks the restrictions on patterns with wildcards.
    fn check(&self) -> Result<(), PatternError> {
        let text = || self.as_str().to_owned();
        if !self.written.is_printable_ascii() {
            return Err(PatternError::Characters(text()));
        }
        let name = self.words.first().map(|word| self.steps(word)).unwrap_or_default();
        let name: Option<Vec<u8>> = name
            .iter()
            .map(|step| match step {
                Step::Exactly(byte) => Some(*byte),
                Step::One | Step::Within | Step::Across => None,
            })
            .collect();
        // A kernel command line begins with a path, and a log can label it as a command.
        let name = name.filter(|name| name.first().is_some_and(u8::is_ascii_alphabetic));
        let Some(name) = name else { return Err(PatternError::Command(text())) };
        let mut words = self.words.iter().map(|word| self.steps(word));
        if loads_a_kernel(&name) && words.any(has_wildcard_in_name) {
            return Err(PatternError::Name(text()));
        }
        Ok(())
    }

    fn of(written: PatternText) -> Self {
        let words = words(&written.stand_in());
        Self { written, words }
    }
}

impl Pattern for LoaderCommandPattern {
    fn only_text(&self) -> Option<String> {
        self.written.only_text()
    }

    fn fits(&self, text: &str) -> bool {
        self.fits(text)
    }

    fn normal_form(text: &str) -> Option<String> {
        if only_literally(text).is_some() {
            return None;
        }
        let parts = words(text.as_bytes()).into_iter().filter_map(|word| text.get(word));
        Some(parts.collect::<Vec<_>>().join(" "))
    }
}

impl TryFrom<String> for LoaderCommandPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

/// The kind of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Option,
    Assignment,
    Plain,
}

impl Kind {
    fn of(word: &[u8]) -> Self {
        match word {
            [b'-', ..] => Self::Option,
            word if word.contains(&b'=') => Self::Assignment,
            _ => Self::Plain,
        }
    }
}

/// Returns whether the command loads a kernel: `linux`, `linuxefi`, `multiboot2`, `module`, `xen_hypervisor` and
/// similar.
fn loads_a_kernel(name: &[u8]) -> bool {
    [&b"linux"[..], b"multiboot", b"module", b"xen_", b"kernel", b"chainloader"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Returns whether a wildcard may match this byte.
fn is_plain(byte: u8) -> bool {
    pawl_wildcard::is_plain(byte) && !b"'\\$;&|<>{}#".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, command: &str) -> bool {
        LoaderCommandPattern::new(text.to_owned()).unwrap().fits(command)
    }

    #[test]
    fn words_match_only_words_of_their_kind() {
        let search = "search --no-floppy --fs-uuid --set=root *";
        assert!(fits(search, "search --no-floppy --fs-uuid --set=root 12-34"));
        assert!(!fits(search, "search --no-floppy --fs-uuid --set=root 12-34 hd0"));
        assert!(!fits(search, "search --no-floppy --fs-uuid --set=root --hint"));
        assert!(!fits(search, "search --no-floppy --fs-uuid --set=root a=b"));
        assert!(fits("set root=*", "set root=hd0,gpt2") && !fits("set root=*", "set root=hd0 x=y"));
        assert!(fits("linux /vmlinuz-* root=* ro", "linux /vmlinuz-6.1 root=/dev/sda ro"));
        assert!(!fits("linux /vmlinuz-* root=* ro", "linux /vmlinuz-6.1 root=/dev/sda init=/bin/sh"));
    }

    #[test]
    fn a_wildcard_matches_no_byte_that_grub_scripts_interpret() {
        for byte in "\"'\\$;&|<>{}#\u{e0}\u{a0}\t\n ".chars() {
            let command = format!("set root=a{byte}b");
            assert!(!fits("set root=*", &command), "{command}");
            assert!(LoaderCommandPattern::literal(&command).fits(&command), "{command}");
        }
    }

    #[test]
    fn a_pattern_with_wildcards_must_name_its_command() {
        let error = |text: &str| LoaderCommandPattern::new(text.to_owned()).unwrap_err();
        for text in ["*", "lin* /vmlinuz", "/boot/vmlinuz-* quiet", "(hd0)/vmlinuz-* ro", "[ a = * ]", "?"] {
            assert_eq!(error(text), PatternError::Command(text.to_owned()));
        }
        for text in ["linux /vmlinuz *", "linuxefi /vmlinuz root=x s*", "multiboot2 /xen placeholder *"] {
            assert_eq!(error(text), PatternError::Name(text.to_owned()));
        }
        assert_eq!(error("echo \u{fc} *"), PatternError::Characters("echo \u{fc} *".to_owned()));
        let menu = "menuentry Debian {\n\tlinux /vmlinuz $x\n}";
        assert!(fits(menu, menu) && !fits(menu, &menu.replace('\n', " ")));
    }
}
