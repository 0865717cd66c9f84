use pawl_proto::Digest;
use pawl_proto::codec::Version;
use pawl_proto::message::{Access, EventKind, RefusalCode, ShortText, Statement};

use super::offer::OpenedOffer;
use super::{Pairing, PairingState};
use crate::boot_state::{BootState, boot_digest};
use crate::refusal::Refusal;

/// The number of persons who must approve each kind of pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// Persons for the first pairing of an enrolled device.
    pub pair: u8,
    /// Persons for every later pairing, and for each that replaces another device.
    pub re_pair: u8,
    /// Persons for a pairing that an operator ordered by `repair`.
    pub after_repair: u8,
    /// Seconds until a session expires that is not approved.
    pub seconds: u32,
}

/// The kind of a pairing, and the number of persons who must approve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredApprovals {
    /// [`Statement::PAIR`] or [`Statement::RE_PAIR`].
    pub action: &'static str,
    /// The number of persons.
    pub needed: u8,
}

/// The last order that ended a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOrder {
    /// Its kind.
    pub kind: EventKind,
    /// Whether an operator gave it. Otherwise the approval of another session caused it.
    pub by_operator: bool,
}

impl ApprovalPolicy {
    /// Returns the approvals that a pairing needs. `newest` is the device's newest pairing, with the last order that
    /// ended it; `replaces`: whether the new pairing replaces another device.
    ///
    /// A pairing that replaces another device ends that device's pairing, so it always needs at least one person.
    #[must_use]
    pub fn required(
        &self,
        newest: Option<(&Pairing, Option<LastOrder>)>,
        replaces: bool,
    ) -> RequiredApprovals {
        let needed = match newest {
            None if !replaces => return RequiredApprovals { action: Statement::PAIR, needed: self.pair },
            Some((pairing, order)) if !replaces && was_repair_ordered(pairing, order) => self.after_repair,
            Some(_) if !replaces => self.re_pair,
            _ => self.re_pair.max(1),
        };
        RequiredApprovals { action: Statement::RE_PAIR, needed }
    }
}

impl RequiredApprovals {
    /// Checks that somebody is at the device if a person must approve.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn check_attended(self, attended: bool) -> Result<(), Refusal> {
        if self.needed > 0 && !attended {
            let message = "a person must approve this pairing";
            return Err(Refusal::new(RefusalCode::ApprovalRequired, message));
        }
        Ok(())
    }
}

fn was_repair_ordered(pairing: &Pairing, order: Option<LastOrder>) -> bool {
    pairing.state != PairingState::Live
        && order.is_some_and(|order| order.kind == EventKind::Repair && order.by_operator)
}

/// The values from which the statement for a pairing is built.
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
    /// The device's boot state.
    pub boot: &'a BootState,
    /// The scopes and audiences that the operator grants the device.
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
