use std::collections::BTreeMap;

use pawl_evidence::appraise::{ImaProgress, NvPcrs};
use pawl_evidence::attest::{AttestationKey, VerifiedAttest, VerifiedNvPcr, VerifiedQuote};
use pawl_evidence::ima::{Findings, Outcome, Rules};
use pawl_evidence::tpm::Public;
use pawl_proto::message::{CertifiedNvPcr, TpmStructure};
use pawl_proto::{Blob, Digest, Epoch, PcrValue, limits};
use serde::{Deserialize, Serialize};

use super::appraisal::AppraisalInput;
use super::quoted::{QuotedEvidence, pcr_values, quoted_values, verify_nvpcrs};

/// The last evidence of a device, with the TPM's signature. It can be appraised again, and a policy can be learnt from it. The
/// boot event log is stored separately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptEvidence {
    /// When it was received, Unix seconds.
    pub at: u64,
    /// Seconds between the challenge and its arrival.
    pub age: u64,
    /// The epoch in which it was made.
    pub epoch: Epoch,
    /// SHA-256 of the evidence, which the quote covers.
    pub evidence: Digest,
    /// The key that signed the quote.
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
    /// Whether systemd's log is longer than the stored part.
    #[serde(default)]
    measure_log_cut: bool,
    /// The handles of the NvPCRs for which a verdict asked.
    #[serde(default)]
    nvpcrs_asked: Vec<u32>,
    /// The NvPCRs that the TPM certified.
    #[serde(default)]
    nvpcrs: Vec<CertifiedNvPcr>,
    /// The result of comparing the IMA log with PCR 10.
    ima: ImaOutcome,
    /// The findings of the rules on files that were in force then.
    findings: Option<Findings>,
}

/// The result of comparing the IMA log with PCR 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ImaOutcome {
    Absent,
    Behind,
    Anchored,
    AnchoredBySha1,
    Unanchored,
    Inactive,
    Diverged,
}

impl KeptEvidence {
    /// Returns the evidence to store of a report that was received at `now`, Unix seconds.
    ///
    /// # Errors
    /// [`KeptEvidenceError`] if the attestation key is longer than a [`TpmStructure`] may be.
    pub fn new(
        input: &AppraisalInput<'_>,
        quoted: &QuotedEvidence,
        attestation_key: &[u8],
        now: u64,
    ) -> Result<Self, KeptEvidenceError> {
        let (ima, findings) = followed(input.ima);
        Ok(Self {
            at: now,
            age: input.age,
            epoch: input.epoch,
            evidence: quoted.digest,
            attestation_key: TpmStructure::new(attestation_key.to_vec()).map_err(|_| KeptEvidenceError)?,
            attest: quoted.attest.clone(),
            signature: quoted.signature.clone(),
            pcrs: quoted_values(input.quote.pcrs()),
            measure_log: input.measure_log.and_then(|log| Blob::new(log.to_vec()).ok()),
            measure_log_cut: input.measure_log_cut,
            nvpcrs_asked: match (input.nvpcrs, input.policy) {
                (NvPcrs::Certified(_), Some(policy)) => policy.nvpcrs(),
                _ => Vec::new(),
            },
            nvpcrs: quoted.certified.clone(),
            ima,
            findings: findings.cloned(),
        })
    }

    /// Verifies the quote again and returns it.
    ///
    /// # Errors
    /// [`KeptEvidenceError`]
    pub fn quote(&self) -> Result<VerifiedQuote, KeptEvidenceError> {
        let pcrs = pcr_values(&self.pcrs).map_err(|_| KeptEvidenceError)?;
        self.attest(&self.key()?)?.quote(&pcrs).map_err(|_| KeptEvidenceError)
    }

    /// Verifies the certified NvPCRs again and returns them.
    ///
    /// # Errors
    /// [`KeptEvidenceError`]
    pub fn nvpcrs(&self) -> Result<Vec<VerifiedNvPcr>, KeptEvidenceError> {
        let key = self.key()?;
        let quoted_at = self.attest(&key)?.clock();
        verify_nvpcrs(&key, &self.nvpcrs, self.evidence, quoted_at).map_err(|_| KeptEvidenceError)
    }

    /// Returns the handles of the NvPCRs for which a verdict asked.
    #[must_use]
    pub fn nvpcrs_asked(&self) -> &[u32] {
        &self.nvpcrs_asked
    }

    /// Returns the quoted PCRs, all of one bank.
    #[must_use]
    pub fn pcrs(&self) -> &BTreeMap<u8, PcrValue> {
        &self.pcrs
    }

    /// Returns systemd's measurement log, if the device has one.
    #[must_use]
    pub fn measure_log(&self) -> Option<&[u8]> {
        self.measure_log.as_ref().map(Blob::as_bytes)
    }

    /// Returns whether systemd's log is longer than the stored part.
    #[must_use]
    pub fn is_measure_log_cut(&self) -> bool {
        self.measure_log_cut
    }

    /// Returns a quoted PCR.
    #[must_use]
    pub fn pcr(&self, index: u8) -> Option<PcrValue> {
        self.pcrs.get(&index).copied()
    }

    /// Returns the IMA log, as far as it was followed. Findings under other rules than `rules` are left out.
    #[must_use]
    pub fn ima_log(&self, rules: Option<&Rules>) -> ImaProgress<'_> {
        let outcome = match self.ima {
            ImaOutcome::Absent => return ImaProgress::Absent,
            ImaOutcome::Behind => return ImaProgress::Behind,
            ImaOutcome::Anchored => Outcome::Anchored { consumed: 0, padded: false },
            ImaOutcome::AnchoredBySha1 => Outcome::Anchored { consumed: 0, padded: true },
            ImaOutcome::Unanchored => Outcome::Unanchored,
            ImaOutcome::Inactive => Outcome::Inactive,
            ImaOutcome::Diverged => Outcome::Diverged,
        };
        let findings = self.findings.as_ref().zip(rules);
        let findings = findings.and_then(|(findings, rules)| findings.made_under(rules).then_some(findings));
        ImaProgress::Followed { outcome, findings }
    }

    fn key(&self) -> Result<AttestationKey, KeptEvidenceError> {
        let public = Public::unmarshal(self.attestation_key.as_bytes()).map_err(|_| KeptEvidenceError)?;
        AttestationKey::from_public(public).map_err(|_| KeptEvidenceError)
    }

    fn attest(&self, key: &AttestationKey) -> Result<VerifiedAttest, KeptEvidenceError> {
        key.verify(self.attest.as_bytes(), self.signature.as_bytes(), self.evidence.as_bytes())
            .map_err(|_| KeptEvidenceError)
    }
}

fn followed(log: ImaProgress<'_>) -> (ImaOutcome, Option<&Findings>) {
    match log {
        ImaProgress::Absent => (ImaOutcome::Absent, None),
        ImaProgress::Behind => (ImaOutcome::Behind, None),
        ImaProgress::Followed { outcome, findings } => {
            let ima = match outcome {
                Outcome::Anchored { padded: false, .. } => ImaOutcome::Anchored,
                Outcome::Anchored { padded: true, .. } => ImaOutcome::AnchoredBySha1,
                Outcome::Unanchored => ImaOutcome::Unanchored,
                Outcome::Inactive => ImaOutcome::Inactive,
                Outcome::Diverged => ImaOutcome::Diverged,
            };
            (ima, findings)
        }
    }
}

/// The stored evidence cannot be verified again: it is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored evidence of the device is damaged")]
pub struct KeptEvidenceError;
