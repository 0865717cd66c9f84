//! One line of the file, with its options: `namespaces="a,b",valid-after="20260101Z"`.

use super::error::{LineError, Refusal};
use super::principal::{PatternList, Principal};
use super::time::Time;
use crate::key::PublicKey;

/// A line of the file: a principal, their key, and the options.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) principal: Principal,
    pub(super) key: PublicKey,
    options: Options,
}

impl Line {
    /// Parses a line that is not a comment and has no space around it.
    pub(super) fn parse(number: usize, line: &str) -> Result<Self, LineError> {
        let (principal, rest) = split_principal(line).ok_or(LineError::Incomplete)?;
        let principal = principal.parse()?;
        let (options, key) = split_options(rest)?;
        Ok(Self { number, principal, key, options })
    }

    /// Checks that the key may sign for the namespace at this time.
    pub(super) fn allows(&self, namespace: &str, now_s: u64) -> Result<(), Refusal> {
        let (line, key) = (self.number, self.key.fingerprint());
        if self.options.namespaces.as_ref().is_some_and(|allowed| !allowed.matches(namespace)) {
            return Err(Refusal::Namespace { key, line, namespace: namespace.to_owned() });
        }
        if let Some(from) = self.options.valid_after.filter(|from| now_s < from.unix_s()) {
            return Err(Refusal::NotYetValid { key, line, from });
        }
        if let Some(until) = self.options.valid_before.filter(|until| now_s > until.unix_s()) {
            return Err(Refusal::Expired { key, line, until });
        }
        Ok(())
    }
}

/// Splits off the first word, which may be in quotation marks.
fn split_principal(line: &str) -> Option<(&str, &str)> {
    let (principal, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => line.split_once([' ', '\t'])?,
    };
    Some((principal, rest.trim_start()))
}

/// Parses the options, if there are any, and the key after them. As in OpenSSH, a word that is not a key is options.
fn split_options(rest: &str) -> Result<(Options, PublicKey), LineError> {
    let no_key = match rest.parse() {
        Ok(key) => return Ok((Options::default(), key)),
        Err(error) => error,
    };
    let (word, behind) = split_first_word(rest);
    // Report the error of what the operator most likely meant: options or a key.
    match behind.trim_start().parse() {
        Ok(key) => Ok((Options::parse(word)?, key)),
        Err(behind) => match Options::parse(word) {
            Ok(_) => Err(behind.into()),
            Err(LineError::UnknownOption) => Err(no_key.into()),
            Err(error) => Err(error),
        },
    }
}

const CERT_AUTHORITY: &str = "cert-authority";
const NAMESPACES: &str = "namespaces";
const VALID_AFTER: &str = "valid-after";
const VALID_BEFORE: &str = "valid-before";

/// The limits of a key. Without options it may sign for any namespace, at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) namespaces: Option<PatternList>,
    /// The first second at which it is valid.
    pub(super) valid_after: Option<Time>,
    /// The last second at which it is valid.
    pub(super) valid_before: Option<Time>,
}

impl Options {
    pub(super) fn parse(mut text: &str) -> Result<Self, LineError> {
        let mut options = Self::default();
        loop {
            text = options.parse_next(text)?;
            text = match text.strip_prefix(',') {
                Some(next) => next,
                None if text.is_empty() => break,
                None => return Err(LineError::UnknownOption),
            };
        }
        let never = options.valid_after.zip(options.valid_before).is_some_and(|(from, to)| to <= from);
        if never { Err(LineError::NeverValid) } else { Ok(options) }
    }

    /// Parses the first option; returns the text after it.
    fn parse_next<'a>(&mut self, text: &'a str) -> Result<&'a str, LineError> {
        let name_len = text.find(['=', ',']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(name_len).ok_or(LineError::UnknownOption)?;
        let known = [CERT_AUTHORITY, NAMESPACES, VALID_AFTER, VALID_BEFORE];
        let name = known
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
            .ok_or(LineError::UnknownOption)?;
        if name == CERT_AUTHORITY {
            return Err(LineError::CertAuthority);
        }
        let (value, rest) = rest.strip_prefix('=').and_then(dequote).ok_or(LineError::Quotes(name))?;
        match name {
            NAMESPACES => set_once(&mut self.namespaces, name, PatternList::new(value))?,
            VALID_AFTER => set_once(&mut self.valid_after, name, parse_time(name, &value)?)?,
            _ => set_once(&mut self.valid_before, name, parse_time(name, &value)?)?,
        }
        Ok(rest)
    }
}

/// Splits off the first word. Spaces in quotation marks do not end it.
pub(super) fn split_first_word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    let end = text.find(|character| {
        match character {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return true,
            _ => {}
        }
        escaped = character == '\\';
        false
    });
    text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""))
}

/// Returns the content of the quotation marks at the start, and the text after them. `\"` is a quotation mark.
fn dequote(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let (before, behind) = rest.split_once('"')?;
        rest = behind;
        match before.strip_suffix('\\') {
            Some(before) => {
                value.push_str(before);
                value.push('"');
            }
            None => {
                value.push_str(before);
                return Some((value, rest));
            }
        }
    }
}

fn set_once<T>(option: &mut Option<T>, name: &'static str, value: T) -> Result<(), LineError> {
    if option.replace(value).is_some() { Err(LineError::Twice(name)) } else { Ok(()) }
}

fn parse_time(option: &'static str, text: &str) -> Result<Time, LineError> {
    text.parse().map_err(|error| LineError::Time { option, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> LineError {
        Options::parse(text).expect_err(text)
    }

    #[test]
    fn each_option_is_read() {
        let options =
            Options::parse("Namespaces=\"file,pawl-*\",valid-after=\"20260101Z\",valid-before=\"20270101Z\"")
                .unwrap();
        let namespaces = options.namespaces.unwrap();
        assert!(namespaces.matches("pawl-approval@v1") && !namespaces.matches("git"));
        assert_eq!(options.valid_after.unwrap().unix_s(), 1_767_225_600);
        assert_eq!(options.valid_before.unwrap().unix_s(), 1_798_761_600);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(error("cert-authority"), LineError::CertAuthority);
        assert_eq!(error("namespaces=\"a\",cert-authority"), LineError::CertAuthority);
        assert_eq!(error("no-touch-required"), LineError::UnknownOption);
        assert_eq!(error("namespaces=\"a\"x"), LineError::UnknownOption);
        assert_eq!(error("namespaces=\"a\","), LineError::UnknownOption);
        assert_eq!(error("namespaces=a"), LineError::Quotes("namespaces"));
        assert_eq!(error("namespaces=\"a"), LineError::Quotes("namespaces"));
        assert_eq!(error("namespaces"), LineError::Quotes("namespaces"));
        assert_eq!(error("namespaces=\"a\",namespaces=\"b\""), LineError::Twice("namespaces"));
        assert!(matches!(error("valid-after=\"soon\""), LineError::Time { option: "valid-after", .. }));
        let never = error("valid-after=\"20260101Z\",valid-before=\"20260101Z\"");
        assert_eq!(never, LineError::NeverValid);
    }

    #[test]
    fn quotation_marks_hide_spaces_and_each_other() {
        assert_eq!(split_first_word("namespaces=\"a b\" ssh-rsa"), ("namespaces=\"a b\"", " ssh-rsa"));
        assert_eq!(split_first_word("namespaces=\"a\\\" b\" x"), ("namespaces=\"a\\\" b\"", " x"));
        assert_eq!(split_first_word("word"), ("word", ""));
        assert_eq!(dequote("\"a\\\"b\",c"), Some(("a\"b".to_owned(), ",c")));
    }
}
