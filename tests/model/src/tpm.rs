//! The TPM: a counter that goes one way, and keys that answer in one epoch.
//! The real one is `agent/tpm`, and swtpm under it.

use crate::control_plane::SessionNo;
use crate::fleet::DeviceId;
use crate::rules::Rules;

/// A value of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u8);

impl Epoch {
    /// Where the counter of a provisioned device begins.
    pub(crate) const FIRST: Self = Self(1);
    /// Below every epoch.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What a device boots: PCR values that an appraisal accepted, or others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    Known,
    Other,
}

/// The keys of one pairing, and the lease that goes with them: what the control plane granted,
/// and what the device keeps. The key blobs can be copied; they load in one TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    /// The session, whose bytes are the pairing's id.
    pub(crate) pairing: SessionNo,
    /// Where the keys were made.
    pub(crate) tpm: DeviceId,
    pub(crate) epoch: Epoch,
    /// The boot state that the lease is signed for.
    pub(crate) boot: Image,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tpm {
    pub(crate) counter: Epoch,
    /// History: the highest value that the counter ever had.
    pub(crate) highest: Epoch,
    /// History: for which session keys were made in this epoch, and how often. All of them have the
    /// same policy.
    pub(crate) made: Option<(SessionNo, u8)>,
}

impl Tpm {
    pub(crate) fn new() -> Self {
        Self { counter: Epoch::FIRST, highest: Epoch::FIRST, made: None }
    }

    /// The keys of a pairing.
    pub(crate) fn create_keys(&mut self, session: SessionNo) -> Epoch {
        let before = self.made.filter(|(made_for, _)| *made_for == session).map_or(0, |(_, times)| times);
        self.made = Some((session, before.saturating_add(1)));
        self.counter
    }

    /// `TPM2_NV_Increment`
    pub(crate) fn increment(&mut self) {
        self.counter = self.counter.next();
        self.made = None;
        self.highest = self.highest.max(self.counter);
    }

    /// The owner undefines the counter and defines it again.
    pub(crate) fn redefine(&mut self, rules: &Rules) {
        if rules.a_new_counter_starts_above {
            self.increment();
        } else {
            self.counter = Epoch::FIRST;
        }
    }

    /// Whether this TPM, that of `device`, signs and unseals with these keys under their lease.
    /// The deadline of a lease is left out: here it never comes.
    pub(crate) fn accepts(&self, rules: &Rules, device: DeviceId, boot: Image, keys: &Record) -> bool {
        let in_epoch = keys.epoch == self.counter || !rules.a_lease_names_its_epoch;
        keys.tpm == device && keys.boot == boot && in_epoch
    }
}
