use pawl_proto::Digest;
use pawl_proto::codec::Version;
use pawl_proto::message::{Access, ShortText, Statement};

use super::offer::OpenedOffer;
use super::policy::{ApprovalPolicy, RequiredApprovals};
use crate::boot_state::{BootState, boot_digest};

/// What a statement for a pairing is made of.
pub struct PairingStatement<'a> {
    /// The offer.
    pub offer: &'a OpenedOffer,
    /// How the endorsement key was checked, for people.
    pub endorsement: &'a str,
    /// The kind of the pairing.
    pub required: RequiredApprovals,
    /// The operator's policy.
    pub policy: ApprovalPolicy,
    /// SHA-256 of the evidence.
    pub evidence: Digest,
    /// What the device runs.
    pub boot: &'a BootState,
    /// What the operator grants the device.
    pub granted: Access,
    /// Unix time, seconds.
    pub now: u64,
}

impl PairingStatement<'_> {
    /// Returns the statement: all that an approval covers.
    #[must_use]
    pub fn build(self) -> Statement {
        let request = &self.offer.request;
        Statement {
            version: Version,
            session: self.offer.id,
            device: request.device,
            nonce: request.nonce,
            origin: request.origin.clone(),
            action: ShortText::lossy(self.required.action),
            resource: None,
            subject: None,
            context: None,
            reason: request.reason.clone(),
            scopes: request.scopes.clone(),
            audiences: request.audiences.clone(),
            granted: Some(self.granted),
            replaces: request.replaces,
            endorsement: Some(ShortText::lossy(self.endorsement)),
            epoch: request.epoch,
            evidence: self.evidence,
            boot: boot_digest(self.boot),
            time: self.now,
            expires: self.now.saturating_add(u64::from(self.policy.seconds)),
        }
    }
}
