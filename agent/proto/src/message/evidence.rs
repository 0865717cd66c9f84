//! What a device says of itself: reports, which its TPM signs, and its unsigned status.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ShortText, TpmStructure};
use crate::bounded::{Blob, Digest, Nonce, Text};
use crate::codec::Version;
use crate::id::{DeviceId, Epoch, PairingId};
use crate::pcr::PcrValue;
use crate::record::RecordBytes;
use crate::{limits, open_enum};

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
    /// The NvPCRs that the last verdict requested, as far as the TPM has them; at most [`limits::NVPCRS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nvpcrs: Vec<CertifiedNvPcr>,
}

/// An NvPCR, and the attestation key's certification of its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertifiedNvPcr {
    /// `TPMS_NV_PUBLIC` of its index.
    pub public: TpmStructure,
    /// `TPMS_ATTEST` of `TPM2_NV_Certify` over the whole index. Its extraData is that of the quote.
    pub attest: TpmStructure,
    /// `TPMT_SIGNATURE` by the attestation key.
    pub signature: TpmStructure,
}

/// What the quote covers besides the PCRs. A compromised host can write anything here that is not replayed against a PCR:
/// host facts are claims.
///
/// A full report has no `since`, and has every quoted PCR, the complete boot log, systemd's measurement log and the IMA
/// log from their start, and the host facts. An incremental report names in `since` the evidence that the control plane
/// acknowledged last, and omits what has not changed since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// The pairing.
    pub pairing: PairingId,
    /// The epoch of that pairing.
    pub epoch: Epoch,
    /// The nonce of the last verdict.
    pub nonce: Nonce,
    /// SHA-256 of the evidence on which this one builds; none for a full report.
    pub since: Option<Digest>,
    /// Linux's random id of this boot.
    pub boot_id: Text<64>,
    /// The random id of this run of the daemon. Two runs that report alternately show a cloned device.
    pub run: Option<Nonce>,
    /// In a full report every quoted PCR, otherwise those that changed; all of one bank.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The firmware's event log, if the host has one.
    pub boot_log: Option<BootLog>,
    /// The next piece of systemd's measurement log, if there is one.
    pub measure_log: Option<MeasureLog>,
    /// The handles of the NvPCRs that systemd's measurement log names and the TPM has, at most
    /// [`limits::NVPCRS_PRESENT`]: in full reports, and in others with a piece of that log.
    #[serde(default)]
    pub nvpcrs: Option<Vec<u32>>,
    /// The kernel's IMA log, if the host has one.
    pub ima_log: Option<ImaLog>,
    /// In full reports.
    pub host: Option<HostFacts>,
    /// How the host is doing: in full reports, and in others after a large change or an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HostHealth>,
    /// The device's chain of audit records; none while the device cannot store it.
    pub audit: Option<Audit>,
}

/// The device's chain of audit records: its head, and the records that the control plane does not have yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The sequence number of the first of `records`; without records, that of the next record.
    pub first: u64,
    /// The digest of the record before `first`; [`crate::record::Link::START`] if there is none.
    pub previous: Digest,
    /// The records, oldest first.
    pub records: Vec<RecordBytes>,
    /// The digest of the last of them; without records, that of the last record of the chain.
    pub head: Digest,
    /// How many more records follow in the next reports.
    pub pending: u64,
}

/// The firmware's event log (`binary_bios_measurements`). It does not grow after the boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootLog {
    /// SHA-256 of the log.
    pub digest: Digest,
    /// The log, in a full report.
    pub bytes: Option<Blob<{ limits::BOOT_LOG }>>,
}

/// A piece of systemd's measurement log (`tpm2-measure.log`), read after the PCRs while no record was being added. It
/// grows with each phase of the boot, with logins and with a soft reboot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureLog {
    /// The offset of the piece in the log.
    pub offset: u64,
    /// The length of the log when it was read. More pieces follow if this one ends before it.
    pub size: u64,
    /// The piece, which may begin and end inside a record.
    pub bytes: Blob<{ limits::MEASURE_PIECE }>,
}

/// A piece of `binary_runtime_measurements`, read after the quote was prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImaLog {
    /// The offset of the piece in the log.
    pub offset: u64,
    /// The minimum length of the log when it was read. More pieces follow if this one ends before it.
    pub size: u64,
    /// The piece, which may begin and end inside an entry.
    pub bytes: Blob<{ limits::IMA_PIECE }>,
}

/// What the host says of itself, so that people find a device. Claims.
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

/// How a host is doing, for operators who investigate a device. Claims of the host; no decision depends on them.
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

/// Device: whether it is on line, and its state. Retained, and the last will of its connection. Not signed: show it to
/// people, and decide nothing by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The message version.
    pub version: Version,
    /// The device.
    pub device: DeviceId,
    /// Whether it is connected.
    pub online: bool,
    /// Its state.
    pub state: DeviceState,
    /// The epoch of its pairing.
    pub epoch: Epoch,
}

open_enum! {
    /// The states of a device.
    pub enum DeviceState {
        /// No pairing, and none requested.
        Unpaired = "unpaired",
        /// A pairing is being made.
        Pairing = "pairing",
        /// Paired with a valid lease: keys and tokens work.
        Entitled = "entitled",
        /// Paired without a valid lease (drift, silence, suspension). Nothing is destroyed.
        Lapsed = "lapsed",
        /// The epoch has ended; keys and tokens are destroyed.
        Revoked = "revoked",
    }
}
