//! The grant: an approved session becomes a pairing.

use super::{ControlPlane, Pairing, PairingState, SessionNo, Stage};
use crate::fleet::DeviceId;
use crate::rules::Rules;
use crate::tpm::{Epoch, Image, Record};

/// What a device proves with keys that are certified by its TPM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    pub(crate) session: SessionNo,
    /// Where the keys are.
    pub(crate) tpm: DeviceId,
    /// The epoch in which they were made.
    pub(crate) epoch: Epoch,
    /// Where the counter stands, by `TPM2_NV_Certify`.
    pub(crate) counter: Epoch,
    /// What the new report shows.
    pub(crate) boot: Image,
}

impl ControlPlane {
    /// `POST /v1/pairings/{id}/proof`; none is a refusal. The same proof gets the same grant.
    pub(crate) fn grant(&mut self, rules: &Rules, proof: Proof) -> Option<Record> {
        let keys = Record { pairing: proof.session, tpm: proof.tpm, epoch: proof.epoch, boot: proof.boot };
        if self.pairings.iter().any(|pairing| pairing.keys == keys) {
            return Some(keys);
        }
        let session = self.session_mut(proof.session)?;
        let above = match session.stage {
            Stage::Approved { above } => above,
            Stage::Spent if !rules.a_session_is_spent_once => Epoch::NONE,
            Stage::Offered | Stage::Waiting | Stage::Spent | Stage::Over => return None,
        };
        let in_own_epoch = proof.epoch > above || !rules.a_pairing_has_an_epoch_of_its_own;
        let as_approved = proof.boot == session.boot || !rules.the_boot_state_is_the_approved_one;
        if proof.counter != proof.epoch || !in_own_epoch || !as_approved {
            return None;
        }
        session.stage = Stage::Spent;
        session.grants = session.grants.saturating_add(1);
        let device = session.device;
        self.end_below(device, proof.epoch);
        self.pairings.push(Pairing { device, keys, state: PairingState::Live });
        Some(keys)
    }
}
