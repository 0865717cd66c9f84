//! Reports: the evidence, and one quote over it.
//!
//! Usually a report costs the TPM one command: the evidence has the PCR values of the last report, and the quote shows whether
//! they are still correct. If they are not, the daemon reads the PCRs and quotes again.

use std::collections::BTreeMap;

use pawl_evidence::tpm::{Attest, Attested, HashAlgorithm, PcrIndexError, PcrSelection, PcrValues};
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::message::{CertifiedNvPcr, Evidence, ImaLog, MeasureLog, Report};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId, PcrBank, PcrValue, encode};

use super::effect::{Gather, LogRange, TpmCommand};
use super::health::ReportedHealth;
use super::input::{Gathered, GatheredLogs, NvPcr, TpmAnswer, TpmFailure};
use super::procedure::{Port, pick};
use crate::record::Moment;
use crate::record::bank_hash;

/// The device, pairing and epoch of a report, and its nonce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) device: DeviceId,
    pub(super) pairing: PairingId,
    pub(super) epoch: Epoch,
    pub(super) nonce: Nonce,
}

/// The contents of a report. After the control plane has acknowledged it, the next report builds on it, and leaves out what has not
/// changed.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// SHA-256 of the evidence.
    pub(super) digest: Digest,
    /// When the TPM made the quote.
    pub(super) moment: Moment,
    /// The quoted PCRs.
    pcrs: BTreeMap<u8, PcrValue>,
    /// The offset of the next piece of systemd's measurement log.
    measure: u64,
    /// The offset of the next piece of the IMA log; none if the host has no log.
    ima: Option<u64>,
    /// Whether the last piece reached the end of the IMA log at that time.
    ima_complete: bool,
    health: ReportedHealth,
}

/// A report, and its contents for the next one.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) report: Report,
    pub(super) contents: Acknowledged,
}

/// Number of attempts at a report: PCRs can change between the read and the quote.
const ATTEMPTS: usize = 5;
const IMA_PCR: u8 = 10;

/// Makes a report that builds on `base`, or a full report without it. The report has the audit records that the control plane
/// lacks, and the certified NvPCRs with the handles `asked`.
///
/// # Errors
/// [`ReportError`]
pub(super) async fn report(
    port: &Port,
    subject: Subject,
    base: Option<&Acknowledged>,
    asked: &[u32],
) -> Result<Prepared, ReportError> {
    let mut known = base.map(|base| base.pcrs.clone());
    for _ in 0..ATTEMPTS {
        let pcrs = match known.take() {
            Some(pcrs) => pcrs,
            None => port.tpm(TpmCommand::ReadPcrs, pick!(TpmAnswer::Pcrs)).await?,
        };
        let bank = PcrBank::of(&pcrs).ok_or(ReportError::Quote)?;
        // Read the NvPCRs before the log: if a value has not changed after the log was read, the log has all its records.
        let read = read_nvpcrs(port, asked).await?;
        let range = range(base, bank, &pcrs);
        let logs =
            port.gather(Gather::Logs(range), pick!(Gathered::Logs)).await.map_err(ReportError::Host)?;
        let progress = Progress::of(base, &logs);
        let present = present_nvpcrs(port, &logs).await?;
        let (health, reports_health) =
            ReportedHealth::next(base.map(|base| base.health), logs.health, port.now().boot);
        let evidence = Evidence {
            nvpcrs: present,
            health: reports_health.then_some(logs.health),
            ..evidence(subject, base, &pcrs, *logs)
        };
        let bytes = encode(&evidence)?;
        let digest = Digest::of(&bytes);
        let quote = port.tpm(TpmCommand::Quote { bank, digest }, pick!(TpmAnswer::Quoted)).await?;
        let attest = Attest::unmarshal(&quote.attest).map_err(|_| ReportError::Quote)?;
        let moment = Moment::read(&attest);
        if !covers(&attest.attested, bank, &pcrs)? {
            continue;
        }
        let Some(nvpcrs) = certify_nvpcrs(port, read, digest).await? else { continue };
        let report = Report {
            version: Version,
            evidence: bytes.try_into()?,
            attest: quote.attest.try_into()?,
            signature: quote.signature.try_into()?,
            nvpcrs,
        };
        let Progress { measure, ima, ima_complete } = progress;
        return Ok(Prepared {
            report,
            contents: Acknowledged { digest, moment, pcrs, measure, ima, ima_complete, health },
        });
    }
    Err(ReportError::Restless)
}

/// Returns the PCRs that every report quotes: the firmware's, the loader's, the kernel's and systemd's.
///
/// # Errors
/// None in practice: the indices are constant and valid.
pub(crate) fn quoted_pcrs(bank: HashAlgorithm) -> Result<PcrSelection, PcrIndexError> {
    PcrSelection::new(bank, 0..=15)
}

/// Returns whether a quote covers these values.
///
/// # Errors
/// If the structure is not a quote, or an index is not that of a PCR.
pub(crate) fn covers(
    attested: &Attested,
    bank: PcrBank,
    pcrs: &BTreeMap<u8, PcrValue>,
) -> Result<bool, ReportError> {
    let Attested::Quote { pcr_digest, .. } = attested else { return Err(ReportError::Quote) };
    let bank = bank_hash(bank);
    let mut values = PcrValues::default();
    for (index, value) in pcrs {
        if let Some(value) = pawl_evidence::tpm::TaggedDigest::new(bank, value.as_bytes()) {
            values.insert(*index, value)?;
        }
    }
    // The attestation key signs with SHA-256, also for other banks.
    let selection: PcrSelection = quoted_pcrs(bank)?;
    let composite = values.composite(&selection, HashAlgorithm::Sha256).map_err(|_| ReportError::Quote)?;
    Ok(composite.as_bytes() == *pcr_digest)
}

