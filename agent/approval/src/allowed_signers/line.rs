use super::options::{self, Options};
use super::{LineError, Principal, Refusal};
use crate::key::PublicKey;

/// A line of the file: a key, whose it is, and what it is allowed.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) principal: Principal,
    pub(super) key: PublicKey,
    options: Options,
}

impl Line {
    /// Reads a line that is no comment and has no space around it.
    pub(super) fn parse(number: usize, line: &str) -> Result<Self, LineError> {
        let (principal, rest) = split_principal(line).ok_or(LineError::Incomplete)?;
        let principal = principal.parse()?;
        let (options, key) = split_options(rest)?;
        Ok(Self { number, principal, key, options })
    }

    /// Whether the key may sign for the namespace at that time.
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

/// The first word, which may stand in quotation marks, and the rest.
fn split_principal(line: &str) -> Option<(&str, &str)> {
    let (principal, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => line.split_once([' ', '\t'])?,
    };
    Some((principal, rest.trim_start()))
}

/// The options, if there are any, and the key after them: as in OpenSSH, what is no key is options.
fn split_options(rest: &str) -> Result<(Options, PublicKey), LineError> {
    let no_key = match rest.parse() {
        Ok(key) => return Ok((Options::default(), key)),
        Err(error) => error,
    };
    let (word, behind) = options::split(rest);
    // Which of the two it was meant to be decides about what the operator is told.
    match behind.trim_start().parse() {
        Ok(key) => Ok((Options::parse(word)?, key)),
        Err(behind) => match Options::parse(word) {
            Ok(_) => Err(behind.into()),
            Err(LineError::UnknownOption) => Err(no_key.into()),
            Err(error) => Err(error),
        },
    }
}
