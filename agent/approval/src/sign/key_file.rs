//! Private keys in OpenSSH's own format (PROTOCOL.key).

use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctr::Ctr128BE;
use zeroize::Zeroizing;

use super::software::SoftwareKey;
use crate::key::{KeyError, KeyKind, PublicKey};
use crate::wire::Reader;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// `ssh-keygen -a` is 16 by default, and each takes milliseconds.
const MAX_ROUNDS: u32 = 10_000;

/// Whether the file holds a private key, of whatever format.
pub(super) fn is_private(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// A private key's file: the public half is open, the private one may be encrypted.
pub(super) struct KeyFile {
    key: PublicKey,
    protection: Protection,
    private: Zeroizing<Vec<u8>>,
}

enum Protection {
    None,
    Bcrypt {
        salt: Vec<u8>,
        rounds: u32,
    },
    /// An uncommon cipher, or more rounds than anybody waits for.
    Unsupported,
}

impl KeyFile {
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeyFileError> {
        let text = str::from_utf8(text).map_err(|_| KeyFileError::Format)?;
        let base64 = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let base64 = base64.ok_or(KeyFileError::Format)?;
        let base64: Zeroizing<String> = Zeroizing::new(base64.split_ascii_whitespace().collect());
        let blob = STANDARD.decode(base64.as_bytes()).map_err(|_| KeyFileError::Malformed)?;
        let blob = Zeroizing::new(blob);

        let fields = Fields::read(&blob).ok_or(KeyFileError::Malformed)?;
        Ok(Self {
            key: PublicKey::parse_blob(fields.key)?,
            protection: fields.protection,
            private: Zeroizing::new(fields.private.to_vec()),
        })
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key itself and its comment; asks for the passphrase if there is one.
    pub(super) fn load(
        &self,
        passphrase: impl FnOnce() -> Option<Zeroizing<String>>,
    ) -> Result<(SoftwareKey, Vec<u8>), KeyFileError> {
        // Before anybody types a passphrase for nothing.
        if !SoftwareKey::is_supported(&self.key) {
            return Err(KeyFileError::AgentOnly(self.key.algorithm()));
        }
        match &self.protection {
            Protection::None => self.read(&self.private).ok_or(KeyFileError::Malformed),
            Protection::Bcrypt { salt, rounds } => {
                let passphrase = passphrase().ok_or(KeyFileError::NoPassphrase)?;
                let opened = decrypt(&self.private, &passphrase, salt, *rounds);
                opened.and_then(|private| self.read(&private)).ok_or(KeyFileError::WrongPassphrase)
            }
            Protection::Unsupported => Err(KeyFileError::Cipher),
        }
    }

    /// Reads the private half, which must belong to the public one.
    fn read(&self, private: &[u8]) -> Option<(SoftwareKey, Vec<u8>)> {
        let mut reader = Reader::new(private);
        // Two copies of a random number: they differ after decryption with the wrong key.
        (reader.u32()? == reader.u32()?).then_some(())?;
        (reader.name()? == self.key.algorithm()).then_some(())?;
        let key = match self.key.kind() {
            KeyKind::Ed25519 { key } => SoftwareKey::read_ed25519(&mut reader, key)?,
            KeyKind::EcdsaP256 { point } => SoftwareKey::read_p256(&mut reader, point)?,
            KeyKind::EcdsaP384 { point } => SoftwareKey::read_p384(&mut reader, point)?,
            _ => return None,
        };
        let comment = reader.string()?.to_vec();
        is_padding(reader.rest()).then_some((key, comment))
    }
}

struct Fields<'a> {
    protection: Protection,
    key: &'a [u8],
    private: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(blob: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(blob.strip_prefix(MAGIC)?);
        let (cipher, kdf) = (reader.name()?, reader.name()?);
        let mut options = Reader::new(reader.string()?);
        let protection = match (cipher, kdf) {
            ("none", "none") => Protection::None,
            ("aes256-ctr", "bcrypt") => bcrypt(options.string()?, options.u32()?),
            _ => Protection::Unsupported,
        };
        // The format foresees several keys; nobody writes them.
        (reader.u32()? == 1).then_some(())?;
        Some(Self { protection, key: reader.string()?, private: reader.string()? })
    }
}

/// 1, 2, 3 … up to the block of the cipher.
fn is_padding(bytes: &[u8]) -> bool {
    const MAX_LEN: u8 = 16;
    bytes.len() <= usize::from(MAX_LEN)
        && (1..=MAX_LEN).zip(bytes).all(|(expected, found)| expected == *found)
}

fn bcrypt(salt: &[u8], rounds: u32) -> Protection {
    if rounds > MAX_ROUNDS {
        return Protection::Unsupported;
    }
    Protection::Bcrypt { salt: salt.to_vec(), rounds }
}

fn decrypt(private: &[u8], passphrase: &str, salt: &[u8], rounds: u32) -> Option<Zeroizing<Vec<u8>>> {
    const KEY_LEN: usize = 32;

    let mut derived = Zeroizing::new([0; KEY_LEN + 16]);
    bcrypt_pbkdf::bcrypt_pbkdf(passphrase, salt, rounds, derived.as_mut_slice()).ok()?;
    let (key, iv) = derived.split_at(KEY_LEN);
    let mut private = Zeroizing::new(private.to_vec());
    Ctr128BE::<Aes256>::new_from_slices(key, iv).ok()?.apply_keystream(&mut private);
    Some(private)
}

/// Why a private key's file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// PEM of OpenSSL, PuTTY's or something else.
    #[error(
        "not in OpenSSH's key format: convert it with `ssh-keygen -p -f FILE`, or add it with `ssh-add FILE`"
    )]
    Format,
    /// Damaged.
    #[error("the private key is damaged")]
    Malformed,
    /// A key that cannot approve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A kind that only the agent signs with.
    #[error("keys of type {0} are used through an ssh-agent: add it with `ssh-add FILE` first")]
    AgentOnly(&'static str),
    /// Encrypted in a way that only the agent undoes.
    #[error("it is encrypted in an uncommon way: add it with `ssh-add FILE` first")]
    Cipher,
    /// The person gave none.
    #[error("it is encrypted and no passphrase was given")]
    NoPassphrase,
    /// The passphrase does not open it.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
}
