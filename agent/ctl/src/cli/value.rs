//! What stands behind an option: parsed once, and valid from then on.

use std::time::Duration;

use pawl_approval::{CodeError, Confirmation};
use pawl_proto::message::{Scope, ShortText};

pub(super) fn reason(text: &str) -> Result<ShortText, String> {
    ShortText::new(text).map_err(|error| error.to_string())
}

pub(super) fn some_text(text: &str) -> Result<ShortText, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { reason(text) }
}

pub(super) fn confirmation(text: &str) -> Result<Confirmation, String> {
    text.parse().map_err(|error: CodeError| error.to_string())
}

pub(super) fn scope(text: &str) -> Result<Scope, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a scope consists of printable ASCII characters without spaces".to_owned());
    }
    Scope::new(text).map_err(|error| error.to_string())
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a number of seconds from 1 to 86400".to_owned()),
    }
}

/// A digest or a nonce, in lower case.
pub(super) fn digits(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be 64 hexadecimal digits".to_owned())
    }
}
