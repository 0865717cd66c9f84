//! What somebody between CPU and TPM can do: change commands on their way, and answers.

use pawl_evidence::tpm::HashAlgorithm;

/// An attack on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interposer {
    /// Has the TPM make the attestation key in the owner hierarchy.
    OwnerAttestationKey,
    /// Answers with a storage root key of its own, so that sessions are salted to it.
    OwnStorageKey,
    /// Answers with an endorsement key (ECC P-256) of its own.
    OwnEndorsementKey,
    /// Answers every read of a counter with 1: a TPM whose counters stand still.
    FrozenCounters,
}

const NV_READ: [u8; 4] = [0, 0, 1, 0x4e];

const CREATE_PRIMARY: [u8; 4] = [0, 0, 1, 0x31];
const OWNER: [u8; 4] = [0x40, 0, 0, 1];
const ENDORSEMENT: [u8; 4] = [0x40, 0, 0, 0x0b];
/// In `unique` of the attestation key's template.
const LABEL: &[u8] = b"pawl attestation key 1";
/// The head of the public area of an ECC P-256 storage key: its type and name algorithm.
const ECC_SHA256: [u8; 4] = [0, 0x23, 0, 0x0b];

/// The public point of the attacker's key, whose private part is 1: the base point of P-256 (SEC 2, 2.4.2).
const OWN_X: [u8; 32] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77,
    0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
];
const OWN_Y: [u8; 32] = [
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b,
    0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

impl Interposer {
    /// The command that goes on to the TPM.
    pub(super) fn command(self, mut command: Vec<u8>) -> Vec<u8> {
        let makes_ak = hierarchy_of(&command) == Some(ENDORSEMENT) && find(&command, LABEL).is_some();
        if self == Self::OwnerAttestationKey
            && makes_ak
            && let Some(handle) = command.get_mut(10..14)
        {
            handle.copy_from_slice(&OWNER);
        }
        command
    }

    /// The answer that goes back to the daemon.
    pub(super) fn answer(self, command: &[u8], mut answer: Vec<u8>) -> Vec<u8> {
        // Header and the sizes of the parameters and of the data stand before the data (TPM 2.0 Library, Part 3, 31.13).
        if self == Self::FrozenCounters
            && command.get(6..10) == Some(&NV_READ)
            && answer.get(14..16) == Some(&[0, 8])
            && let Some(value) = answer.get_mut(16..24)
        {
            value.copy_from_slice(&1_u64.to_be_bytes());
        }
        let is_ak = find(command, LABEL).is_some();
        let replaced = match (self, hierarchy_of(command)) {
            (Self::OwnStorageKey, Some(OWNER)) => true,
            (Self::OwnEndorsementKey, Some(ENDORSEMENT)) => !is_ak,
            _ => false,
        };
        if replaced { with_own_key(&answer).unwrap_or(answer) } else { answer }
    }
}

/// The hierarchy of a `TPM2_CreatePrimary`.
fn hierarchy_of(command: &[u8]) -> Option<[u8; 4]> {
    if command.get(6..10)? != CREATE_PRIMARY {
        return None;
    }
    command.get(10..14)?.try_into().ok()
}

/// Puts a key whose private part is known in the place of the one that the TPM made, and its name:
/// the attacker can decrypt what is encrypted to it.
fn with_own_key(answer: &[u8]) -> Option<Vec<u8>> {
    // Header, handle and the size of the parameters stand before outPublic (TPM 2.0 Library, Part 3, 24.1).
    const PUBLIC: usize = 10 + 4 + 4;
    let size = usize::from(u16::from_be_bytes(answer.get(PUBLIC..PUBLIC + 2)?.try_into().ok()?));
    let public = answer.get(PUBLIC + 2..PUBLIC + 2 + size)?;
    if !public.starts_with(&ECC_SHA256) {
        return None;
    }
    let mut own = public.to_vec();
    // TPM2B x and TPM2B y of 32 bytes each end the public area.
    let (x, y) = (own.len().checked_sub(66)?, own.len().checked_sub(32)?);
    own.get_mut(x..x + 32)?.copy_from_slice(&OWN_X);
    own.get_mut(y..)?.copy_from_slice(&OWN_Y);

    let mut altered = answer.to_vec();
    altered.get_mut(PUBLIC + 2..PUBLIC + 2 + size)?.copy_from_slice(&own);
    let digest = |public: &[u8]| HashAlgorithm::Sha256.digest(&[public]);
    let name = find(&altered, digest(public).as_bytes())?;
    altered.get_mut(name..name + 32)?.copy_from_slice(digest(&own).as_bytes());
    Some(altered)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
