//! The promises, and what shows that the world is not an empty one. Each is looked at in every
//! state that can be reached.

use stateright::Property;

use crate::control_plane::{By, PairingState, Session, Stage, Waiver};
use crate::device::{Device, Phase};
use crate::fleet::DeviceId;
use crate::mend;
use crate::people::Approval;
use crate::promise;
use crate::tpm::Record;
use crate::world::{State, World};

pub(crate) fn all() -> Vec<Property<World>> {
    vec![
        Property::always(promise::NO_TOKEN_AFTER_A_WIPE, no_token_after_a_wipe),
        Property::always(promise::WORKS_IN_ITS_EPOCH, works_in_its_epoch),
        Property::always(promise::NO_EPOCH_FALLS, no_epoch_falls),
        Property::always(promise::OWN_APPROVAL, own_approval),
        Property::always(promise::ONE_LIVE_PAIRING, one_live_pairing),
        Property::always(promise::EARLIER_KEYS_ARE_DEAD, earlier_keys_are_dead),
        Property::always(promise::STANDS_ALONE, stands_alone),
        Property::always(promise::A_REQUEST_CHANGES_NOTHING, a_request_changes_nothing),
        Property::always(promise::ONE_SET_OF_KEYS, one_set_of_keys),
        Property::always(promise::SPENT_ONCE, spent_once),
        Property::always(promise::RUNS_WHAT_WAS_APPROVED, runs_what_was_approved),
        Property::always(promise::KEYS_IN_THE_APPROVED_TPM, keys_in_the_approved_tpm),
        Property::always(promise::WAIVED_BY_THE_OPERATOR, waived_by_the_operator),
        Property::always(promise::A_RECEIPT_IS_TRUE, a_receipt_is_true),
        Property::always(promise::CAN_BE_MENDED, mend::can_be_mended),
        // A world in which nothing happens would keep every promise.
        Property::sometimes("a device is paired again", a_device_is_paired_again),
        Property::sometimes("the old pairing works while the new one waits", works_while_it_waits),
        Property::sometimes("an approval from elsewhere waits for its confirmation", waits_for_confirmation),
        Property::sometimes("a device takes the other's place", takes_the_place),
        Property::sometimes("a disk without word of a wipe finds its epoch over", finds_its_epoch_over),
        Property::sometimes("the operator's repair waives the approval", repair_waives),
    ]
}

fn no_token_after_a_wipe(_: &World, state: &State) -> bool {
    state.devices.all(|_, device| match (device.gate(), device.begun) {
        (Some(served), Some(begun)) => served.pairing != begun.pairing,
        (None, _) | (_, None) => true,
    })
}

fn works_in_its_epoch(_: &World, state: &State) -> bool {
    let fits = |id, device: &Device| {
        device.gate().is_none_or(|served| served.epoch == device.tpm.counter && served.tpm == id)
    };
    state.devices.all(fits)
}

fn no_epoch_falls(_: &World, state: &State) -> bool {
    state.devices.all(|_, device| device.tpm.counter == device.tpm.highest)
}

fn own_approval(_: &World, state: &State) -> bool {
    state.control_plane.sessions().all(|(number, session)| {
        let own = |approval: &&Approval| approval.session == number && approval.at == session.device;
        let mut persons: Vec<_> =
            session.counted.iter().filter(own).map(|approval| approval.person).collect();
        persons.sort_unstable();
        persons.dedup();
        let approved = matches!(session.stage, Stage::Approved { .. } | Stage::Spent);
        !approved || persons.len() >= usize::from(session.needed)
    })
}

fn one_live_pairing(_: &World, state: &State) -> bool {
    DeviceId::ALL.into_iter().all(|device| live(state, device) <= 1)
}

fn live(state: &State, device: DeviceId) -> usize {
    let pairings = state.control_plane.pairings_of(device);
    pairings.filter(|pairing| pairing.state == PairingState::Live).count()
}

fn earlier_keys_are_dead(world: &World, state: &State) -> bool {
    state.devices.all(|id, device| {
        let mut earlier = state.control_plane.pairings_of(id).rev().skip(1);
        earlier.all(|pairing| !device.tpm.accepts(&world.rules, id, pairing.keys.boot, &pairing.keys))
    })
}

