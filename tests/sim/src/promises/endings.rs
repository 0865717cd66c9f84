//! The promises about the end of an epoch, about the orders and verdicts that a device acknowledges, and about receipts.

use std::path::Path;

use pawl_proto::message::{EventKind, Receipt, SignedReceipt};
use pawl_proto::{Digest, Epoch, PairingId};
use pawld::core::{TpmCommand, Write};

use super::Promise;
use crate::device::ROOT;
use crate::ledger::Published;
use crate::seen::Sight;
use crate::world::{Ms, World};

/// How long holders may work on after a wipe began, ms.
const TELL_WITHIN: Ms = 400;

impl World {
    /// The core begins to increment the counter.
    pub fn wipe_begins(&mut self, index: usize) {
        let Some(device) = self.devices.get(index) else { return };
        let Some(process) = device.process.as_ref().filter(|process| process.core.is_revoking()) else {
            return;
        };
        let Some(record) = process.core.status().record else { return };
        let is_ours = record.attestation_name.as_bytes() == device.tpm.attestation_name();
        if is_ours && device.tpm.epoch() == Some(record.epoch.0) {
            let notify_by = self.now + TELL_WITHIN;
            self.ledger.with(index, |facts| {
                if facts.wiping.insert(record.pairing) {
                    facts.notify_by = Some(notify_by);
                }
            });
        }
    }

    /// The effects of an input have begun.
    pub fn begun(&mut self, index: usize, was_revoking: bool) {
        let Some(process) = self.devices.get(index).and_then(|device| device.process.as_ref()) else {
            return;
        };
        let increments = process.tpm.iter().any(|(_, command)| matches!(command, TpmCommand::Increment));
        let is_noted = process.writes.iter().any(|(_, write, _)| matches!(write, Write::RevocationNote(_)));
        if increments && !was_revoking && process.core.is_revoking() && !is_noted {
            self.broken(Promise::WipesAreNoted, format!("device {index} ends its epoch"));
        }
    }

    /// The TPM has carried out a command, and its counter may have moved.
    pub fn counter_moved(&mut self, index: usize, before: Option<u64>) {
        let Some(device) = self.devices.get(index) else { return };
        let (after, id) = (device.tpm.epoch(), device.tpm.device());
        if before == after {
            return;
        }
        if let (Some(before), Some(after)) = (before, after)
            && after < before
        {
            return self.broken(Promise::NoEpochFalls, format!("device {index}: {before} to {after}"));
        }
        if after.is_some_and(|after| after < device.tpm.highest()) {
            return self
                .broken(Promise::NoEpochFalls, format!("device {index}: {after:?} is below its highest"));
        }
        let is_revoking = device.process.as_ref().is_some_and(|process| process.core.is_revoking());
        let Some(before) = before else { return };
        if after.is_none() {
            self.saw(Sight::CounterRemoved);
        }
        let facts = self.ledger.of(index);
        if is_revoking {
            self.saw(Sight::Wiped);
        }
        let Ok(live) = self.plane.look(move |tx| tx.live_pairing(id)) else { return };
        let Some(live) = live.filter(|live| live.epoch == Epoch(before)) else { return };
        let is_kept = self.ledger.kept.contains(&live.id);
        if is_kept && !facts.technician_wiped && !facts.disk_touched {
            self.broken(
                Promise::RequestsChangeNothing,
                format!("device {index} ended epoch {before}, and nobody wanted it"),
            );
        }
    }

    /// A write is on the disk.
    pub fn written(&mut self, index: usize, write: &Write) {
        let on_disk = |world: &Self| {
            let device = world.devices.get(index)?;
            device.process.as_ref()?.parts.store.pairing().ok().flatten()
        };
        match write {
            Write::Commit => {
                if let Some(record) = on_disk(self) {
                    self.ledger.kept.insert(record.pairing);
                    self.ledger.with(index, |facts| facts.noted.clear());
                }
            }
            Write::RevocationNote(revocation) | Write::Revocation(revocation) => {
                if let Some(record) = on_disk(self).filter(|record| record.epoch == revocation.ended) {
                    let is_ours = self.devices.get(index).is_some_and(|device| {
                        device.tpm.attestation_name() == record.attestation_name.as_bytes()
                    });
                    if is_ours && self.ledger.of(index).wiping.contains(&record.pairing) {
                        self.ledger.with(index, |facts| {
                            facts.noted.insert(record.pairing);
                        });
                    }
                    if is_ours
                        && revocation.counted
                        && !revocation.receipted
                        && !self.ledger.of(index).disk_touched
                    {
                        self.ledger.owed.push((index, revocation.ended.0));
                    }
                }
            }
            _ => {}
        }
    }