/// Returns the part of the logs that the control plane does not have.
fn range(base: Option<&Acknowledged>, bank: PcrBank, pcrs: &BTreeMap<u8, PcrValue>) -> LogRange {
    // Read the IMA log only if its PCR has changed, or if the last piece did not reach its end.
    let is_known =
        base.is_some_and(|base| base.ima_complete && base.pcrs.get(&IMA_PCR) == pcrs.get(&IMA_PCR));
    LogRange {
        whole: base.is_none(),
        bank,
        measure: base.map_or(0, |base| base.measure),
        ima: (!is_known).then_some(base.and_then(|base| base.ima).unwrap_or(0)),
    }
}

/// The offsets in the logs after a report.
struct Progress {
    measure: u64,
    ima: Option<u64>,
    ima_complete: bool,
}

impl Progress {
    fn of(base: Option<&Acknowledged>, logs: &GatheredLogs) -> Self {
        let ima = logs.ima.as_ref();
        let end = ima.map(|ima: &ImaLog| end(ima.offset, ima.bytes.as_bytes()));
        Self {
            measure: match &logs.measure {
                Some(MeasureLog { offset, bytes, .. }) => self::end(*offset, bytes.as_bytes()),
                None => base.map_or(0, |base| base.measure),
            },
            ima_complete: ima.zip(end).is_none_or(|(ima, end)| end >= ima.size),
            ima: end.or_else(|| base.and_then(|base| base.ima)),
        }
    }
}

fn end(offset: u64, bytes: &[u8]) -> u64 {
    offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}

fn evidence(
    subject: Subject,
    base: Option<&Acknowledged>,
    pcrs: &BTreeMap<u8, PcrValue>,
    logs: GatheredLogs,
) -> Evidence {
    let is_unchanged = |index: &u8| base.is_some_and(|base| base.pcrs.get(index) == pcrs.get(index));
    Evidence {
        version: Version,
        device: subject.device,
        pairing: subject.pairing,
        epoch: subject.epoch,
        nonce: subject.nonce,
        since: base.map(|base| base.digest),
        boot_id: logs.boot_id,
        run: Some(logs.run),
        pcrs: pcrs.iter().filter(|(index, _)| !is_unchanged(index)).map(|(i, v)| (*i, *v)).collect(),
        boot_log: logs.boot,
        measure_log: logs.measure,
        nvpcrs: None,
        ima_log: logs.ima,
        host: logs.facts,
        health: None,
        audit: logs.audit,
    }
}

async fn read_nvpcrs(port: &Port, asked: &[u32]) -> Result<Vec<NvPcr>, TpmFailure> {
    match asked {
        [] => Ok(Vec::new()),
        asked => port.tpm(TpmCommand::ReadNvPcrs(asked.to_vec()), pick!(TpmAnswer::NvPcrs)).await,
    }
}

/// Returns which of the NvPCRs that systemd's log names exist in the TPM; none if the report does not read that log.
async fn present_nvpcrs(port: &Port, logs: &GatheredLogs) -> Result<Option<Vec<u32>>, TpmFailure> {
    match logs.named_nvpcrs.as_deref() {
        None => Ok(None),
        Some([]) => Ok(Some(Vec::new())),
        Some(named) => {
            let command = TpmCommand::PresentNvPcrs(named.to_vec());
            port.tpm(command, pick!(TpmAnswer::PresentNvPcrs)).await.map(Some)
        }
    }
}

/// Has the attestation key certify NvPCRs, with the digest of the evidence as qualifying data. Returns none if one has changed
/// since it was read: the log in the evidence may lack the record of that change.
async fn certify_nvpcrs(
    port: &Port,
    read: Vec<NvPcr>,
    evidence: Digest,
) -> Result<Option<Vec<CertifiedNvPcr>>, ReportError> {
    if read.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let handles = read.iter().map(|nvpcr| nvpcr.handle).collect();
    let command = TpmCommand::CertifyNvPcrs(handles, evidence);
    let mut attestations = port.tpm(command, pick!(TpmAnswer::NvPcrsCertified)).await?;
    let mut certified = Vec::new();
    for NvPcr { handle, found } in read {
        let Some(index) = attestations.iter().position(|(certified, _)| *certified == handle) else {
            continue;
        };
        let (_, attestation) = attestations.swap_remove(index);
        let attest = Attest::unmarshal(&attestation.attest).map_err(|_| ReportError::Quote)?;
        if !matches!(attest.attested, Attested::NvCertify { contents, .. } if contents == found.value) {
            return Ok(None);
        }
        certified.push(CertifiedNvPcr {
            public: found.public.try_into()?,
            attest: attestation.attest.try_into()?,
            signature: attestation.signature.try_into()?,
        });
    }
    Ok(Some(certified))
}

/// Why a report failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Tpm(#[from] TpmFailure),
    #[error("PCRs or NvPCRs changed during every attempt to quote them")]
    Restless,
    #[error("the TPM's quote is malformed")]
    Quote,
    #[error("the logs were not read: {0}")]
    Host(String),
    #[error(transparent)]
    Pcr(#[from] PcrIndexError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
