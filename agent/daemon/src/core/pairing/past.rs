//! What the disk and the TPM show about earlier pairings of this device.

use pawl_proto::message::Finding;
use pawl_proto::{DeviceId, Epoch};

use crate::core::found::Found;
use crate::record::PairingRecord;

/// The pairing that the disk had at the start of this process, or that the process has created since.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pairing: Option<PastPairing>,
    /// Whether the TPM had an epoch counter.
    counter: bool,
}

#[derive(Clone, Debug)]
struct PastPairing {
    device: DeviceId,
    /// The TPM name of its attestation key.
    attestation_name: Vec<u8>,
    epoch: Epoch,
}

impl Past {
    /// Returns the past that an examination shows. Ignores an unreadable record.
    pub(in crate::core) fn found(found: &Found) -> Self {
        match &found.pairing {
            Ok(Some(record)) => Self::of(record),
            Ok(None) | Err(_) => Self { pairing: None, counter: found.counter.is_some() },
        }
    }

    /// Returns the past of a device with this pairing.
    pub(in crate::core) fn of(record: &PairingRecord) -> Self {
        let attestation_name = record.attestation_name.as_bytes().to_vec();
        let (device, epoch) = (record.device, record.epoch);
        Self { pairing: Some(PastPairing { device, attestation_name, epoch }), counter: true }
    }

    /// Returns the epoch of the last pairing that the TPM with this attestation key had.
    pub(in crate::core) fn epoch(&self, attestation_name: &[u8]) -> Option<Epoch> {
        let pairing = self.pairing.as_ref()?;
        (pairing.attestation_name == attestation_name).then_some(pairing.epoch)
    }

    /// Returns the finding for the TPM with this name of the attestation key.
    pub(crate) fn finding(&self, attestation_name: &[u8]) -> Finding {
        match &self.pairing {
            Some(pairing) if pairing.attestation_name == attestation_name => Finding::NothingChanged,
            Some(_) => Finding::NewTpm,
            None if self.counter => Finding::NewDisk,
            None => Finding::BothNew,
        }
    }

    /// Returns the device in the disk's record, if it is another one.
    pub(crate) fn former(&self, attestation_name: &[u8]) -> Option<DeviceId> {
        let pairing = self.pairing.as_ref()?;
        (pairing.attestation_name != attestation_name).then_some(pairing.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_depends_on_the_disk_and_the_tpm() {
        let device = DeviceId::from_digest([1; 32]);
        let past = |name: Option<&[u8]>, counter| Past {
            pairing: name.map(|name| PastPairing {
                device,
                attestation_name: name.to_vec(),
                epoch: Epoch(3),
            }),
            counter,
        };
        for (past, finding, former) in [
            (past(Some(b"this"), true), Finding::NothingChanged, None),
            (past(Some(b"that"), true), Finding::NewTpm, Some(device)),
            (past(None, true), Finding::NewDisk, None),
            (past(None, false), Finding::BothNew, None),
        ] {
            assert_eq!(past.finding(b"this"), finding, "{past:?}");
            assert_eq!(past.former(b"this"), former, "{past:?}");
        }
    }
}