    /// The core acknowledges a message of the broker.
    pub fn acknowledges(&mut self, index: usize, payload: &[u8]) {
        let Some(published) = self.ledger.published.get(&Digest::of(payload)).copied() else { return };
        match published {
            Published::Event { device: of, epoch, kind: EventKind::Revoke | EventKind::Repair } => {
                let Some(device) = self.devices.get(index).filter(|device| device.tpm.device() == of) else {
                    return;
                };
                let is_for =
                    device.process.as_ref().and_then(|process| process.parts.store.pairing().ok().flatten());
                let is_ours = is_for.is_some_and(|record| {
                    record.epoch.0 == epoch
                        && record.attestation_name.as_bytes() == device.tpm.attestation_name()
                });
                if is_ours && device.tpm.epoch().is_some_and(|counter| counter <= epoch) {
                    self.broken(
                        Promise::NoOrderIsLost,
                        format!(
                            "device {index} acknowledged the end of epoch {epoch} before its counter moved"
                        ),
                    );
                } else if is_ours {
                    self.saw(Sight::OrderCarriedOut);
                }
            }
            Published::Event { .. } => {}
            Published::Verdict { pairing, sequence, bars } => {
                self.acknowledges_verdict(index, pairing, sequence, bars);
            }
        }
    }

    fn acknowledges_verdict(&mut self, index: usize, pairing: PairingId, sequence: u64, bars: bool) {
        let Some(device) = self.devices.get(index) else { return };
        let Some(process) = &device.process else { return };
        let is_live =
            process.parts.store.pairing().ok().flatten().is_some_and(|record| {
                record.pairing == pairing && device.tpm.epoch() == Some(record.epoch.0)
            });
        let facts = self.ledger.of(index);
        if !is_live || process.core.is_revoking() || facts.disk_touched || facts.file_damaged {
            return;
        }
        let durable = |name: &str| device.disk.durable(&Path::new(ROOT).join(name));
        let kept = |name: &str| {
            let kept = durable(name).map(|kept| Digest::of(&kept));
            match kept.and_then(|kept| self.ledger.published.get(&kept)) {
                Some(Published::Verdict { pairing: of, sequence, .. }) if *of == pairing => *sequence,
                _ => 0,
            }
        };
        let kept = kept("pairing/verdict.cose").max(kept("pairing/lease.cose"));
        let is_barred = bars && durable("pairing/lease.cose").is_none();
        // The broker sends again what is not acknowledged: a newer verdict that it still has says more.
        let is_waiting = process.messages.values().any(|message| {
            let published = self.ledger.published.get(&Digest::of(&message.payload));
            matches!(published, Some(Published::Verdict { pairing: of, sequence: waits, .. })
                if *of == pairing && *waits >= sequence)
        });
        if kept < sequence && !is_barred && !is_waiting {
            self.broken(
                Promise::VerdictsAreKept,
                format!("device {index} acknowledged verdict {sequence}; its disk has {kept}"),
            );
        }
    }

    /// The control plane has taken a receipt.
    pub fn receipt_taken(&mut self, message: &[u8]) {
        self.saw(Sight::ReceiptTaken);
        let receipt = pawl_proto::decode::<SignedReceipt>(message, message.len())
            .ok()
            .and_then(|signed| pawl_proto::decode::<Receipt>(signed.receipt.as_bytes(), 4096).ok());
        let Some(receipt) = receipt else { return };
        let tpm = self
            .devices
            .iter()
            .find(|device| device.tpm.device() == receipt.device)
            .map(|device| &device.tpm);
        if tpm.is_some_and(|tpm| tpm.highest() <= receipt.ended.0) {
            self.broken(Promise::ReceiptsAreTrue, format!("epoch {} is not over", receipt.ended));
        }
    }
}
