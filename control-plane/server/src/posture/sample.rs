//! What a device last showed is kept, so that it can be judged again and learnt from.

use std::collections::BTreeMap;

use pawl_evidence::appraise::ImaLog;
use pawl_evidence::attest::{AttestationKey, VerifiedQuote};
use pawl_evidence::ima::{Findings, Outcome, Rules};
use pawl_evidence::tpm::Public;
use pawl_proto::message::TpmStructure;
use pawl_proto::{Blob, Digest, Epoch, PcrValue, limits};
use serde::{Deserialize, Serialize};

use super::appraisal::Shown;
use super::quoted::{Quoted, pcr_values, quoted_values};
use crate::store::{StoreError, Tx};

/// What a device last showed, with the TPM's signature for it. The boot event log stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it came, Unix seconds.
    pub at: u64,
    /// Seconds after the challenge.
    pub age: u64,
    /// The epoch in which it was made.
    pub epoch: Epoch,
    /// SHA-256 of the evidence, which the quote covers.
    pub evidence: Digest,
    /// The key that signed.
    attestation_key: TpmStructure,
    /// The quote.
    attest: TpmStructure,
    /// Its signature.
    signature: TpmStructure,
    /// The quoted PCRs, all of one bank.
    pcrs: BTreeMap<u8, PcrValue>,
    /// systemd's measurement log, as far as it was reported.
    #[serde(default)]
    measure_log: Option<Blob<{ limits::MEASURE_LOG }>>,
    /// How far the IMA log was followed.
    ima: Ima,
    /// What the rules on files found in it, those that were in force then.
    findings: Option<Findings>,
}

/// What the IMA log had to do with PCR 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ima {
    Absent,
    Behind,
    Anchored,
    AnchoredBySha1,
    Unanchored,
    Inactive,
    Diverged,
}

/// Keeps what a device has shown.
pub(crate) fn keep(
    tx: &Tx<'_>,
    shown: &Shown<'_>,
    quoted: &Quoted,
    attestation_key: &[u8],
    now: u64,
) -> Result<(), StoreError> {
    let (ima, findings) = taken(shown.ima);
    let sample = Sample {
        at: now,
        age: shown.age,
        epoch: shown.epoch,
        evidence: quoted.digest,
        attestation_key: TpmStructure::new(attestation_key.to_vec())
            .map_err(|_| StoreError::Malformed("attestation key"))?,
        attest: quoted.attest.clone(),
        signature: quoted.signature.clone(),
        pcrs: quoted_values(shown.quote.pcrs()),
        measure_log: shown.measure_log.and_then(|log| Blob::new(log.to_vec()).ok()),
        ima,
        findings: findings.cloned(),
    };
    tx.set_sample(shown.device, &sample, shown.boot_log)
}

impl Sample {
    /// The quote, verified anew.
    ///
    /// # Errors
    /// When what was kept was damaged.
    pub(crate) fn quote(&self) -> Result<VerifiedQuote, StoreError> {
        let key = Public::unmarshal(self.attestation_key.as_bytes()).ok();
        let key = key.and_then(|key| AttestationKey::from_public(key).ok());
        let attest = key.and_then(|key| {
            key.verify(self.attest.as_bytes(), self.signature.as_bytes(), self.evidence.as_bytes()).ok()
        });
        let pcrs = pcr_values(&self.pcrs).ok();
        let quote = attest.zip(pcrs).and_then(|(attest, pcrs)| attest.quote(&pcrs).ok());
        quote.ok_or(StoreError::Malformed("sample"))
    }

    /// The quoted PCRs, all of one bank.
    pub(crate) fn pcrs(&self) -> &BTreeMap<u8, PcrValue> {
        &self.pcrs
    }

    /// systemd's measurement log, if the device has one.
    pub(crate) fn measure_log(&self) -> Option<&[u8]> {
        self.measure_log.as_ref().map(Blob::as_bytes)
    }

    /// A quoted PCR.
    pub(crate) fn pcr(&self, index: u8) -> Option<PcrValue> {
        self.pcrs.get(&index).copied()
    }

    /// The IMA log, as far as it was followed. What other rules found in it than those that are in force is no
    /// finding.
    pub(crate) fn ima_log(&self, rules: Option<&Rules>) -> ImaLog<'_> {
        let outcome = match self.ima {
            Ima::Absent => return ImaLog::Absent,
            Ima::Behind => return ImaLog::Behind,
            Ima::Anchored => Outcome::Anchored { consumed: 0, padded: false },
            Ima::AnchoredBySha1 => Outcome::Anchored { consumed: 0, padded: true },
            Ima::Unanchored => Outcome::Unanchored,
            Ima::Inactive => Outcome::Inactive,
            Ima::Diverged => Outcome::Diverged,
        };
        let findings = self.findings.as_ref().zip(rules);
        let findings = findings.and_then(|(findings, rules)| findings.made_under(rules).then_some(findings));
        ImaLog::Followed { outcome, findings }
    }
}

fn taken(log: ImaLog<'_>) -> (Ima, Option<&Findings>) {
    match log {
        ImaLog::Absent => (Ima::Absent, None),
        ImaLog::Behind => (Ima::Behind, None),
        ImaLog::Followed { outcome, findings } => {
            let ima = match outcome {
                Outcome::Anchored { padded: false, .. } => Ima::Anchored,
                Outcome::Anchored { padded: true, .. } => Ima::AnchoredBySha1,
                Outcome::Unanchored => Ima::Unanchored,
                Outcome::Inactive => Ima::Inactive,
                Outcome::Diverged => Ima::Diverged,
            };
            (ima, findings)
        }
    }
}
