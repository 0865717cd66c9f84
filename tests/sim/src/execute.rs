//! Carries out the effects of a device's core on the models, as `pawld`'s executor does on real parts.

use std::collections::VecDeque;
use std::sync::Arc;

use pawl_evidence::rand_core::RngCore as _;
use pawl_evidence::tpm::TaggedDigest;
use pawl_proto::message::{HostFacts, HostHealth};
use pawl_proto::{Epoch, Nonce};
use pawl_tpm::Error;
use pawld::core::{
    Effect, Gather, Gathered, GatheredLogs, Input, KeyCertificates, NewKeys, Secret, Ticket, TpmAnswer,
    TpmCommand, TpmFailureKind, VaultKey, Write,
};
use pawld::simulation;
use zeroize::Zeroizing;

use crate::device::{self, Inbound};
use crate::https;
use crate::link;
use crate::promises::Promise;
use crate::seen::Sight;
use crate::world::{Ms, World, WorldEvent};

/// Gives the core an input, and begins the effects that follow, in their order.
pub fn feed(world: &mut World, index: usize, input: Input) {
    let mut inputs = VecDeque::from([input]);
    while let Some(input) = inputs.pop_front() {
        let now = world.now;
        let Some(device) = world.devices.get_mut(index) else { return };
        device.set_clocks(now);
        let Some(process) = &mut device.process else { return };
        let was_revoking = process.core.is_revoking();
        let effects = process.core.handle(process.parts.now(), input);
        for effect in effects {
            match execute(world, index, effect) {
                Some(follows) => inputs.extend(follows),
                // The process has ended.
                None => return,
            }
        }
        world.begun(index, was_revoking);
    }
    set_timer(world, index);
}

fn set_timer(world: &mut World, index: usize) {
    let Some(device) = world.devices.get_mut(index) else { return };
    let (run, booted_at) = (device.run, device.booted_at);
    let Some(process) = &mut device.process else { return };
    let Some(deadline) = process.core.deadline() else { return };
    let at = booted_at.saturating_add(Ms::try_from(deadline.as_millis()).unwrap_or(Ms::MAX));
    // The world's time has a resolution of a millisecond: a deadline within one is reached at the next.
    let at = if deadline.subsec_nanos() % 1_000_000 == 0 { at } else { at + 1 };
    process.overdue = if at <= world.now { process.overdue + 1 } else { 0 };
    let at = at.max(world.now + 1);
    if process.timer_at.is_none_or(|set| at < set || set <= world.now) {
        process.timer_at = Some(at);
        world.at(at, WorldEvent::Timer(index, run));
    }
}

/// Begins one effect. Returns the inputs that follow at once; none when the process has ended.
pub fn execute(world: &mut World, index: usize, effect: Effect) -> Option<Option<Input>> {
    if crashes(world, index) {
        return None;
    }
    world.trace_effect(index, &effect);
    let now = world.now;
    let device = world.devices.get_mut(index)?;
    device.set_clocks(now);
    let process = device.process.as_mut()?;
    let parts = &process.parts;
    let mut follows = None;
    match effect {
        Effect::CloseGate(problem) => parts.close_gate(problem),
        Effect::OpenGate(open) => {
            world.seen.saw(Sight::GateOpened);
            follows = parts.open_gate(*open);
        }
        Effect::RenewGate { until, lease } => {
            world.seen.saw(Sight::LeaseRenewed);
            parts.renew_gate(until, lease);
        }
        Effect::RestrictGate(entitlement) => parts.restrict_gate(&entitlement),
        Effect::PutToken { name, token, audience } => {
            world.seen.saw(Sight::TokenServed);
            parts.put_token(&name, token, &audience);
        }
        Effect::TellHolders => {
            parts.tell_holders();
            world.ledger.with(index, |facts| facts.notify_by = None);
        }
        Effect::Tpm(ticket, command) => begin_command(world, index, ticket, command),
        Effect::Write(ticket, write) => {
            // Seal the vault now: the gate may have changed by the time of the write.
            let sealed = if matches!(write, Write::Vault) { parts.seal() } else { None };
            process.writes.push_back((ticket, write, sealed));
            if process.writes.len() == 1 {
                schedule_write(world, index);
            }
        }
        Effect::Call(ticket, call) => https::begin(world, index, ticket, call),
        Effect::Gather(ticket, gather) => {
            let gathered = read_host(world, index, gather);
            if device::recover_power(world, index) {
                return None;
            }
            follows = Some(Input::Gathered(ticket, Ok(gathered?)));
        }
        Effect::Examine(ticket) => {
            follows = Some(examine(world, index, ticket)?);
        }
        Effect::PinEndorsementKey(_) => {}
        Effect::Connect(record) => link::begin(world, index, &record),
        Effect::Subscribe => link::subscribe(world, index),
        Effect::Disconnect => link::end(world, index),
        Effect::Publish(parcel) => link::publish(world, index, parcel),
        Effect::Acknowledge(id) => {
            if let Some(message) = process.messages.remove(&id) {
                let Inbound { id, connection, payload } = message;
                world.acknowledges(index, &payload);
                crate::broker::acknowledge(world, index, connection, id);
            }
        }
        Effect::Reply(..) | Effect::Security(..) | Effect::ShowState(_) => {}
        Effect::Record { epoch, moment, fact } => parts.record(epoch, moment, fact),
        Effect::RecordsAcknowledged(sequence) => parts.records_acknowledged(sequence),
        Effect::RaiseClock(time) => parts.raise_clock(time),
    }
    Some(follows)
}

