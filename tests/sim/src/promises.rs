//! What is promised, and where each promise is checked. `check` runs after every step; the other functions run when the
//! promise can be broken: at a grant, at an approval, at an acknowledgement, when a counter moves.

use std::path::Path;

use pawl_evidence::lease::check_lease_key;
use pawl_proto::local::Token;
use pawl_proto::message::{
    EventKind, PairingApproved, PairingGrant, Receipt, SignedReceipt, Standing, TrustTier, Verdict,
};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, Digest, Epoch, PairingId, SessionId, Topic};
use pawl_verifier::boot_digest;
use pawl_verifier::pairing::PairingState;
use pawld::core::{TpmCommand, Write};

use crate::device::{ROOT, TOKEN};
use crate::ledger::{GrantedPairing, Published};
use crate::publisher::verdict_of;
use crate::seen::Sight;
use crate::world::{Ms, World};

macro_rules! promises {
    ($($name:ident: $text:literal,)*) => {
        /// A promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "`text` says what each promises")]
        pub enum Promise { $($name,)* }

        impl Promise {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The promise, in a sentence.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

promises! {
    NothingAfterAWipe: "from the moment a wipe begins, the process that began it serves no token, and neither does a process that finds its note",
    WorksInItsEpoch: "a gate is open only with keys of this TPM and in the epoch of its counter",
    WorksUnderALease: "a gate is open only while the TPM accepts its lease",
    TransientErrorsCloseNothing: "a TPM that is busy closes no gate whose lease still runs",
    BarredDevicesDoNotWork: "a gate is open only while the last verdict does not bar the device",
    WipesAreNoted: "the note of a wipe goes to the disk as soon as the increment goes to the TPM",
    HoldersAreTold: "holders are told within 400 ms after a wipe began, whatever TPM and disk do",
    LapsesEndByThemselves: "once the faults are over, a device whose pairing lives works again without a technician",
    NoEpochFalls: "no counter falls",
    OwnApproval: "no session is approved without as many persons as it needs, each of whom signed for this very session",
    AsManyAsThePolicyWants: "a session needs as many persons as the policy wants, and only an operator's repair lowers that",
    OneLivePairing: "a device never has two live pairings",
    StandsAlone: "beside an approved session whose pairing is not granted, no pairing of the device lives",
    EarlierKeysAreDead: "once a pairing is granted, the TPM refuses every key that it made for an earlier epoch",
    OneSetOfKeys: "once a pairing is granted, the TPM refuses every other set of keys that was made on its approval",
    EpochsRise: "each pairing of a device is granted in a higher epoch than all before it",
    RequestsChangeNothing: "a daemon ends the epoch of a pairing that lives only when an operator, an approver or somebody at the device wants it",
    RunsWhatWasApproved: "a pairing is granted to the boot state that was approved",
    KeysInTheApprovedTpm: "the keys of a pairing are in the TPM that was approved",
    NoOrderIsLost: "an order to end a pairing is acknowledged only after the counter has moved, and is carried out in the end",
    VerdictsAreKept: "a verdict is acknowledged only when the disk has it, or a newer one, or when the disk has no lease of a barred device",
    TokensAreGranted: "a token is served only within what the last verdict grants",
    TokensAreIssuedAsGranted: "a token is issued only within what the operator grants at that moment",
    ReceiptsAreTrue: "a receipt is taken only when the epoch that it names is over",
    ReceiptsArrive: "the receipt of every epoch that a daemon ended arrives",
    RecordsArrive: "the assurance records of a device arrive",
    EveryDeviceComesBack: "once the faults are over, a technician and approvers bring every device back",
    OrdersAreSettled: "once the faults are over, the control plane knows of every epoch that ended",
    NothingPanics: "neither side panics",
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub detail: String,
    /// When.
    pub at: Ms,
}

impl World {
    /// A promise is broken. The first one ends the lifetime.
    pub fn broken(&mut self, promise: Promise, detail: String) {
        self.trace(|| format!("BROKEN: {}: {detail}", promise.text()));
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, detail, at: self.now });
        }
    }

    /// The core begins to increment the counter.
    pub fn wipe_begins(&mut self, index: usize) {
        let Some(device) = self.devices.get(index) else { return };
        let Some(process) = device.process.as_ref().filter(|process| process.core.is_revoking()) else {
            return;
        };
        let Some(record) = process.core.status().record else { return };
        let is_ours = record.attestation_name.as_bytes() == device.tpm.attestation_name();
        if is_ours && device.tpm.epoch() == Some(record.epoch.0) {
            let tell_by = self.now + TELL_WITHIN;
            self.ledger.with(index, |truth| {
                if truth.wiping.insert(record.pairing) {
                    truth.tell_by = Some(tell_by);
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
        let truth = self.ledger.of(index);
        if is_revoking {
            self.saw(Sight::Wiped);
        }
        let Ok(live) = self.plane.look(move |tx| tx.live_pairing(id)) else { return };
        let Some(live) = live.filter(|live| live.epoch == Epoch(before)) else { return };
        let is_kept = self.ledger.kept.contains(&live.id);
        if is_kept && !truth.technician_wiped && !truth.disk_touched {
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
                    self.ledger.with(index, |truth| truth.noted.clear());
                }
            }
            Write::RevocationNote(revocation) | Write::Revocation(revocation) => {
                if let Some(record) = on_disk(self).filter(|record| record.epoch == revocation.ended) {
                    let is_ours = self.devices.get(index).is_some_and(|device| {
                        device.tpm.attestation_name() == record.attestation_name.as_bytes()
                    });
                    if is_ours && self.ledger.of(index).wiping.contains(&record.pairing) {
                        self.ledger.with(index, |truth| {
                            truth.noted.insert(record.pairing);
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
        if !is_live || process.core.is_revoking() || self.ledger.of(index).disk_touched {
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

    /// The control plane has opened a session, or says again how it stands.
    pub fn session_opened(&mut self, id: SessionId) {
        let Ok(found) = self.plane.look(move |tx| {
            let Some(session) = tx.session(id)? else { return Ok(None) };
            let newest = tx.newest_pairing(session.device)?;
            Ok(Some((session, newest)))
        }) else {
            return;
        };
        let Some((session, newest)) = found else { return };
        let index = self.devices.iter().position(|device| device.tpm.device() == session.device);
        let wanted = match &newest {
            // The session's own pairing may be there already.
            Some(newest) if newest.id == PairingId::from(id) => return,
            None => self.approvals.pair,
            Some(newest) => {
                let is_repair =
                    index.is_some_and(|index| self.ledger.repairs.contains(&(index, newest.epoch.0)));
                let least = if is_repair {
                    self.approvals.after_repair.min(self.approvals.re_pair)
                } else {
                    self.approvals.re_pair
                };
                if session.needed >= least {
                    return;
                }
                least
            }
        };
        if session.needed < wanted {
            self.broken(
                Promise::AsManyAsThePolicyWants,
                format!("session {id} needs {} persons instead of {wanted}", session.needed),
            );
        }
    }

    /// The control plane says that a session is approved.
    pub fn approved(&mut self, index: usize, approved: &PairingApproved) {
        let Ok(statement) = approved.statement.decode() else { return };
        let (session, device) = (statement.session, statement.device);
        self.check_persons(session);
        let pairing = PairingId::from(session);
        if self.ledger.granted.iter().any(|granted| granted.pairing == pairing) {
            return;
        }
        let Ok(live) = self.plane.look(move |tx| tx.live_pairing(device)) else { return };
        if let Some(live) = live {
            self.broken(
                Promise::StandsAlone,
                format!("device {index}: session {session} is approved and pairing {} lives", live.id),
            );
        }
        if check_lease_key_of(approved).is_none() {
            self.trace(|| "the lease key of an approval is malformed".to_owned());
        }
    }

    fn check_persons(&mut self, id: SessionId) {
        let Ok(Some(session)) = self.plane.look(move |tx| tx.session(id)) else { return };
        let signed = self.ledger.signed.get(&id).map_or(0, |persons| persons.len());
        if signed < usize::from(session.needed) {
            self.broken(
                Promise::OwnApproval,
                format!("session {id} needs {} persons, and {signed} signed for it", session.needed),
            );
        }
    }

    /// The control plane has granted a pairing.
    pub fn granted(&mut self, index: usize, grant: &PairingGrant) {
        let (pairing, epoch) = (grant.pairing, grant.epoch.0);
        let topic = Topic::new(grant.device, Channel::Verdict);
        let keys = [OrderKey::from(&self.plane.control.keys.signing.order)];
        if let Ok(verdict) = signed::verify::<Verdict>(grant.verdict.as_bytes(), &topic, &keys) {
            self.ledger.published.insert(Digest::of(grant.verdict.as_bytes()), verdict_of(&verdict));
        }
        if let Some(before) = self.ledger.granted.iter().find(|granted| granted.pairing == pairing) {
            if before.epoch != epoch {
                self.broken(Promise::EpochsRise, format!("pairing {pairing} was granted twice"));
            }
            return;
        }
        let Some(owner) = self.devices.iter().position(|device| device.tpm.device() == grant.device) else {
            return;
        };
        let earlier: Vec<GrantedPairing> =
            self.ledger.granted.iter().filter(|granted| granted.device == owner).copied().collect();
        self.saw(if earlier.is_empty() { Sight::Paired } else { Sight::PairedAgain });
        if let Some(higher) = earlier.iter().find(|earlier| earlier.epoch >= epoch) {
            self.broken(
                Promise::EpochsRise,
                format!("pairing {pairing} in epoch {epoch} after one in epoch {}", higher.epoch),
            );
        }
        self.ledger.granted.push(GrantedPairing { device: owner, pairing, epoch });
        self.ledger.with(owner, |truth| truth.technician_wiped = false);
        self.check_persons(SessionId::from(pairing));
        self.check_pairings(&earlier, pairing);
        self.check_keys(index, owner, pairing, epoch);
    }

    fn check_pairings(&mut self, earlier: &[GrantedPairing], pairing: PairingId) {
        for before in earlier {
            let id = before.pairing;
            if let Ok(Some(old)) = self.plane.look(move |tx| tx.pairing(id))
                && old.state == PairingState::Live
            {
                self.broken(Promise::OneLivePairing, format!("{id} lives beside {pairing}"));
            }
        }
    }

    fn check_keys(&mut self, index: usize, owner: usize, pairing: PairingId, epoch: u64) {
        let now = self.now;
        let Ok(Some(granted)) = self.plane.look(move |tx| tx.pairing(pairing)) else { return };
        let session = SessionId::from(pairing);
        if let Ok(Some(session)) = self.plane.look(move |tx| tx.session(session))
            && let (Ok(statement), Some(base)) = (session.statement.decode(), &granted.base)
            && boot_digest(&lease_pcrs(&base.pcrs)) != statement.boot
        {
            self.broken(Promise::RunsWhatWasApproved, format!("pairing {pairing} runs another image"));
        }
        let Some(device) = self.devices.get_mut(owner) else { return };
        let attestation = pawl_evidence::tpm::Public::unmarshal(&granted.attestation_key)
            .map(|public| public.name().as_bytes().to_vec())
            .unwrap_or_default();
        let mut problem = None;
        if attestation != device.tpm.attestation_name() {
            problem = Some((Promise::KeysInTheApprovedTpm, format!("pairing {pairing} is another TPM's")));
        }
        let root_moved = device.tpm.epoch() != Some(epoch);
        for keys in self.ledger.keys.iter().filter(|keys| keys.device == owner) {
            // Keys of another approval that was refused are worth nothing: no certificate and no lease names them.
            let is_refused = keys.epoch == epoch && keys.policy_ref != granted.policy_ref.0;
            if keys.device_key.public == granted.device_key || root_moved || is_refused {
                continue;
            }
            let promise =
                if keys.epoch == epoch { Promise::OneSetOfKeys } else { Promise::EarlierKeysAreDead };
            let is_linked = device.tpm.use_link(&keys.link, epoch).is_ok();
            let is_leased = keys.lease.as_ref().is_some_and(|lease| {
                device.tpm.accepts(now, &keys.device_key, lease)
                    || device.tpm.accepts(now, &keys.vault, lease)
            });
            if is_linked || is_leased {
                problem =
                    Some((promise, format!("device {index}: keys of epoch {} work in {epoch}", keys.epoch)));
            }
        }
        if let Some((promise, detail)) = problem {
            self.broken(promise, detail);
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

    /// The control plane has issued a token.
    pub fn token_issued(&mut self, index: usize, token: &Token) {
        let Some(device) = self.devices.get(index) else { return };
        let id = device.tpm.device();
        let Ok(granted) = self.plane.look(move |tx| tx.granted(id)) else { return };
        let is_granted = |scope: &str| granted.scopes.iter().any(|granted| granted.as_str() == scope);
        if !token.scope.split_ascii_whitespace().all(is_granted) {
            self.broken(Promise::TokensAreIssuedAsGranted, format!("device {index} got {:?}", token.scope));
        }
    }
}

fn lease_pcrs(all: &std::collections::BTreeMap<u8, pawl_proto::PcrValue>) -> pawl_verifier::BootState {
    const LEASE: [u8; 8] = [0, 2, 4, 7, 8, 9, 12, 14];
    all.iter().filter(|(index, _)| LEASE.contains(index)).map(|(index, value)| (*index, *value)).collect()
}

fn check_lease_key_of(approved: &PairingApproved) -> Option<()> {
    let public = pawl_evidence::tpm::Public::unmarshal(approved.lease_key.as_bytes()).ok()?;
    check_lease_key(&public).ok()
}

/// The promises about gates, after every step at a device: nothing else opens one, and none outlives the next step there.
pub fn check(world: &mut World, device: Option<usize>) {
    match device {
        Some(index) => check_gate(world, index),
        None => (0..world.devices.len()).for_each(|index| check_gate(world, index)),
    }
}

/// How long holders may work on after a wipe began, ms.
const TELL_WITHIN: Ms = 400;

/// The TPM's clock and CLOCK_BOOTTIME need not agree better than this, ms.
const SLACK: Ms = 500;

fn check_gate(world: &mut World, index: usize) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    if device.asleep_until > now {
        return;
    }
    device.set_clocks(now);
    let Some(process) = &device.process else { return };
    let Some(truth) = world.ledger.get(index) else { return };
    if truth.tell_by.is_some_and(|by| by < now) {
        let detail = format!("device {index} has not told holders of a wipe");
        return world.broken(Promise::HoldersAreTold, detail);
    }
    let Some(acting) = process.parts.in_use() else { return };
    let pairing = acting.record.pairing;
    if truth.wiping.contains(&pairing) || truth.noted.contains(&pairing) {
        let detail = format!("device {index} works with pairing {pairing}, whose wipe has begun");
        return world.broken(Promise::NothingAfterAWipe, detail);
    }
    let terms = &acting.lease.terms;
    if truth.root_ended.contains(&terms.epoch) {
        return;
    }
    if device.tpm.epoch() != Some(terms.epoch)
        || acting.record.attestation_name.as_bytes() != device.tpm.attestation_name()
    {
        let detail =
            format!("device {index} works in epoch {}, its counter is {:?}", terms.epoch, device.tpm.epoch());
        return world.broken(Promise::WorksInItsEpoch, detail);
    }
    let is_over = device.tpm.clock(now) >= terms.clock_before.saturating_add(SLACK);
    if is_over
        || !device.tpm.accepts(now.saturating_sub(SLACK), &acting.key, &acting.lease)
            && !is_ending(device, now, terms.clock_before)
    {
        let detail = format!("device {index} works, and its TPM refuses the lease");
        return world.broken(Promise::WorksUnderALease, detail);
    }
    if let Some(keys) = world.ledger.keys.iter_mut().find(|keys| keys.device_key.public == acting.key.public)
        && keys.lease.as_ref().is_none_or(|lease| lease.signature != acting.lease.signature)
    {
        keys.lease = Some(pawl_tpm::LeaseGrant::clone(&acting.lease));
    }
    // The status is costly.
    if !world.steps.is_multiple_of(4) {
        return;
    }
    let Some(process) = world.devices.get(index).and_then(|device| device.process.as_ref()) else { return };
    let status = process.core.status();
    if status.verdict.as_ref().is_some_and(is_barring) {
        return world.broken(Promise::BarredDevicesDoNotWork, format!("device {index}"));
    }
    if let (Some(token), Some(entitlement)) = (process.parts.token(TOKEN), status.entitlement) {
        let lacks = entitlement.lacking(token.scope.split_ascii_whitespace(), crate::device::AUDIENCE);
        if lacks.is_some() {
            let detail = format!("device {index} serves a token outside {:?}", entitlement.scopes);
            return world.broken(Promise::TokensAreGranted, detail);
        }
    }
    if process.core.session().is_some_and(|session| session.waiting.is_some()) {
        world.saw(Sight::WorksWhileItWaits);
    }
}

fn is_barring(verdict: &Verdict) -> bool {
    verdict.entitlement.standing == Standing::Suspended || verdict.result == Some(TrustTier::Contraindicated)
}

fn is_ending(device: &mut crate::device::Device, now: Ms, clock_before: u64) -> bool {
    device.tpm.clock(now) >= clock_before && device.tpm.clock(now) < clock_before.saturating_add(SLACK)
}
