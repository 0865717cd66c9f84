//! A report: evidence, and one quote over it.
//!
//! In the steady state a report costs the TPM one command. The evidence is made of the PCR
//! values that are known from the last report, and the quote says whether they still hold; only
//! when they do not are the PCRs read, and the quote is made again.

use std::collections::BTreeMap;

use pawl_evidence::tpm::{Attest, Attested, HashAlgorithm, PcrIndexError, PcrSelection, PcrValues};
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::message::{self, BootLog, Evidence, ImaLog, MeasureLog, Report};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId, PcrBank, PcrValue, encode};
use pawl_tpm::Tpm;

use super::host;
use super::logs::Logs;
use super::nvpcrs;
use crate::audit::{Audit, Moment};

/// Who reports, and on which nonce.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) device: DeviceId,
    pub(crate) pairing: PairingId,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: Nonce,
}

/// What a report has told the control plane. Once it is acknowledged, the next report builds on
/// it and leaves out what has not changed since.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// SHA-256 of the evidence.
    pub digest: Digest,
    /// When the TPM made the quote.
    pub moment: Moment,
    /// The quoted PCRs.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// Where the next piece of systemd's measurement log begins.
    pub measure: u64,
    /// Where the next piece of the IMA log begins; none where the host has no log.
    pub ima: Option<u64>,
    /// Whether the last piece reached the end that the log then had.
    pub ima_complete: bool,
}

/// A report that can be sent, and what it will have told.
pub(crate) struct Prepared {
    pub(crate) report: Report,
    pub(crate) tells: Acknowledged,
}

/// Makes a report: one that builds on `base`, or a whole one. It takes along what the control
/// plane does not have yet of the records in `audit`, and certifies the NvPCRs of the handles `asked`.
///
/// # Errors
/// [`ReportError`]; above all what the TPM says.
pub(crate) async fn prepare(
    tpm: &Tpm,
    logs: &Logs,
    subject: Subject,
    base: Option<&Acknowledged>,
    audit: &Audit,
    asked: &[u32],
) -> Result<Prepared, ReportError> {
    let records = audit.report().await;
    let mut known = base.map(|base| base.pcrs.clone());
    for _ in 0..ATTEMPTS {
        let pcrs = match known.take() {
            Some(pcrs) => pcrs,
            None => read(tpm).await?,
        };
        let wanted = Wanted::of(base, &pcrs)?;
        // Before the log: a value that still holds after it has all its records there.
        let nvpcrs = nvpcrs::read(tpm, asked).await;
        let logs = logs.clone();
        let found = tokio::task::spawn_blocking(move || wanted.read(&logs)).await;
        let found = found.map_err(|_| ReportError::Logs)?;
        let ima = found.ima.as_ref().map(ImaProgress::of);
        let measure = found.measure.as_ref().map_or_else(|| next_measured(base), end_of);
        let present = match &found.named {
            Some(named) => Some(nvpcrs::present(tpm, named.clone()).await),
            None => None,
        };
        let evidence = Evidence { nvpcrs: present, ..evidence(subject, base, &pcrs, found, records.clone()) };
        let bytes = encode(&evidence)?;
        let digest = Digest::of(&bytes);
        let quoted = quote(tpm, &pcrs, digest).await?;
        if !quoted.covers(&pcrs)? {
            continue;
        }
        if let Some(nvpcrs) = nvpcrs::certify(tpm, nvpcrs, digest).await? {
            let Quoted { attestation, moment, .. } = quoted;
            let report = Report {
                version: Version,
                evidence: bytes.try_into()?,
                attest: attestation.attest.try_into()?,
                signature: attestation.signature.try_into()?,
                nvpcrs,
            };
            let complete = ima.as_ref().is_none_or(|ima| ima.complete);
            let ima = ima.map(|ima| ima.end).or_else(|| base.and_then(|base| base.ima));
            return Ok(Prepared {
                report,
                tells: Acknowledged { digest, moment, pcrs, measure, ima, ima_complete: complete },
            });
        }
    }
    Err(ReportError::Restless)
}

/// How often the PCRs may change between reading and quoting before we say so.
const ATTEMPTS: usize = 5;
const IMA_PCR: u8 = 10;

/// The PCRs that every report quotes: the firmware's, the loader's, the kernel's and systemd's.
fn quoted_pcrs(bank: HashAlgorithm) -> Result<PcrSelection, PcrIndexError> {
    PcrSelection::new(bank, 0..=15)
}

/// The hash of the bank of these values, as pawl-evidence has it.
fn bank_of(pcrs: &BTreeMap<u8, PcrValue>) -> Result<HashAlgorithm, ReportError> {
    PcrBank::of(pcrs).map(bank_hash).ok_or(ReportError::Quote)
}

/// The hash algorithm of a bank.
pub(crate) fn bank_hash(bank: PcrBank) -> HashAlgorithm {
    match bank {
        PcrBank::Sha256 => HashAlgorithm::Sha256,
        PcrBank::Sha384 => HashAlgorithm::Sha384,
    }
}

/// A quote with a nonce of somebody's own, and the PCR values that it is over.
///
/// # Errors
/// [`ReportError`]; above all what the TPM says.
pub(crate) async fn quote_stable(
    tpm: &Tpm,
    nonce: Digest,
) -> Result<(pawl_tpm::Attestation, BTreeMap<u8, PcrValue>), ReportError> {
    for _ in 0..ATTEMPTS {
        let pcrs = read(tpm).await?;
        let quoted = quote(tpm, &pcrs, nonce).await?;
        if quoted.covers(&pcrs)? {
            return Ok((quoted.attestation, pcrs));
        }
    }
    Err(ReportError::Restless)
}