/// Ends the process where it is to end between two effects.
fn crashes(world: &mut World, index: usize) -> bool {
    let Some(crash) = world.devices.get_mut(index).and_then(|device| device.crash.as_mut()) else {
        return false;
    };
    if crash.effects > 0 {
        crash.effects -= 1;
        return false;
    }
    let is_power = crash.is_power;
    world.seen.saw(if is_power { Sight::CutBetweenEffects } else { Sight::KilledBetweenEffects });
    device::crash(world, index, is_power);
    true
}

/// Reads the disk and the TPM's counter. None when the power failed meanwhile.
pub fn examine(world: &mut World, index: usize, ticket: Ticket) -> Option<Input> {
    let device = world.devices.get_mut(index)?;
    let mut found = device.process.as_ref()?.parts.store.examine();
    if device::recover_power(world, index) {
        return None;
    }
    let device = world.devices.get_mut(index)?;
    let counter = match device.tpm.counter() {
        Ok(counter) => counter,
        Err(error) => return Some(Input::NotFound(ticket, simulation::failure(&error))),
    };
    found.counter = counter.map(|counter| Epoch(counter.epoch));
    if found.needs_attestation_name() {
        match device.tpm.identity() {
            Ok(identity) => found.attestation_name = Some(identity.ak_name),
            Err(error) => return Some(Input::NotFound(ticket, simulation::failure(&error))),
        }
    }
    let is_over = matches!(&found.pairing, Ok(Some(record)) if found.counter > Some(record.epoch));
    if is_over && ticket == Ticket::START {
        world.saw(Sight::WipedAtStart);
    }
    Some(Input::Found(ticket, Box::new(found)))
}

fn read_host(world: &mut World, index: usize, gather: Gather) -> Option<Gathered> {
    let device = world.devices.get_mut(index)?;
    Some(match gather {
        Gather::Host => {
            let mut nonce = [0; 32];
            device.rng.fill_bytes(&mut nonce);
            Gathered::Host { facts: HostFacts::default(), nonce: Nonce(nonce) }
        }
        Gather::Logs(range) => {
            let boot_id = device.boot_id();
            let process = device.process.as_ref()?;
            Gathered::Logs(Box::new(GatheredLogs {
                boot_id,
                run: process.nonce,
                health: HostHealth::default(),
                facts: range.whole.then(HostFacts::default),
                boot: None,
                measure: None,
                named_nvpcrs: None,
                ima: None,
                audit: process.parts.report_records(),
            }))
        }
    })
}

fn begin_command(world: &mut World, index: usize, ticket: Ticket, command: TpmCommand) {
    let is_increment = matches!(command, TpmCommand::Increment);
    if is_increment {
        world.wipe_begins(index);
    }
    let Some(process) = world.devices.get_mut(index).and_then(|device| device.process.as_mut()) else {
        return;
    };
    let is_idle = process.tpm.is_empty();
    if is_increment && !is_idle {
        // It goes ahead of everything but the command that the TPM has.
        process.tpm.insert(1, (ticket, command));
    } else {
        process.tpm.push_back((ticket, command));
    }
    if is_idle {
        schedule_command(world, index);
    }
}

