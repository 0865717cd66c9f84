//! Posture: what a device reports of itself, under one TPM signature.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ShortText, TpmStructure};
use crate::bounded::{Blob, Digest, Nonce, Text};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId};
use crate::limits;
use crate::pcr::PcrValue;
use crate::record::RecordBytes;

/// Device: evidence and the quote over it, on the posture channel and in the pairing proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The message version.
    pub version: Version,
    /// An [`Evidence`], encoded: the bytes whose SHA-256 is the quote's extraData.
    pub evidence: Blob<{ limits::MESSAGE }>,
    /// `TPMS_ATTEST` of `TPM2_Quote`.
    pub attest: TpmStructure,
    /// `TPMT_SIGNATURE` by the attestation key.
    pub signature: TpmStructure,
    /// The NvPCRs that the last verdict asked for, as far as the TPM has them; at most [`limits::NVPCRS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nvpcrs: Vec<CertifiedNvPcr>,
}

/// An NvPCR and the attestation key's word on its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertifiedNvPcr {
    /// `TPMS_NV_PUBLIC` of its index.
    pub public: TpmStructure,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify` over the whole index. Its extraData is that of the quote.
    pub attest: TpmStructure,
    /// `TPMT_SIGNATURE` by the attestation key.
    pub signature: TpmStructure,
}

/// What the quote covers besides the PCRs. A compromised host can write anything here that is
/// not replayed against a PCR: facts are facts of the device's own telling.
///
/// A whole report has `since` = none, every quoted PCR, the whole boot log, systemd's measurement log and the IMA log
/// from their start, and the host facts. The reports after it name in `since` the evidence that the control
/// plane has last acknowledged, and leave out what is unchanged since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// The pairing under which it reports.
    pub pairing: PairingId,
    /// The epoch of that pairing.
    pub epoch: Epoch,
    /// The nonce of the last verdict.
    pub nonce: Nonce,
    /// SHA-256 of the evidence on which this one builds; none for a whole report.
    pub since: Option<Digest>,
    /// Linux's random id of this boot.
    pub boot_id: Text<64>,
    /// The random id of this run of the daemon: two that live at the same time are in two places.
    pub run: Option<Nonce>,
    /// Every quoted PCR in a whole report, else those that changed; all of one bank.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The firmware's event log, if the host has one.
    pub boot_log: Option<BootLog>,
    /// systemd's measurement log, if the host has one and there is more of it.
    pub measure_log: Option<MeasureLog>,
    /// The handles of the NvPCRs that the TPM has of those which systemd's measurement log names, at most
    /// [`limits::NVPCRS_PRESENT`]: in whole reports, and in others that bring more of that log.
    #[serde(default)]
    pub nvpcrs: Option<Vec<u32>>,
    /// The kernel's IMA log, if the host has one.
    pub ima_log: Option<ImaLog>,
    /// In whole reports.
    pub host: Option<HostFacts>,
    /// How the host is doing: in whole reports, and in others after a large change or an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HostHealth>,
    /// The device's chain of assurance records; none while it cannot be kept.
    pub audit: Option<Audit>,
}

/// The device's chain of records: those that the control plane does not have yet, and the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The sequence of the first of `records`; without any, of the record that comes next.
    pub first: u64,
    /// The digest of the record before `first`; [`crate::record::Link::START`] where there is none.
    pub previous: Digest,
    /// The records, oldest first.
    pub records: Vec<RecordBytes>,
    /// The digest of the last of them; without any, of the last record there is.
    pub head: Digest,
    /// How many more there are, which come with the next reports.
    pub pending: u64,
}

/// The firmware's event log (`binary_bios_measurements`). It does not grow after the boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootLog {
    /// SHA-256 of the log.
    pub digest: Digest,
    /// The log, in a whole report.
    pub bytes: Option<Blob<{ limits::BOOT_LOG }>>,
}

/// A piece of systemd's measurement log (`tpm2-measure.log`), read after the PCRs while no record was being added. It
/// grows with each phase of the boot, with logins and with a soft reboot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureLog {
    /// Where in the log the piece stands.
    pub offset: u64,
    /// How long the log was when it was read; more pieces follow when this one ends before it.
    pub size: u64,
    /// The piece, which may begin and end inside a record.
    pub bytes: Blob<{ limits::MEASURE_PIECE }>,
}

/// A piece of `binary_runtime_measurements`, read after the quote was prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImaLog {
    /// Where in the log the piece stands.
    pub offset: u64,
    /// How long the log was at least when it was read; more pieces follow when this one ends before it.
    pub size: u64,
    /// The piece, which may begin and end inside an entry.
    pub bytes: Blob<{ limits::IMA_PIECE }>,
}

/// What the host says of itself, for people who look for a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host's name.
    pub hostname: ShortText,
    /// The machine's architecture, as the kernel names it.
    pub architecture: ShortText,
    /// The kernel's release.
    pub kernel: ShortText,
    /// The operating system, as os-release names it.
    pub system: ShortText,
    /// The board or product, from DMI or the device tree.
    pub product: ShortText,
    /// The version of the daemon.
    pub agent: ShortText,
}

/// How a host is doing, for operators who look for what is wrong with a device. It is the host's word: nothing is judged
/// by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealth {
    /// Seconds since the kernel started.
    pub uptime: u64,
    /// The load average of the last minute, in hundredths.
    pub load: u32,
    /// Memory that programs can still get, in MiB.
    pub memory: u64,
    /// Free swap, in MiB.
    pub swap: u64,
    /// Free space of the file system that has the daemon's state, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<u64>,
    /// Free space of `/`, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// The highest temperature of the processor's sensors, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i16>,
}
