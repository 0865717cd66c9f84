use pawl_proto::DeviceId;
use pawl_proto::message::HostFacts;
use serde::{Deserialize, Serialize};

use crate::store::PendingDevice;

/// One line of `pending`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingView {
    /// The device. Its TPM has proven that it has the endorsement key.
    pub device: DeviceId,
    /// SHA-256 of its endorsement key.
    pub ek_sha256: String,
    /// The result of the check of its EK certificate against the vendors' CAs.
    pub endorsement: String,
    /// The network of its last request: an IPv4 address, or a /64 network.
    pub address: String,
    /// When it first asked, Unix seconds.
    pub first_at: u64,
    /// When it last asked, Unix seconds.
    pub last_at: u64,
    /// How often it asked.
    pub times: u64,
    /// The operator's name for it, if it was enrolled before.
    pub label: Option<String>,
    /// When it was retired, Unix seconds; none if it was never enrolled.
    pub retired_at: Option<u64>,
    /// Its host facts; a claim of the device.
    pub host: HostFacts,
}

impl From<PendingDevice> for PendingView {
    fn from(pending: PendingDevice) -> Self {
        Self {
            device: pending.device,
            ek_sha256: pending.ek_sha256.to_string(),
            endorsement: pending.endorsement,
            address: pending.address,
            first_at: pending.first_at,
            last_at: pending.last_at,
            times: pending.times,
            label: pending.label,
            retired_at: pending.retired_at,
            host: pending.host,
        }
    }
}
