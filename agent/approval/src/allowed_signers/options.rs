//! The options between principals and key: `namespaces="a,b",valid-after="20260101Z"`.

use super::LineError;
use super::pattern::PatternList;
use super::time::Time;

const CERT_AUTHORITY: &str = "cert-authority";
const NAMESPACES: &str = "namespaces";
const VALID_AFTER: &str = "valid-after";
const VALID_BEFORE: &str = "valid-before";

/// What a key is allowed. Without an option: everything, at any time.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) namespaces: Option<PatternList>,
    /// The first second at which it counts.
    pub(super) valid_after: Option<Time>,
    /// The last second at which it counts.
    pub(super) valid_before: Option<Time>,
}

impl Options {
    pub(super) fn parse(mut text: &str) -> Result<Self, LineError> {
        let mut options = Self::default();
        loop {
            text = options.take(text)?;
            text = match text.strip_prefix(',') {
                Some(next) => next,
                None if text.is_empty() => break,
                None => return Err(LineError::UnknownOption),
            };
        }
        let never = options.valid_after.zip(options.valid_before).is_some_and(|(from, to)| to <= from);
        if never { Err(LineError::NeverValid) } else { Ok(options) }
    }

    /// Takes the option in front, and leaves what is behind it.
    fn take<'a>(&mut self, text: &'a str) -> Result<&'a str, LineError> {
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
            NAMESPACES => set(&mut self.namespaces, name, PatternList::new(value))?,
            VALID_AFTER => set(&mut self.valid_after, name, time(name, &value)?)?,
            _ => set(&mut self.valid_before, name, time(name, &value)?)?,
        }
        Ok(rest)
    }
}

/// The first word, in which quoted spaces do not count, and the rest.
pub(super) fn split(text: &str) -> (&str, &str) {
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

/// The content of the quotation marks in front, and what is behind them. `\"` is a quotation mark.
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

fn set<T>(option: &mut Option<T>, name: &'static str, value: T) -> Result<(), LineError> {
    if option.replace(value).is_some() { Err(LineError::Twice(name)) } else { Ok(()) }
}

fn time(option: &'static str, text: &str) -> Result<Time, LineError> {
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
        assert_eq!(split("namespaces=\"a b\" ssh-rsa"), ("namespaces=\"a b\"", " ssh-rsa"));
        assert_eq!(split("namespaces=\"a\\\" b\" x"), ("namespaces=\"a\\\" b\"", " x"));
        assert_eq!(split("word"), ("word", ""));
        assert_eq!(dequote("\"a\\\"b\",c"), Some(("a\"b".to_owned(), ",c")));
    }
}
