use pawl_evidence::eventlog::{EventLog, explains, predict};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues};
use pawl_proto::Digest;
use pawl_proto::message::Appraisal;

use super::{Update, UpdateError};
use crate::posture::LeasePcrs;
use crate::session::boot_digest;
use crate::store::{BootState, Pairing, Tx};

/// The boot state in which a device is, and the one that an update will bring it to.
pub(super) struct Coming {
    pub(super) present: BootState,
    pub(super) coming: BootState,
}

impl Coming {
    /// Computes the state to come from the last report and its log. What the update does not touch stays
    /// as it is, so the present state has to be one that was found good.
    pub(super) fn compute(
        lease_pcrs: &LeasePcrs,
        tx: &Tx<'_>,
        pairing: &Pairing,
        update: &Update,
    ) -> Result<Self, UpdateError> {
        let base = pairing.base.as_ref().ok_or(UpdateError::NothingReported)?;
        let judged = tx.judged(pairing.id)?.and_then(|row| row.verdict.result);
        if judged == Some(Appraisal::Contraindicated) {
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
        if let Some(boot) = &update.boot {
            let bytes = tx.boot_log(pairing.id)?.ok_or(UpdateError::NoLog)?;
            let log = EventLog::parse(&bytes)?;
            account(&present, &log.replay()?)?;
            if let Some(now) = &update.present {
                explains(&log, now).map_err(UpdateError::Present)?;
            }
            let predicted = predict(&log, boot)?;
            for (index, value) in &mut coming {
                *value = sha256(&predicted, *index).unwrap_or(*value);
            }
        }
        for (index, value) in &update.pcrs {
            *coming.get_mut(index).ok_or(UpdateError::NotInLease(*index))? = *value;
        }
        if coming == present { Err(UpdateError::Same) } else { Ok(Self { present, coming }) }
    }
}

/// The log has to be that of the PCRs that the TPM quoted. One that it does not mention was never
/// extended.
fn account(present: &BootState, replayed: &PcrValues) -> Result<(), UpdateError> {
    let untouched = Digest([0; 32]);
    let differs = |(index, value): (&u8, &Digest)| {
        (sha256(replayed, *index).unwrap_or(untouched) != *value).then_some(*index)
    };
    present.iter().find_map(differs).map_or(Ok(()), |index| Err(UpdateError::Unaccounted(index)))
}

fn sha256(values: &PcrValues, index: u8) -> Option<Digest> {
    let value = values.get(HashAlgorithm::Sha256, index)?;
    Digest::try_from(value.as_bytes()).ok()
}
