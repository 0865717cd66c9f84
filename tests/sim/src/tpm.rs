//! The model of a device's TPM: a counter that only rises, keys and leases that it checks as the real one does, resets, a clock
//! that runs with the power, and refusals. Its attestations are real structures with real signatures.

mod keys;

use std::collections::BTreeMap;

use p256::ecdsa::SigningKey;
use pawl_evidence::rand_core::RngCore as _;
use pawl_evidence::tpm::{NvPublic, Public};
use pawl_proto::message::{Credential, TpmStructure};
use pawl_proto::{DeviceId, Digest, PcrValue};
use pawl_tpm::{Attestation, Counter, EndorsementKind, Error, Identity, ResponseCode};
use pawl_verifier::testing::{BOUND_SIGNING, SoftTpm, signing_public};

use crate::rng::Rng;
use crate::world::Ms;

/// The handle of the epoch counter.
pub const COUNTER: u32 = 0x0180_5041;

/// One TPM.
pub struct Tpm {
    soft: SoftTpm,
    /// Tells the blobs of this TPM from another one's.
    mark: [u8; 8],
    /// The counter is defined and was written.
    is_defined: bool,
    /// The highest value that any counter of this TPM had.
    highest: u64,
    /// Since when it has power, and its clock then.
    powered_at: Ms,
    clock_then: u64,
    storage_key: Vec<u8>,
    rng: Rng,
    /// What it refuses.
    pub trouble: Option<Trouble>,
}

/// A TPM that answers with a code.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// The response code.
    pub code: u32,
    /// So many commands get it.
    pub left: u32,
    /// Which commands get it.
    pub hits: Hits,
    /// The last command passed, with [`Hits::EveryOther`].
    pub has_passed: bool,
}

/// The commands that a TPM in trouble refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// Every one.
    All,
    /// Each second one, so that what takes several commands sometimes gets through.
    EveryOther,
    /// TPM2_NV_Increment and what defines a counter.
    Increments,
    /// TPM2_Unseal: the check of a lease.
    Leases,
}

/// Response codes that pass: what a TPM answers when it is busy, locked, out of memory or writes its NV too often.
pub const TRANSIENT: [u32; 8] = [
    0x922, // TPM_RC_RETRY
    0x908, // TPM_RC_YIELDED
    0x90a, // TPM_RC_TESTING
    0x920, // TPM_RC_NV_RATE
    0x921, // TPM_RC_LOCKOUT
    0x923, // TPM_RC_NV_UNAVAILABLE
    0x902, // TPM_RC_OBJECT_MEMORY
    0x905, // TPM_RC_SESSION_HANDLES
];

const INTEGRITY: u32 = 0x1df;