fn schedule_command(world: &mut World, index: usize) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    let latency = if now < device.tpm_slow.1 {
        world.seen.saw(Sight::TpmSlow);
        device.tpm_slow.0
    } else {
        device.rng.between(1, 30)
    };
    let run = device.run;
    world.after(latency, WorldEvent::TpmDone(index, run));
}

/// The TPM has carried out the first command.
pub fn command_done(world: &mut World, index: usize) {
    let Some(process) = world.devices.get_mut(index).and_then(|device| device.process.as_mut()) else {
        return;
    };
    let Some((ticket, command)) = process.tpm.pop_front() else { return };
    if !process.tpm.is_empty() {
        schedule_command(world, index);
    }
    let refused = match command {
        TpmCommand::Increment => Sight::IncrementRefused,
        _ => Sight::TpmRefused,
    };
    let checks_lease = matches!(command, TpmCommand::Unseal(_));
    let answer = run(world, index, command);
    if let Err(error) = &answer {
        world.seen.saw(refused);
        world.trace(|| format!("device {index}: the TPM refuses: {error}"));
    }
    let answer = answer.map_err(|error| simulation::failure(&error));
    let is_transient = answer.as_ref().is_err_and(|failure| failure.kind == TpmFailureKind::Transient);
    let is_drift = answer.as_ref().is_err_and(|failure| failure.kind == TpmFailureKind::Pcrs);
    if is_transient && checks_lease {
        world.saw(Sight::LeaseCheckRefused);
    }
    let was_open = is_transient && is_open(world, index);
    feed(world, index, Input::Tpm(ticket, answer));
    if is_drift && is_running(world, index) && !is_open(world, index) {
        world.saw(Sight::LapsedByDrift);
    }
    if was_open && is_running(world, index) && !is_open(world, index) {
        let detail = format!("device {index} closed its gate");
        world.broken(Promise::TransientErrorsCloseNothing, detail);
    }
}

fn is_running(world: &World, index: usize) -> bool {
    world.devices.get(index).is_some_and(|device| device.process.is_some())
}

fn is_open(world: &World, index: usize) -> bool {
    let Some(device) = world.devices.get(index) else { return false };
    device.set_clocks(world.now);
    device.process.as_ref().is_some_and(|process| process.parts.in_use().is_some())
}