fn stands_alone(_: &World, state: &State) -> bool {
    DeviceId::ALL.into_iter().all(|device| {
        let sessions = state.control_plane.sessions().map(|(_, session)| session);
        let approved = |session: &&Session| matches!(session.stage, Stage::Approved { .. });
        let approved = sessions.filter(|session| session.device == device).filter(approved).count();
        approved == 0 || approved + live(state, device) == 1
    })
}

fn a_request_changes_nothing(_: &World, state: &State) -> bool {
    let pairings = state.control_plane.pairings().iter();
    let mut live = pairings.filter(|pairing| pairing.state == PairingState::Live);
    live.all(|pairing| {
        let device = state.devices.of(pairing.device);
        let on_disk = device.disk.record == Some(pairing.keys);
        let wiping = device.process.is_some_and(
            |process| matches!(process.phase, Phase::Wiping(record, _) if record == pairing.keys),
        );
        let held = device.held == Some(pairing.keys.pairing);
        !held
            || device.tampered
            || (device.tpm.counter == pairing.keys.epoch && !wiping && (device.disk.keys || !on_disk))
    })
}

fn one_set_of_keys(_: &World, state: &State) -> bool {
    state.devices.all(|_, device| {
        let made = device.tpm.made;
        made.is_none_or(|(session, times)| times == 1 || !state.control_plane.is_live(session))
    })
}

fn spent_once(_: &World, state: &State) -> bool {
    let sessions = || state.control_plane.sessions();
    let counted_once = |approval: &Approval| {
        sessions().filter(|(_, session)| session.counted.contains(approval)).count() == 1
    };
    sessions().all(|(_, session)| session.grants <= 1 && session.counted.iter().all(counted_once))
}

fn runs_what_was_approved(_: &World, state: &State) -> bool {
    as_approved(state, |session, keys| session.boot == keys.boot)
}

fn keys_in_the_approved_tpm(_: &World, state: &State) -> bool {
    as_approved(state, |session, keys| session.device == keys.tpm)
}

/// Whether `holds` is true of every pairing and the session that it came of.
fn as_approved(state: &State, holds: impl Fn(&Session, &Record) -> bool) -> bool {
    state.control_plane.pairings().iter().all(|pairing| {
        let session = state.control_plane.session(pairing.keys.pairing);
        session.is_some_and(|session| holds(session, &pairing.keys))
    })
}

fn waived_by_the_operator(_: &World, state: &State) -> bool {
    state.control_plane.sessions().all(|(_, session)| match session.waiver {
        Waiver::None | Waiver::FirstPairing => true,
        Waiver::Repair(by) => by == By::Repair,
    })
}

fn a_receipt_is_true(_: &World, state: &State) -> bool {
    state.devices.all(|_, device| {
        device.disk.note.and_then(|note| Some((note.ended, note.receipt?))).is_none_or(|(ended, receipt)| {
            ended < receipt.counter && receipt.counter <= state.devices.of(receipt.tpm).tpm.counter
        })
    })
}

fn a_device_is_paired_again(_: &World, state: &State) -> bool {
    state.devices.any(|id, _| {
        let mut pairings = state.control_plane.pairings_of(id).rev();
        pairings.next().is_some_and(|newest| newest.state == PairingState::Live) && pairings.next().is_some()
    })
}

fn works_while_it_waits(_: &World, state: &State) -> bool {
    state.control_plane.sessions().any(|(_, session)| {
        session.stage == Stage::Waiting && state.devices.of(session.device).gate().is_some()
    })
}

fn waits_for_confirmation(_: &World, state: &State) -> bool {
    state.control_plane.sessions().any(|(_, session)| !session.unconfirmed.is_empty())
}

fn takes_the_place(_: &World, state: &State) -> bool {
    let replaced = |device| live(state, device) == 0 && state.control_plane.pairings_of(device).count() == 1;
    let mut sessions = state.control_plane.sessions();
    sessions.any(|(_, session)| session.replaces && session.grants == 1 && replaced(session.device.other()))
}

fn finds_its_epoch_over(_: &World, state: &State) -> bool {
    state.devices.any(|_, device| {
        let over = device.disk.record.is_some_and(|record| record.epoch < device.tpm.counter);
        over && device.disk.keys && device.disk.note.is_none()
    })
}

fn repair_waives(_: &World, state: &State) -> bool {
    state.control_plane.sessions().any(|(_, session)| {
        session.waiver == Waiver::Repair(By::Repair) && session.needed == 0 && session.grants == 1
    })
}
