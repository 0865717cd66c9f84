//! Each rule keeps a promise: without it, the checker finds the promise broken. So the model is
//! one that can fail.

use std::collections::BTreeSet;

use pawl_model::{Bounds, Policy, Rules, World, promise};
use stateright::{Checker, HasDiscoveries, Model as _};

/// A rule, without which a promise is broken within these bounds.
struct Broken {
    rule: fn(&mut Rules),
    promise: &'static str,
    bounds: Bounds,
}

/// `broken!(rule => PROMISE, sessions, orders, faults)`
macro_rules! broken {
    ($($rule:ident)+ => $promise:ident, $sessions:literal, $orders:literal, $faults:literal) => {
        Broken {
            rule: |rules| { $(rules.$rule = false;)+ },
            promise: promise::$promise,
            bounds: Bounds::of($sessions, $orders, $faults),
        }
    };
}

impl Broken {
    /// A way there is printed, for whoever reads the log.
    fn is_found(&self, mut world: World) -> bool {
        (self.rule)(&mut world.rules);
        let found = HasDiscoveries::AnyOf(BTreeSet::from([self.promise]));
        let checker = world.checker().finish_when(found).spawn_dfs().join();
        let path = checker.discovery(self.promise);
        if let Some(path) = &path {
            println!("{}: {path}", self.promise);
        }
        path.is_some()
    }
}

const WIPE: [Broken; 7] = [
    broken!(the_gate_closes_first => NO_TOKEN_AFTER_A_WIPE, 0, 1, 0),
    broken!(the_gate_closes_first => WORKS_IN_ITS_EPOCH, 0, 1, 0),
    // A killed process leaves no word to the next one.
    broken!(a_wipe_is_noted_first => NO_TOKEN_AFTER_A_WIPE, 0, 1, 1),
    // The power fails after the unlink, and the old disk is put back.
    broken!(the_increment_comes_before_the_unlink => NO_TOKEN_AFTER_A_WIPE, 0, 1, 1),
    broken!(a_wipe_is_final => NO_TOKEN_AFTER_A_WIPE, 0, 1, 0),
    broken!(a_receipt_certifies_the_counter => A_RECEIPT_IS_TRUE, 0, 1, 0),
    broken!(a_new_counter_starts_above => NO_EPOCH_FALLS, 0, 1, 1),
];

const BELIEF: [Broken; 6] = [
    // The broker repeats the last pairing's event to the next.
    broken!(an_event_names_its_epoch => A_REQUEST_CHANGES_NOTHING, 1, 1, 0),
    broken!(an_event_names_its_device => A_REQUEST_CHANGES_NOTHING, 0, 1, 0),
    // The other device's disk, with word of a wipe in an epoch of the same number.
    broken!(the_note_goes_before_the_new_record => A_REQUEST_CHANGES_NOTHING, 1, 1, 2),
    broken!(a_record_names_its_tpm => A_REQUEST_CHANGES_NOTHING, 0, 1, 1),
    broken!(a_kept_approval_names_its_tpm => A_REQUEST_CHANGES_NOTHING, 1, 0, 1),
    broken!(an_answer_names_its_session => A_REQUEST_CHANGES_NOTHING, 2, 0, 0),
];

const RE_PAIR: [Broken; 9] = [
    broken!(the_wipe_waits_for_the_approval => A_REQUEST_CHANGES_NOTHING, 1, 0, 0),
    // A new disk has no pairing to wipe, and yet the counter must move.
    broken!(the_device_climbs => CAN_BE_MENDED, 1, 0, 1),
    // Keys were made, the process was killed, and keys are made.
    broken!(a_resumed_session_moves_on => ONE_SET_OF_KEYS, 1, 0, 1),
    // The session expires before its proof.
    broken!(a_refused_session_is_given_up => CAN_BE_MENDED, 1, 0, 1),
    broken!(a_lease_names_its_epoch => EARLIER_KEYS_ARE_DEAD, 1, 0, 0),
    // Root goes on from the approval without the wipe.
    broken!(a_pairing_has_an_epoch_of_its_own => EARLIER_KEYS_ARE_DEAD, 1, 0, 1),
    broken!(an_approval_ends_the_old_pairing a_pairing_has_an_epoch_of_its_own => ONE_LIVE_PAIRING, 1, 0, 1),
    broken!(an_approval_ends_the_old_pairing => STANDS_ALONE, 1, 0, 0),
    broken!(a_newer_session_replaces_the_older => STANDS_ALONE, 2, 0, 0),
];

const APPROVAL: [Broken; 6] = [
    broken!(an_approval_names_its_session => OWN_APPROVAL, 2, 0, 0),
    // The code of one device is read to whoever approves another.
    broken!(an_approval_from_elsewhere_is_confirmed => OWN_APPROVAL, 1, 0, 1),
    broken!(a_credential_opens_in_one_tpm => KEYS_IN_THE_APPROVED_TPM, 1, 0, 1),
    // The process is killed before it kept the grant, and makes other keys.
    broken!(a_session_is_spent_once => SPENT_ONCE, 1, 0, 1),
    broken!(the_boot_state_is_the_approved_one => RUNS_WHAT_WAS_APPROVED, 1, 0, 1),
    broken!(only_the_operator_waives_an_approval => WAIVED_BY_THE_OPERATOR, 2, 0, 0),
];

fn all_are_found(broken: &[Broken]) {
    for case in broken {
        assert!(case.is_found(World::new(case.bounds)), "the checker did not find: {}", case.promise);
    }
}

#[test]
fn rules_of_a_wipe() {
    all_are_found(&WIPE);
}

#[test]
fn rules_of_what_a_device_believes() {
    all_are_found(&BELIEF);
}

#[test]
fn rules_of_a_re_pair() {
    all_are_found(&RE_PAIR);
}

#[test]
fn rules_of_approvals() {
    all_are_found(&APPROVAL);
}

#[test]
fn two_approvals_are_two_persons() {
    let case = broken!(approvals_are_of_different_persons => OWN_APPROVAL, 1, 0, 0);
    let mut world = World::new(case.bounds);
    world.policy = Policy::TWO_PERSONS;
    assert!(case.is_found(world));
}

#[test]
fn every_promise_can_be_broken() {
    let cases = WIPE.iter().chain(&BELIEF).chain(&RE_PAIR).chain(&APPROVAL);
    let broken: BTreeSet<_> = cases.map(|case| case.promise).collect();
    let properties = World::new(Bounds::of(0, 0, 0)).properties();
    let promised = properties.iter().filter(|property| property.expectation.discovery_is_failure());
    assert_eq!(broken, promised.map(|property| property.name).collect());
}
