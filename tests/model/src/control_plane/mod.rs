//! The control plane: one transaction a method, and nothing is lost when it restarts.
//! The real one is `control-plane/server/src/pairing` and `control-plane/server/src/orders`.

mod grant;
mod session;

use crate::fleet::DeviceId;
use crate::tpm::{Epoch, Image, Record};

pub(crate) use grant::Proof;
pub(crate) use session::{Approved, Session, Stage, Waiver};

/// A session, by the order in which the control plane opened it; also the pairing that comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNo(pub(crate) u8);

/// What stands in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ControlPlane {
    sessions: Vec<Session>,
    pairings: Vec<Pairing>,
}

/// A pairing that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pairing {
    pub(crate) device: DeviceId,
    pub(crate) keys: Record,
    pub(crate) state: PairingState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PairingState {
    Live,
    /// The order to end it is out: no token, verdict or lease from here on. That its receipt has
    /// come changes nothing more.
    Ended(By),
}

/// Who ended a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    /// The operator, for good.
    Revocation,
    /// The operator, who wants the device paired again.
    Repair,
    /// The approval of a new pairing, of this device or of one that takes its place.
    Approval,
    /// The device, which moved its counter on unasked.
    Device,
}

/// What an operator may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the pairing.
    Revoke,
    /// End the pairing, so that the device is paired again.
    Repair,
}

impl ControlPlane {
    /// A device that was paired before the world begins.
    pub(crate) fn paired_before(&mut self, device: DeviceId) -> Record {
        let pairing = SessionNo(u8::try_from(self.sessions.len()).unwrap_or(u8::MAX));
        let keys = Record { pairing, tpm: device, epoch: Epoch::FIRST, boot: Image::Known };
        self.sessions.push(Session {
            waiver: Waiver::FirstPairing,
            stage: Stage::Spent,
            grants: 1,
            ..Session::new(device, false)
        });
        self.pairings.push(Pairing { device, keys, state: PairingState::Live });
        keys
    }

    pub(crate) fn pairings(&self) -> &[Pairing] {
        &self.pairings
    }

    pub(crate) fn session(&self, number: SessionNo) -> Option<&Session> {
        self.sessions.get(usize::from(number.0))
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = (SessionNo, &Session)> {
        (0..).map(SessionNo).zip(&self.sessions)
    }

    /// The pairings of a device, the newest last.
    pub(crate) fn pairings_of(&self, device: DeviceId) -> impl DoubleEndedIterator<Item = &Pairing> {
        self.pairings.iter().filter(move |pairing| pairing.device == device)
    }

    pub(crate) fn is_live(&self, number: SessionNo) -> bool {
        self.pairings
            .iter()
            .any(|pairing| pairing.keys.pairing == number && pairing.state == PairingState::Live)
    }

    /// `revoke` and `repair`; none without a live pairing.
    pub(crate) fn order(&mut self, device: DeviceId, order: Order) -> Option<()> {
        let by = match order {
            Order::Revoke => By::Revocation,
            Order::Repair => By::Repair,
        };
        self.end_live(device, by).then_some(())
    }

    /// A proof certifies that the counter has left every epoch below this one.
    fn end_below(&mut self, device: DeviceId, epoch: Epoch) {
        for pairing in self.pairings.iter_mut().filter(|pairing| pairing.device == device) {
            if pairing.keys.epoch < epoch && pairing.state == PairingState::Live {
                pairing.state = PairingState::Ended(By::Device);
            }
        }
    }

    fn end_live(&mut self, device: DeviceId, by: By) -> bool {
        let live = self
            .pairings
            .iter_mut()
            .find(|pairing| pairing.device == device && pairing.state == PairingState::Live);
        match live {
            Some(pairing) => {
                pairing.state = PairingState::Ended(by);
                true
            }
            None => false,
        }
    }
}