/// Has the TPM carry a command out.
///
/// # Errors
/// What the TPM answers.
pub fn run(world: &mut World, index: usize, command: TpmCommand) -> Result<TpmAnswer, Error> {
    let now = world.now;
    let before = world.devices.get(index).and_then(|device| device.tpm.epoch());
    let Some(device) = world.devices.get_mut(index) else { return Err(Error::Stopped) };
    let tpm = &mut device.tpm;
    let answer = match command {
        TpmCommand::Increment => tpm.revoke().map(|()| TpmAnswer::Incremented),
        TpmCommand::Counter => {
            tpm.counter().map(|counter| TpmAnswer::Counter(counter.map(|counter| Epoch(counter.epoch))))
        }
        TpmCommand::Certify(digest) => tpm.certify_counter(now, digest.as_bytes()).map(|attestation| {
            TpmAnswer::Certified { attest: attestation.attest, signature: attestation.signature }
        }),
        TpmCommand::Unseal(lease) => {
            let keys = device.process.as_ref().and_then(|process| process.parts.keys());
            let keys = keys.ok_or(Error::Malformed("vault key"))?;
            let key = tpm.unseal(now, &keys.vault, &lease)?;
            let clock_ms = tpm.clock(now);
            Ok(TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new(key)), clock_ms })
        }
        TpmCommand::MatchPcrs(leases) => {
            let pcrs = tpm.read_pcrs()?;
            let matches = leases.iter().position(|lease| {
                let mut values = pawl_evidence::tpm::PcrValues::default();
                for (index, value) in &pcrs {
                    if let Some(value) =
                        TaggedDigest::new(pawl_evidence::tpm::HashAlgorithm::Sha256, value.as_bytes())
                    {
                        let _ = values.insert(*index, value);
                    }
                }
                values.policy_digest(&lease.terms.selection) == Ok(lease.terms.pcr_digest)
            });
            Ok(TpmAnswer::Matched(matches))
        }
        TpmCommand::Check(record) => {
            let counter = tpm.counter()?.map(|counter| Epoch(counter.epoch));
            let identity = tpm.identity()?;
            Ok(TpmAnswer::Checked(counter, identity.ak_name == record.attestation_name.as_bytes()))
        }
        TpmCommand::Deprovision => tpm.deprovision().map(TpmAnswer::Deprovisioned),
        TpmCommand::EndEpoch => {
            let ended = tpm.provision_counter()?;
            tpm.revoke()?;
            let epoch = tpm.provision_counter()?;
            Ok(TpmAnswer::Ended(Epoch(ended.epoch), Epoch(epoch.epoch)))
        }
        TpmCommand::ProvisionCounter => tpm.provision_counter().map(TpmAnswer::Provisioned),
        TpmCommand::Identity => {
            let identity = tpm.identity()?;
            if let Some(process) = &device.process {
                process.parts.identify(&identity.ek_public);
            }
            Ok(TpmAnswer::Identity(Arc::new(identity)))
        }
        TpmCommand::Activate(credential) => {
            tpm.activate(&credential).map(|secret| TpmAnswer::Activated(Secret(Zeroizing::new(secret))))
        }
        TpmCommand::CreateKeys(binding) => {
            let keys = tpm.create_keys(&binding)?;
            let epoch = binding.counter.epoch;
            world.ledger.created(index, epoch, binding.policy_ref, &keys);
            Ok(TpmAnswer::Created(NewKeys(keys)))
        }
        TpmCommand::CertifyKeys(keys, nonce) => {
            let mut certify = |key| tpm.certify(now, key, nonce.as_bytes());
            Ok(TpmAnswer::KeysCertified(Box::new(KeyCertificates {
                link: certify(&keys.0.link)?,
                device: certify(&keys.0.device)?,
                vault: certify(&keys.0.vault)?,
                action: certify(&keys.0.action)?,
            })))
        }
        TpmCommand::RequestLink { keys, device, epoch } => {
            tpm.request_link(&keys.0.link, device, epoch).map(TpmAnswer::LinkRequested)
        }
        TpmCommand::ReadPcrs => tpm.read_pcrs().map(TpmAnswer::Pcrs),
        TpmCommand::ReadNvPcrs(_) => Ok(TpmAnswer::NvPcrs(Vec::new())),
        TpmCommand::PresentNvPcrs(_) => Ok(TpmAnswer::PresentNvPcrs(Vec::new())),
        TpmCommand::Quote { digest, .. } => tpm.quote(now, digest.as_bytes()).map(TpmAnswer::Quoted),
        TpmCommand::CertifyNvPcrs(..) => Ok(TpmAnswer::NvPcrsCertified(Vec::new())),
    };
    world.counter_moved(index, before);
    answer
}

fn schedule_write(world: &mut World, index: usize) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    let latency = if now < device.disk_slow.1 {
        world.seen.saw(Sight::DiskSlow);
        device.disk_slow.0
    } else {
        device.rng.between(1, 40)
    };
    let run = device.run;
    world.after(latency, WorldEvent::DiskDone(index, run));
}

/// The disk has done the first write.
pub fn write_done(world: &mut World, index: usize) {
    if let Some(input) = write_first(world, index) {
        let has_more = world
            .devices
            .get(index)
            .and_then(|device| device.process.as_ref())
            .is_some_and(|process| !process.writes.is_empty());
        if has_more {
            schedule_write(world, index);
        }
        feed(world, index, input);
    }
}

/// Does the first write that waits. None when the power failed in it.
pub fn write_first(world: &mut World, index: usize) -> Option<Input> {
    let now = world.now;
    let device = world.devices.get_mut(index)?;
    device.set_clocks(now);
    let process = device.process.as_mut()?;
    let (ticket, write, sealed) = process.writes.pop_front()?;
    let outcome = process.parts.put(write.clone(), sealed.as_deref());
    process.parts.write_records();
    if device::recover_power(world, index) {
        return None;
    }
    match &outcome {
        Ok(()) => world.written(index, &write),
        Err(error) => {
            world.seen.saw(Sight::WriteFailed);
            world.trace(|| format!("device {index}: a write fails: {error}"));
        }
    }
    Some(Input::Written(ticket, outcome))
}
