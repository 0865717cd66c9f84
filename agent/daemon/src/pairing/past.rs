//! What the device finds of its own past.

use pawl_proto::DeviceId;
use pawl_proto::message::Finding;

use crate::shared::Shared;
use crate::store::PairingRecord;

/// What the disk and the TPM knew of a pairing, before this process changed either.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// The pairing on the disk: its device, and the TPM name of its attestation key.
    pairing: Option<(DeviceId, Vec<u8>)>,
    /// Whether the TPM had an epoch counter. Nobody asks where the disk tells of a pairing.
    counter: bool,
}

impl Past {
    /// Looks at the disk, and at the TPM where the disk is silent. The attestation key is not made
    /// for this: that takes seconds on some TPMs, and a start must not.
    ///
    /// # Errors
    /// What the TPM says.
    pub(crate) async fn look(shared: &Shared) -> Result<Self, pawl_tpm::Error> {
        match shared.store.pairing() {
            Ok(Some(record)) => Ok(Self::of(&record)),
            // A record that cannot be read tells nothing.
            Ok(None) | Err(_) => Ok(Self { pairing: None, counter: shared.tpm.counter().await?.is_some() }),
        }
    }

    /// The past of a device with this pairing.
    pub(crate) fn of(record: &PairingRecord) -> Self {
        let attestation_name = record.attestation_name.as_bytes().to_vec();
        Self { pairing: Some((record.device, attestation_name)), counter: true }
    }

    /// What that means to the TPM whose attestation key has this name.
    pub(crate) fn finding(&self, attestation_name: &[u8]) -> Finding {
        match &self.pairing {
            Some((_, name)) if name == attestation_name => Finding::NothingChanged,
            Some(_) => Finding::NewTpm,
            None if self.counter => Finding::NewDisk,
            None => Finding::BothNew,
        }
    }

    /// The device that the disk was paired as, where it was another than this.
    pub(crate) fn former(&self, attestation_name: &[u8]) -> Option<DeviceId> {
        let (device, name) = self.pairing.as_ref()?;
        (name != attestation_name).then_some(*device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_tpm_together_tell_what_changed() {
        let device = DeviceId::from_digest([1; 32]);
        let past = |name: Option<&[u8]>, counter| Past {
            pairing: name.map(|name| (device, name.to_vec())),
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
