//! A whole report, as an honest device makes it.

use pawl_evidence::tpm::{HashAlgorithm, PcrSelection};
use pawl_proto::message::{BootLog, Evidence, HostFacts, Report};
use pawl_proto::{Blob, Digest, Epoch, Nonce, PairingId, PcrValue, Text, codec};

use super::{Impostor, blob};

impl Impostor {
    pub(super) fn report(&self, pairing: PairingId, nonce: Nonce) -> Report {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, 0..=15).unwrap();
        let pcrs = self.runtime.block_on(self.tpm.read_pcrs(&selection)).unwrap();
        let evidence = Evidence {
            version: codec::Version,
            device: self.device(),
            pairing,
            epoch: Epoch(self.counter.epoch),
            nonce,
            since: None,
            boot_id: Text::lossy("00000000-0000-0000-0000-000000000000"),
            run: None,
            pcrs: pcrs
                .bank(HashAlgorithm::Sha256)
                .map(|(index, digest)| (index, PcrValue::new(digest.as_bytes()).unwrap()))
                .collect(),
            boot_log: Some(BootLog {
                digest: Digest::of(&self.boot_log),
                bytes: Some(Blob::new(self.boot_log.clone()).unwrap()),
            }),
            measure_log: None,
            nvpcrs: None,
            ima_log: None,
            host: Some(HostFacts::default()),
            health: None,
            audit: None,
        };
        let evidence = codec::encode(&evidence).unwrap();
        let quote = self.runtime.block_on(self.tpm.quote(&selection, Digest::of(&evidence).0)).unwrap();
        Report {
            version: codec::Version,
            evidence: Blob::new(evidence).unwrap(),
            attest: blob(&quote.attest),
            signature: blob(&quote.signature),
            nvpcrs: Vec::new(),
        }
    }
}
