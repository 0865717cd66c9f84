//! The facts of a world, kept apart from what its parts store: who signed what, what was ordered, which keys were made,
//! and what was published.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pawl_proto::message::EventKind;
use pawl_proto::{DeviceId, Digest, PairingId, SessionId};
use pawl_tpm::{KeyBlob, LeaseGrant, PairingKeys};

use crate::world::Ms;

/// The ledger of one world.
#[derive(Default)]
pub struct Ledger {
    /// The persons who signed for a session.
    pub signed: BTreeMap<SessionId, BTreeSet<usize>>,
    /// The ends that operators ordered: device and epoch.
    pub orders: Vec<(usize, u64)>,
    /// The repairs that operators ordered: device and epoch.
    pub repairs: BTreeSet<(usize, u64)>,
    /// The pairings that were granted.
    pub granted: Vec<GrantedPairing>,
    /// The keys that each TPM ever made for pairings.
    pub keys: Vec<KeySet>,
    /// What the control plane published, by the digest of the message.
    pub published: HashMap<Digest, Published>,
    /// The pairings that a device put on its disk.
    pub kept: BTreeSet<PairingId>,
    /// The epochs that a daemon ended, of which a receipt must come: device and epoch.
    pub owed: Vec<(usize, u64)>,
    devices: Vec<DeviceFacts>,
}

/// The facts about one device.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// The pairings whose wipe the running process has begun.
    pub wiping: BTreeSet<PairingId>,
    /// The pairings whose wipe is noted on the disk.
    pub noted: BTreeSet<PairingId>,
    /// Somebody at the device has ended its pairing.
    pub technician_wiped: bool,
    /// Somebody exchanged its disk, put an older one back or damaged a file of the pairing or about its end.
    pub disk_touched: bool,
    /// A file was damaged.
    pub file_damaged: bool,
    /// Since when its core says that it is entitled although its gate is shut.
    pub shut_since: Option<Ms>,
    /// The epochs that root has ended.
    pub root_ended: BTreeSet<u64>,
    /// When the daemon must have told the holders of a wipe, at the latest.
    pub notify_by: Option<Ms>,
    disk_trouble_until: Ms,
}

/// A pairing that was granted.
#[derive(Clone, Copy, Debug)]
pub struct GrantedPairing {
    /// The device.
    pub device: usize,
    /// The pairing.
    pub pairing: PairingId,
    /// Its epoch.
    pub epoch: u64,
}

/// The keys that a TPM made for one pairing, as somebody may have copied them.
pub struct KeySet {
    /// The device.
    pub device: usize,
    /// The epoch.
    pub epoch: u64,
    /// Identifies the approval for which they were made.
    pub policy_ref: [u8; 32],
    /// The link key.
    pub link: KeyBlob,
    /// The device key.
    pub device_key: KeyBlob,
    /// The vault key.
    pub vault: KeyBlob,
    /// The last lease under which the gate was open with them.
    pub lease: Option<LeaseGrant>,
}

/// What a published message is.
#[derive(Clone, Copy, Debug)]
pub enum Published {
    /// A verdict.
    Verdict {
        /// For which pairing.
        pairing: PairingId,
        /// Its number.
        sequence: u64,
        /// It keeps the device from working.
        bars: bool,
    },
    /// An event.
    Event {
        /// For which device.
        device: DeviceId,
        /// Which epoch it ends.
        epoch: u64,
        /// What it orders.
        kind: EventKind,
    },
}

impl Ledger {
    /// Returns the ledger of a world with so many devices.
    #[must_use]
    pub fn new(devices: usize) -> Self {
        Self { devices: vec![DeviceFacts::default(); devices], ..Self::default() }
    }

    /// Returns the facts about a device.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&DeviceFacts> {
        self.devices.get(index)
    }

    /// Returns a copy of the facts about a device.
    #[must_use]
    pub fn of(&self, index: usize) -> DeviceFacts {
        self.devices.get(index).cloned().unwrap_or_default()
    }

    /// Changes the facts about a device.
    pub fn with(&mut self, index: usize, change: impl FnOnce(&mut DeviceFacts)) {
        if let Some(facts) = self.devices.get_mut(index) {
            change(facts);
        }
    }

    /// A process has ended. A note that was not synced outlives the process, but not a power cut.
    pub fn process_ended(&mut self, index: usize, is_power: bool) {
        self.with(index, |facts| {
            facts.wiping.clear();
            facts.notify_by = None;
            if is_power {
                facts.noted.clear();
            }
        });
    }

    /// Somebody at the device ends its pairing.
    pub fn technician_wipes(&mut self, index: usize) {
        self.with(index, |facts| facts.technician_wiped = true);
    }

    /// The device's disk is not what it wrote.
    pub fn disk_touched(&mut self, index: usize) {
        self.with(index, |facts| {
            facts.disk_touched = true;
            facts.noted.clear();
        });
    }

    /// A file of the device's disk is damaged. `is_kept`: nothing replaces it but a new pairing.
    pub fn file_damaged(&mut self, index: usize, is_kept: bool) {
        self.with(index, |facts| facts.file_damaged = true);
        if is_kept {
            self.disk_touched(index);
        }
    }

    /// Root has moved the counter on.
    pub fn root_moved(&mut self, index: usize, before: Option<u64>) {
        self.with(index, |facts| facts.root_ended.extend(before));
    }

    /// The disk is in trouble until then.
    pub fn disk_trouble_until(&mut self, index: usize, until: Ms) {
        self.with(index, |facts| facts.disk_trouble_until = facts.disk_trouble_until.max(until));
    }

    /// Returns whether the last trouble of a disk is over.
    #[must_use]
    pub fn is_disk_repaired(&self, index: usize, now: Ms) -> bool {
        self.of(index).disk_trouble_until <= now
    }

    /// A TPM has made keys.
    pub fn created(&mut self, index: usize, epoch: u64, policy_ref: [u8; 32], keys: &PairingKeys) {
        self.keys.push(KeySet {
            device: index,
            epoch,
            policy_ref,
            link: keys.link.clone(),
            device_key: keys.device.clone(),
            vault: keys.vault.clone(),
            lease: None,
        });
    }
}
