use pawl_evidence::appraise::{self, Foretold, foretell};
use pawl_evidence::eventlog::{EventLog, FIRMWARE_PCRS, explains, predict, predict_databases};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues, TaggedDigest};
use pawl_proto::PcrValue;
use pawl_proto::message::TrustTier;

use super::{Update, UpdateError};
use pawl_verifier::BootState;
use pawl_verifier::LeasePcrs;
use pawl_verifier::boot_digest;
use pawl_verifier::lease::LeasePolicy;
use pawl_verifier::pairing::{Base, Pairing};
use pawl_verifier::report::{MeasureLogState, bank_hash};

/// The boot state of a device before and after an update.
pub(super) struct ComputedUpdate {
    pub(super) present: BootState,
    pub(super) coming: BootState,
}

/// The basis of the computation. The boot log need not be compared: it changes only together with the pairing's base.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UpdateBasis {
    /// The live pairing, with the last report.
    pub(super) pairing: Pairing,
    /// The trust tier of that report.
    pub(super) tier: Option<TrustTier>,
}

/// The PCR of Secure Boot's databases.
const KEYS_PCR: u8 = 7;

impl ComputedUpdate {
    /// Computes the state after the update from the last report and its logs. PCRs that the update does not change keep
    /// their values, so the present state must not be contraindicated.
    pub(super) fn compute(
        lease: &LeasePolicy,
        basis: &UpdateBasis,
        boot_log: Option<&[u8]>,
        update: &Update,
    ) -> Result<Self, UpdateError> {
        let base = basis.pairing.base.as_ref().ok_or(UpdateError::NothingReported)?;
        let lease_pcrs = LeasePcrs::of_pairing(lease, &basis.pairing);
        if basis.tier == Some(TrustTier::Contraindicated) {
            return Err(UpdateError::Contraindicated);
        }
        let present = lease_pcrs.state(&base.pcrs).ok_or(UpdateError::NothingReported)?;
        let reported = boot_digest(&present);
        match update.state {
            Some(seen) if seen != reported => return Err(UpdateError::OtherState { seen, reported }),
            None if !update.dry_run => return Err(UpdateError::NoState),
            _ => {}
        }
        let mut coming = present.clone();
        if update.boot.is_some() || !update.databases.is_empty() {
            let log = EventLog::parse(boot_log.ok_or(UpdateError::NoLog)?)?;
            let bank = bank_hash(lease_pcrs.bank());
            if let Some(now) = &update.present {
                explains(&log, bank, now).map_err(UpdateError::Present)?;
            }
            coming =
                NextBoot { log: &log, base, predicted: predicted(&log, bank, update)? }.state(&present)?;
        }
        for (index, value) in &update.pcrs {
            let present = coming.get_mut(index).ok_or(UpdateError::NotInLease(*index))?;
            if present.bank() != value.bank() {
                return Err(UpdateError::Bank { index: *index, bank: present.bank() });
            }
            *present = *value;
        }
        if coming == present { Err(UpdateError::Same) } else { Ok(Self { present, coming }) }
    }
}

/// Predicts the PCRs of the firmware's log: new files change other PCRs than new databases.
fn predicted(log: &EventLog<'_>, bank: HashAlgorithm, update: &Update) -> Result<PcrValues, UpdateError> {
    let databases = predict_databases(log, bank, &update.databases)?;
    let Some(boot) = &update.boot else { return Ok(databases) };
    let mut predicted = predict(log, bank, boot)?;
    if let Some(keys) = databases.get(bank, KEYS_PCR) {
        predicted.insert(KEYS_PCR, *keys).map_err(|_| UpdateError::Unaccounted(KEYS_PCR))?;
    }
    Ok(predicted)
}

/// The boot after the update.
struct NextBoot<'a> {
    log: &'a EventLog<'a>,
    base: &'a Base,
    /// The PCRs of its firmware log.
    predicted: PcrValues,
}

impl NextBoot<'_> {
    /// Computes the boot state. If PCR 9 cannot be computed, the state contains the image's digest (PCR 4) and the
    /// additions of its stub (PCRs 12 and 13) instead.
    fn state(&self, present: &BootState) -> Result<BootState, UpdateError> {
        let mut coming = BootState::new();
        let mut unknown = None;
        for (index, value) in present {
            match self.foretell(*index)? {
                Foretold::Value(to) => {
                    coming.insert(*index, to_proto(&to).ok_or(UpdateError::Unaccounted(*index))?);
                }
                Foretold::Unknown if *index == appraise::INITRD_PCR => unknown = Some(*index),
                // The PCRs of IMA (10) and of the boot phases (11) cannot be computed, and keep their present values.
                Foretold::Unknown | Foretold::Unaccounted if [10, 11].contains(index) => {
                    coming.insert(*index, *value);
                }
                // Firmware extends them without logging it; an update of the system does not change them.
                Foretold::Unaccounted if FIRMWARE_PCRS.contains(index) => {
                    coming.insert(*index, *value);
                }
                Foretold::Unknown => return Err(UpdateError::Unpredictable(*index)),
                Foretold::Unaccounted => return Err(UpdateError::Unaccounted(*index)),
            }
        }
        if let Some(unknown) = unknown {
            for index in appraise::INITRD_STAND_INS {
                let Foretold::Value(to) = self.foretell(index)? else {
                    return Err(UpdateError::Unpredictable(unknown));
                };
                coming.insert(index, to_proto(&to).ok_or(UpdateError::Unpredictable(unknown))?);
            }
        }
        Ok(coming)
    }

    fn foretell(&self, index: u8) -> Result<Foretold, UpdateError> {
        let value = self.base.pcrs.get(&index).and_then(to_evidence).ok_or(UpdateError::NothingReported)?;
        let measured = self.base.measured.as_ref().map(MeasureLogState::log);
        Ok(foretell(self.log, measured, &value, index, &self.predicted)?)
    }
}

fn to_proto(value: &TaggedDigest) -> Option<PcrValue> {
    PcrValue::new(value.as_bytes()).ok()
}

fn to_evidence(value: &PcrValue) -> Option<TaggedDigest> {
    TaggedDigest::new(bank_hash(value.bank()), value.as_bytes())
}