/// A quote over [`quoted_pcrs`].
struct Quoted {
    attestation: pawl_tpm::Attestation,
    pcr_digest: Vec<u8>,
    moment: Moment,
}

/// Quotes the bank that `pcrs` are of.
async fn quote(tpm: &Tpm, pcrs: &BTreeMap<u8, PcrValue>, extra: Digest) -> Result<Quoted, ReportError> {
    let attestation = tpm.quote(&quoted_pcrs(bank_of(pcrs)?)?, extra.0).await?;
    let attest = Attest::unmarshal(&attestation.attest).map_err(|_| ReportError::Quote)?;
    let moment = Moment::read(&attest);
    let Attested::Quote { pcr_digest, .. } = attest.attested else { return Err(ReportError::Quote) };
    Ok(Quoted { attestation, pcr_digest, moment })
}

impl Quoted {
    /// Whether the quote is over these values.
    fn covers(&self, pcrs: &BTreeMap<u8, PcrValue>) -> Result<bool, ReportError> {
        let bank = bank_of(pcrs)?;
        let mut values = PcrValues::default();
        for (index, value) in pcrs {
            if let Some(value) = pawl_evidence::tpm::Digest::new(bank, value.as_bytes()) {
                values.insert(*index, value)?;
            }
        }
        // The attestation key signs SHA-256, whatever the bank.
        let composite =
            values.composite(&quoted_pcrs(bank)?, HashAlgorithm::Sha256).map_err(|_| ReportError::Quote)?;
        Ok(composite.as_bytes() == self.pcr_digest)
    }
}

/// The quoted PCRs, read.
async fn read(tpm: &Tpm) -> Result<BTreeMap<u8, PcrValue>, ReportError> {
    let bank = tpm.pcr_bank().await?;
    let values = tpm.read_pcrs(&quoted_pcrs(bank)?).await?;
    let bank = values.bank(bank);
    bank.map(|(index, value)| {
        let value = PcrValue::new(value.as_bytes()).map_err(|_| ReportError::Quote)?;
        Ok((index, value))
    })
    .collect()
}

/// What a report takes along of the logs.
#[derive(Clone, Copy)]
struct Wanted {
    whole: bool,
    /// The bank that is quoted.
    bank: PcrBank,
    /// From where on.
    measure: u64,
    /// From where on, if at all.
    ima: Option<u64>,
}

struct Found {
    boot: Option<BootLog>,
    measure: Option<MeasureLog>,
    /// The handles of the NvPCRs that systemd's log names, where they are worth reporting.
    named: Option<Vec<u32>>,
    ima: Option<ImaLog>,
}

impl Wanted {
    fn of(base: Option<&Acknowledged>, pcrs: &BTreeMap<u8, PcrValue>) -> Result<Self, ReportError> {
        let bank = PcrBank::of(pcrs).ok_or(ReportError::Quote)?;
        // The log is worth reading only where the TPM says that it grew, or where we are behind.
        let known =
            base.is_some_and(|base| base.ima_complete && base.pcrs.get(&IMA_PCR) == pcrs.get(&IMA_PCR));
        let next = base.and_then(|base| base.ima).unwrap_or(0);
        let ima = (!known).then_some(next);
        Ok(Self { whole: base.is_none(), bank, measure: next_measured(base), ima })
    }

    fn read(self, logs: &Logs) -> Found {
        // Nothing new is no news, but in a whole report.
        let measure = logs.measure(self.measure).filter(|log| self.whole || !log.bytes.as_bytes().is_empty());
        let named = (self.whole || measure.is_some()).then(|| logs.named_nvpcrs());
        let ima = self.ima.and_then(|offset| logs.ima(self.bank, offset));
        Found { boot: logs.boot(self.whole), measure, named, ima }
    }
}

/// Where the piece of systemd's log begins that the control plane does not have yet.
fn next_measured(base: Option<&Acknowledged>) -> u64 {
    base.map_or(0, |base| base.measure)
}

fn end_of(piece: &MeasureLog) -> u64 {
    piece.offset.saturating_add(u64::try_from(piece.bytes.as_bytes().len()).unwrap_or(u64::MAX))
}

struct ImaProgress {
    end: u64,
    complete: bool,
}

impl ImaProgress {
    fn of(piece: &ImaLog) -> Self {
        let end =
            piece.offset.saturating_add(u64::try_from(piece.bytes.as_bytes().len()).unwrap_or(u64::MAX));
        Self { end, complete: end >= piece.size }
    }
}

fn evidence(
    subject: Subject,
    base: Option<&Acknowledged>,
    pcrs: &BTreeMap<u8, PcrValue>,
    logs: Found,
    audit: Option<message::Audit>,
) -> Evidence {
    let unchanged = |index: &u8| base.is_some_and(|base| base.pcrs.get(index) == pcrs.get(index));
    Evidence {
        version: Version,
        device: subject.device,
        pairing: subject.pairing,
        epoch: subject.epoch,
        nonce: subject.nonce,
        since: base.map(|base| base.digest),
        boot_id: host::boot_id(),
        run: Some(host::run()),
        pcrs: pcrs.iter().filter(|(index, _)| !unchanged(index)).map(|(i, v)| (*i, *v)).collect(),
        boot_log: logs.boot,
        measure_log: logs.measure,
        nvpcrs: None,
        ima_log: logs.ima,
        host: base.is_none().then(host::facts),
        audit,
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error("PCRs or NvPCRs changed under every quote; the next try is due soon")]
    Restless,
    #[error("the TPM's quote is malformed")]
    Quote,
    #[error("the logs were not read to the end: the daemon is stopping")]
    Logs,
    #[error(transparent)]
    Pcr(#[from] PcrIndexError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
