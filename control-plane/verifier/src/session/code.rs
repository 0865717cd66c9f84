//! Derives the user code of a session from the session's secret, so that the control plane can send the code in each answer
//! although it stores only a digest.

use std::convert::Infallible;

use pawl_approval::UserCode;
use pawl_proto::Digest;
use zeroize::Zeroizing;

use super::state::CodeDigest;

/// The number of codes to try. Some of the 160,000 handles are in use, but hardly this many in a row.
const ATTEMPTS: u32 = 64;

/// Returns a user code whose handle no waiting session has; `None` if the handles of all tried codes are in use. `is_free`
/// returns whether no waiting session has a handle.
///
/// # Errors
/// Those of `is_free`.
pub fn free_code<E>(
    secret: &[u8],
    is_free: impl Fn(&str) -> Result<bool, E>,
) -> Result<Option<CodeDigest>, E> {
    for attempt in 0..ATTEMPTS {
        let code = user_code(secret, attempt);
        if is_free(code.handle())? {
            let (handle, digest) = (code.handle().to_owned(), Digest(code.digest()));
            return Ok(Some(CodeDigest { handle, attempt, digest }));
        }
    }
    Ok(None)
}

/// Derives a user code from a session's secret.
#[must_use]
pub fn user_code(secret: &[u8], attempt: u32) -> UserCode {
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

/// A pseudorandom stream from the secret: SHA-256 in counter mode.
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
    use super::user_code;

    #[test]
    fn a_code_depends_on_the_secret_and_the_attempt() {
        let code = |secret: &[u8], attempt| user_code(secret, attempt).to_string();
        assert_eq!(code(&[1; 32], 0), code(&[1; 32], 0));
        assert_ne!(code(&[1; 32], 0), code(&[1; 32], 1));
        assert_ne!(code(&[1; 32], 0), code(&[2; 32], 0));
    }
}