impl Tpm {
    /// Returns the TPM of this seed, without a counter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::of(seed, 1);
        let mut soft = SoftTpm::with(&mut rng);
        soft.counter = NvPublic::epoch_counter(COUNTER);
        soft.epoch = 0;
        soft.pcrs = pcrs(0);
        let mut mark = [0; 8];
        rng.fill_bytes(&mut mark);
        let first = rng.between(0, 9);
        let storage = signing_public(SigningKey::random(&mut rng).verifying_key(), BOUND_SIGNING, &[]);
        Self {
            mark,
            is_defined: false,
            highest: first,
            powered_at: 0,
            clock_then: soft.clock,
            storage_key: Public::unmarshal(&storage)
                .map(|public| public.name().as_bytes().to_vec())
                .unwrap_or_default(),
            soft,
            rng,
            trouble: None,
        }
    }

    /// Returns the device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::from_digest(self.soft.ek_sha256().0)
    }

    /// Returns SHA-256 of the endorsement key.
    #[must_use]
    pub fn ek_sha256(&self) -> Digest {
        self.soft.ek_sha256()
    }

    /// Returns the counter's value as it is, whatever the TPM answers at the moment.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.is_defined.then_some(self.soft.epoch)
    }

    /// Returns the highest value that the counter ever had.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Returns the TPM's clock, ms.
    pub fn clock(&mut self, now: Ms) -> u64 {
        let running = self.clock_then + now.saturating_sub(self.powered_at);
        self.soft.clock = self.soft.clock.max(running);
        self.soft.clock
    }

    /// The machine is powered off or reset and starts again with a boot state. After a power cut the clock may lose what it
    /// had not saved.
    pub fn reset(&mut self, now: Ms, boots: u8, is_orderly: bool) {
        let clock = self.clock(now);
        let lost = if is_orderly { 0 } else { self.rng.below(4000) };
        self.soft.clock = clock.saturating_sub(lost);
        (self.powered_at, self.clock_then) = (now, self.soft.clock);
        self.soft.reset_count += 1;
        self.soft.pcrs = pcrs(boots);
    }

    /// Root on the device moves the counter.
    pub fn increment_by_root(&mut self) -> bool {
        if self.is_defined {
            self.increment();
        }
        self.is_defined
    }

    fn increment(&mut self) {
        self.soft.epoch = self.soft.epoch.max(self.highest) + 1;
        self.highest = self.soft.epoch;
    }

    /// The answer of a TPM in trouble.
    fn admit(&mut self, doing: &'static str, is_increment: bool) -> Result<(), Error> {
        let Some(trouble) = &mut self.trouble else { return Ok(()) };
        let is_hit = match trouble.hits {
            Hits::All => true,
            Hits::EveryOther => {
                trouble.has_passed = !trouble.has_passed;
                !trouble.has_passed
            }
            Hits::Increments => is_increment,
            Hits::Leases => doing == "TPM2_Unseal",
        };
        if !is_hit {
            return Ok(());
        }
        let code = trouble.code;
        trouble.left = trouble.left.saturating_sub(1);
        if trouble.left == 0 {
            self.trouble = None;
        }
        Err(Error::Tpm { doing, code: ResponseCode::new(code) })
    }

    /// TPM2_NV_Increment.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::revoke`.
    pub fn revoke(&mut self) -> Result<(), Error> {
        self.admit("TPM2_NV_Increment", true)?;
        if !self.is_defined {
            return Err(Error::CounterAbsent { handle: COUNTER });
        }
        self.increment();
        Ok(())
    }

    /// Reads the counter; none if there is none.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::counter`.
    pub fn counter(&mut self) -> Result<Option<Counter>, Error> {
        self.admit("TPM2_NV_Read", false)?;
        Ok(self.is_defined.then(|| self.read_counter()))
    }

    fn read_counter(&self) -> Counter {
        Counter {
            epoch: self.soft.epoch,
            public: self.soft.counter.as_bytes().to_vec(),
            name: self.soft.counter.name().as_bytes().to_vec(),
        }
    }

    /// Defines the counter where there is none, and reads it.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::provision_counter`.
    pub fn provision_counter(&mut self) -> Result<Counter, Error> {
        self.admit("TPM2_NV_DefineSpace", true)?;
        if !self.is_defined {
            self.is_defined = true;
            self.increment();
        }
        Ok(self.read_counter())
    }

    /// Removes the counter. Returns whether there was one.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::deprovision`.
    pub fn deprovision(&mut self) -> Result<bool, Error> {
        self.admit("TPM2_NV_UndefineSpace", true)?;
        Ok(std::mem::take(&mut self.is_defined))
    }

    /// TPM2_NV_Certify of the counter.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::certify_counter`.
    pub fn certify_counter(&mut self, now: Ms, extra: &[u8]) -> Result<Attestation, Error> {
        self.admit("TPM2_NV_Certify", false)?;
        if !self.is_defined {
            return Err(Error::CounterAbsent { handle: COUNTER });
        }
        self.clock(now);
        Ok(attestation(self.soft.certify_counter(extra)))
    }

    /// Returns endorsement key and attestation key.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::identity`.
    pub fn identity(&mut self) -> Result<Identity, Error> {
        self.admit("TPM2_CreatePrimary", false)?;
        let ak_public = self.soft.ak_public();
        Ok(Identity {
            endorsement: EndorsementKind::EccP256,
            ek_public: self.soft.ek.clone(),
            ek_name: name(&self.soft.ek),
            ek_certificates: Vec::new(),
            pcr_banks: vec![pawl_evidence::tpm::HashAlgorithm::Sha256],
            ak_name: name(&ak_public),
            ak_public,
        })
    }

    /// Returns the TPM name of the attestation key.
    #[must_use]
    pub fn attestation_name(&self) -> Vec<u8> {
        name(&self.soft.ak_public())
    }

    /// TPM2_ActivateCredential.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::activate_credential`.
    pub fn activate(&mut self, credential: &Credential) -> Result<Vec<u8>, Error> {
        self.admit("TPM2_ActivateCredential", false)?;
        let refused = Error::Tpm { doing: "TPM2_ActivateCredential", code: ResponseCode::new(INTEGRITY) };
        self.soft.activate(credential).ok_or(refused)
    }

    /// TPM2_Quote over PCRs 0 to 15.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::quote`.
    pub fn quote(&mut self, now: Ms, extra: &[u8]) -> Result<Attestation, Error> {
        self.admit("TPM2_Quote", false)?;
        self.clock(now);
        Ok(attestation(self.soft.quote(extra)))
    }

    /// Reads PCRs 0 to 15.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::read_pcrs`.
    pub fn read_pcrs(&mut self) -> Result<BTreeMap<u8, PcrValue>, Error> {
        self.admit("TPM2_PCR_Read", false)?;
        Ok(self.soft.pcrs.clone())
    }
}

/// The PCR values of a boot state.
fn pcrs(boots: u8) -> BTreeMap<u8, PcrValue> {
    let value = |index: u8| if index == 4 { [0x40 + boots; 32] } else { [index; 32] };
    (0..=15).map(|index| (index, PcrValue::Sha256(value(index)))).collect()
}

fn name(public: &[u8]) -> Vec<u8> {
    Public::unmarshal(public).map(|public| public.name().as_bytes().to_vec()).unwrap_or_default()
}

fn attestation((attest, signature): (TpmStructure, TpmStructure)) -> Attestation {
    Attestation { attest: attest.as_bytes().to_vec(), signature: signature.as_bytes().to_vec() }
}
