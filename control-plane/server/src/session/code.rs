//! The user code of a session: it follows from the session's secret, so that each step of the
//! device can be answered with it though only a digest is kept.

use std::convert::Infallible;

use pawl_approval::UserCode;
use pawl_proto::Digest;
use zeroize::Zeroizing;

use crate::store::{CodeRow, StoreError, Tx};

/// Of 160,000 handles some are taken; so many in a row are not.
const ATTEMPTS: u32 = 64;

/// A code whose handle no other waiting session has; none when all that were tried are taken.
pub(super) fn free(tx: &Tx<'_>, secret: &[u8]) -> Result<Option<CodeRow>, StoreError> {
    for attempt in 0..ATTEMPTS {
        let code = derive(secret, attempt);
        if tx.session_of_code(code.handle())?.is_none() {
            let (handle, digest) = (code.handle().to_owned(), Digest(code.digest()));
            return Ok(Some(CodeRow { handle, attempt, digest }));
        }
    }
    Ok(None)
}

/// The code of this secret.
pub(super) fn derive(secret: &[u8], attempt: u32) -> UserCode {
    let mut stream = Stream { secret, attempt, block: 0, rest: Zeroizing::default() };
    let drawn: Result<UserCode, Infallible> = UserCode::generate(|bytes| {
        bytes.fill_with(|| stream.next());
        Ok(())
    });
    match drawn {
        Ok(code) => code,
        Err(never) => match never {},
    }
}

/// Bytes that nobody can tell from random ones without the secret: SHA-256 in counter mode.
struct Stream<'a> {
    secret: &'a [u8],
    attempt: u32,
    block: u32,
    rest: Zeroizing<Vec<u8>>,
}

impl Stream<'_> {
    fn next(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.rest.pop() {
                return byte;
            }
            let (attempt, block) = (self.attempt.to_be_bytes(), self.block.to_be_bytes());
            let input = Zeroizing::new([b"pawl user code", &attempt[..], &block, self.secret].concat());
            self.rest = Zeroizing::new(Digest::of(&input).as_bytes().to_vec());
            self.block = self.block.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::derive;

    #[test]
    fn the_same_secret_has_the_same_code_and_no_other_has() {
        let code = |secret: &[u8], attempt| derive(secret, attempt).to_string();
        assert_eq!(code(&[1; 32], 0), code(&[1; 32], 0));
        assert_ne!(code(&[1; 32], 0), code(&[1; 32], 1));
        assert_ne!(code(&[1; 32], 0), code(&[2; 32], 0));
    }
}
