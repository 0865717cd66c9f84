use crate::key::KeyError;

/// Why a signature does not count. Meant for operators: it holds nothing that is not printable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// More than [`Signature::MAX_LEN`](super::Signature::MAX_LEN) bytes.
    #[error("the signature is longer than {} bytes", super::Signature::MAX_LEN)]
    TooLong,
    /// Not Base64 between the two lines; cut short on the way, perhaps.
    #[error(
        "this is no whole SSH signature: expected all lines from -----BEGIN SSH SIGNATURE----- to \
         -----END SSH SIGNATURE-----"
    )]
    NotArmored,
    /// The armor is whole, what is in it is not.
    #[error("the SSH signature is malformed")]
    Malformed,
    /// A version of SSHSIG other than 1.
    #[error("the SSH signature is of version {0}; version 1 is supported")]
    Version(u32),
    /// Not by a key that can approve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// SSHSIG allows SHA-256 and SHA-512.
    #[error("the SSH signature is over a digest by `{0}`: sha256 and sha512 are supported")]
    Hash(String),
    /// Made for another purpose.
    #[error("the signature was made for the namespace `{found}`, not `{expected}`")]
    Namespace {
        /// The namespace that was asked for.
        expected: String,
        /// The namespace in the signature.
        found: String,
    },
    /// RSA with SHA-1.
    #[error(
        "the signature uses RSA with SHA-1 (ssh-rsa), which is broken: update the SSH agent that made it"
    )]
    Sha1,
    /// A FIDO2 signature through a browser, which signs another form.
    #[error(
        "signatures through a browser (webauthn) are not supported: sign with ssh-keygen or an ssh-agent"
    )]
    WebAuthn,
    /// The signature's algorithm is not one of its key's.
    #[error("the signature's algorithm `{signature}` is not one of a key of type `{key}`")]
    Algorithm {
        /// The type of the key.
        key: &'static str,
        /// The algorithm that the signature names.
        signature: String,
    },
    /// The security key signed without anybody's touch.
    #[error("the security key signed without being touched: nobody may have been there")]
    Untouched,
    /// Another message, another key, or altered.
    #[error("the signature does not verify: it was made by another key, for something else, or was altered")]
    Invalid,
}
