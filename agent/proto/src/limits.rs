//! The largest sizes that either side accepts, in bytes unless a name says otherwise.
//!
//! They are checked before anything is allocated. The broker's own limit (`packaging/mosquitto`) is slightly above
//! [`MESSAGE`].

/// Any message on MQTT or HTTPS.
pub const MESSAGE: usize = 512 * 1024;
/// A message that travels from the control plane to a device over MQTT.
pub const ORDER: usize = 16 * 1024;
/// The nesting of arrays and maps in a message.
pub const DEPTH: usize = 16;
/// A TCG event log; logs of real machines have 20 to 80 KiB.
pub const BOOT_LOG: usize = 256 * 1024;
/// One piece of an IMA log; longer logs travel in several reports.
pub const IMA_PIECE: usize = 64 * 1024;
/// systemd's measurement log (`tpm2-measure.log`) of one boot; a boot writes 11 KiB, and each restart of a phase 1 KiB.
pub const MEASURE_LOG: usize = 256 * 1024;
/// One piece of it; longer logs travel in several reports.
pub const MEASURE_PIECE: usize = 64 * 1024;
/// The NvPCRs that a verdict asks for and a report certifies. Each costs the device's TPM one signature in every report;
/// systemd 262 defines four.
pub const NVPCRS: usize = 8;
/// The NvPCRs of which a report says that the TPM has them.
pub const NVPCRS_PRESENT: usize = 64;
/// A `TPMT_PUBLIC`, `TPMS_ATTEST`, `TPMT_SIGNATURE` or `TPMS_NV_PUBLIC`.
pub const TPM_STRUCTURE: usize = 2 * 1024;
/// One X.509 certificate or certificate request, DER.
pub const CERTIFICATE: usize = 8 * 1024;
/// The certificates in one chain.
pub const CHAIN: usize = 8;
/// A reason, a host fact or another short text.
pub const TEXT: usize = 256;
/// The reasons that explain one verdict.
pub const REASONS: usize = 16;
/// The leases in one verdict for boot states still to come.
pub const LEASES_AHEAD: usize = 4;
/// The scopes of one pairing.
pub const SCOPES: usize = 32;
/// The audiences of one device.
pub const AUDIENCES: usize = 16;
/// One audience.
pub const AUDIENCE: usize = 256;
/// The verification keys of one control plane.
pub const KEYS: usize = 4;
/// A statement that is approved, encoded.
pub const STATEMENT: usize = 16 * 1024;
/// An armored SSH signature; RSA keys of 8192 bits make some 4 KiB.
pub const SSH_SIGNATURE: usize = 8 * 1024;
/// The approvals of one session.
pub const APPROVALS: usize = 8;
/// The signing input of one assurance (RFC 7515, section 5.1): two certificates and the claims.
pub const ASSURANCE: usize = 16 * 1024;
/// One record of a device, encoded.
pub const RECORD: usize = 2 * 1024;
/// The records in one report, encoded.
pub const RECORDS: usize = 4 * 1024;
