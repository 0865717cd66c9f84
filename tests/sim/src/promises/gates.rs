//! The promises about gates.

use pawl_proto::message::{DeviceState, Standing, TrustTier, Verdict};

use super::Promise;
use crate::device::{AUDIENCE, Device, TOKEN};
use crate::seen::Sight;
use crate::world::{Ms, World};

/// The TPM's clock and CLOCK_BOOTTIME need not agree better than this, ms.
const SLACK: Ms = 500;

/// Checks the promises about gates after every step at a device: no gate is open once a wipe has begun, in another epoch
/// than the counter's, or under a lease that the TPM refuses.
pub fn check(world: &mut World, device: Option<usize>) {
    match device {
        Some(index) => check_gate(world, index),
        None => (0..world.devices.len()).for_each(|index| check_gate(world, index)),
    }
}

fn check_gate(world: &mut World, index: usize) {
    let now = world.now;
    let Some(device) = world.devices.get_mut(index) else { return };
    if device.asleep_until > now {
        return;
    }
    device.set_clocks(now);
    let Some(process) = &device.process else { return };
    let Some(facts) = world.ledger.get(index) else { return };
    if facts.notify_by.is_some_and(|by| by < now) {
        let detail = format!("device {index} has not told holders of a wipe");
        return world.broken(Promise::HoldersAreTold, detail);
    }
    let acting = process.parts.in_use();
    let since = match acting {
        None if process.core.state() == DeviceState::Entitled => Some(facts.shut_since.unwrap_or(now)),
        _ => None,
    };
    if facts.shut_since != since {
        world.ledger.with(index, |facts| facts.shut_since = since);
    }
    if since.is_some_and(|since| since + SLACK < now) {
        let detail = format!("device {index} says that it is entitled, and its gate is shut");
        return world.broken(Promise::EntitledWithAnOpenGate, detail);
    }
    let (Some(acting), Some(facts)) = (acting, world.ledger.get(index)) else { return };
    let pairing = acting.record.pairing;
    if facts.wiping.contains(&pairing) || facts.noted.contains(&pairing) {
        let detail = format!("device {index} works with pairing {pairing}, whose wipe has begun");
        return world.broken(Promise::NothingAfterAWipe, detail);
    }
    let terms = &acting.lease.terms;
    if facts.root_ended.contains(&terms.epoch) {
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
        let lacks = entitlement.lacking(token.scope.split_ascii_whitespace(), AUDIENCE);
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

fn is_ending(device: &mut Device, now: Ms, clock_before: u64) -> bool {
    device.tpm.clock(now) >= clock_before && device.tpm.clock(now) < clock_before.saturating_add(SLACK)
}
