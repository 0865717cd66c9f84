//! A software TPM, and the record chain of a device, for tests of control planes that use this crate. Never use them for a real
//! device. They panic if a structure cannot be built.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

mod tpm;

use p256::ecdsa::VerifyingKey;
use pawl_proto::codec::Version;
use pawl_proto::message::Audit;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link, RecordBytes};

pub use tpm::{Attestation, ENDORSEMENT, OWNER, SoftTpm, activate};

const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const USER_WITH_AUTH: u32 = 1 << 6;
const NO_DA: u32 = 1 << 10;
const RESTRICTED: u32 = 1 << 16;
const SIGN: u32 = 1 << 18;

/// The attributes of link and device keys.
pub const BOUND_SIGNING: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | NO_DA | SIGN;
/// The attributes of a signing key that could leave its TPM.
pub const LOOSE_SIGNING: u32 = BOUND_SIGNING & !FIXED_TPM;
/// The attributes of the attestation key.
pub const ATTESTATION: u32 = BOUND_SIGNING | USER_WITH_AUTH | RESTRICTED;

const ECC: [u8; 4] = [0x00, 0x23, 0x00, 0x0b];
const NULL: [u8; 2] = [0x00, 0x10];
const P256: [u8; 2] = [0x00, 0x03];

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Returns the `TPMT_PUBLIC` of an ECDSA key.
#[must_use]
pub fn signing_public(key: &VerifyingKey, attributes: u32, policy: &[u8]) -> Vec<u8> {
    let head =
        [&ECC[..], &attributes.to_be_bytes(), &sized(policy), &NULL, &[0x00, 0x18, 0x00, 0x0b]].concat();
    [head, P256.to_vec(), NULL.to_vec(), point(key)].concat()
}

/// Returns the `TPMT_PUBLIC` of an endorsement key of the template L-2.
#[must_use]
pub fn endorsement_public(key: &VerifyingKey) -> Vec<u8> {
    let policy = hex::decode("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa").unwrap();
    let aes_128_cfb = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43];
    let head = [&ECC[..], &0x0003_00b2_u32.to_be_bytes(), &sized(&policy), &aes_128_cfb, &NULL].concat();
    [head, P256.to_vec(), NULL.to_vec(), point(key)].concat()
}

/// Returns the `TPMT_PUBLIC` of a sealed object.
#[must_use]
pub fn sealed_public(policy: &[u8]) -> Vec<u8> {
    let attributes = FIXED_TPM | FIXED_PARENT | NO_DA;
    let head = [&[0x00, 0x08, 0x00, 0x0b], &attributes.to_be_bytes()[..], &sized(policy), &NULL].concat();
    [head, sized(&[0x5e; 32])].concat()
}

fn point(key: &VerifyingKey) -> Vec<u8> {
    let point = key.to_encoded_point(false);
    [sized(point.x().unwrap()), sized(point.y().unwrap())].concat()
}

/// The record chain of a device.
#[derive(Clone, Default)]
pub struct Records {
    links: Vec<Link>,
}

impl Records {
    /// Returns a chain of `length` records. Chains with different seeds have different records.
    #[must_use]
    pub fn of(length: usize, seed: u64) -> Self {
        let mut records = Self::default();
        records.grow(length, seed);
        records
    }

    /// Appends `by` records.
    pub fn grow(&mut self, by: usize, seed: u64) {
        for _ in 0..by {
            self.add(DeviceFact::Missed { count: seed });
        }
    }

    /// Appends a record of this fact.
    pub(crate) fn add(&mut self, fact: DeviceFact) {
        let record = DeviceRecord {
            version: Version,
            sequence: u64::try_from(self.links.len()).unwrap() + 1,
            time: 5,
            clock: Some(1_000),
            resets: Some(2),
            epoch: None,
            fact,
        };
        self.links.push(Link::forge(self.head(), &record).unwrap());
    }

    /// Cuts the chain off after `to` records.
    pub fn cut(&mut self, to: usize) {
        self.links.truncate(to);
    }

    /// Returns the records for a report to a control plane that has the first `known` of them.
    #[must_use]
    pub fn after(&self, known: usize) -> Audit {
        let before = self.links[..known].last().map_or(Link::START, |link| link.digest);
        let new = self.links[known..].iter();
        Audit {
            first: u64::try_from(known).unwrap() + 1,
            previous: before,
            records: new.map(|link| RecordBytes::new(link.body.clone()).unwrap()).collect(),
            head: self.head(),
            pending: 0,
        }
    }

    fn head(&self) -> pawl_proto::Digest {
        self.links.last().map_or(Link::START, |link| link.digest)
    }
}
