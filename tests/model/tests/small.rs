//! The promises hold in every state within the small bounds.

use std::collections::BTreeSet;

use pawl_model::{Bounds, Policy, World};
use stateright::{Checker, Expectation, HasDiscoveries, Model as _};

/// What was broken, and what was seen to happen.
fn look(world: World) -> (Vec<&'static str>, BTreeSet<&'static str>) {
    let checker = world.checker().finish_when(HasDiscoveries::AnyFailures).threads(2).spawn_bfs().join();
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, path) in checker.discoveries() {
        match checker.model().property(name).expectation {
            Expectation::Sometimes => {
                seen.insert(name);
            }
            Expectation::Always | Expectation::Eventually => {
                eprintln!("{name}: {path}");
                broken.push(name);
            }
        }
    }
    (broken, seen)
}

#[test]
fn every_promise_is_kept_and_the_world_is_not_an_empty_one() {
    let mut seen = BTreeSet::new();
    for bounds in Bounds::SMALL {
        let (broken, happened) = look(World::new(bounds));
        assert!(broken.is_empty(), "{bounds:?}: {broken:?}");
        seen.extend(happened);
    }
    let properties = World::new(Bounds::of(0, 0, 0)).properties();
    let expected = properties.iter().filter(|property| !property.expectation.discovery_is_failure());
    assert_eq!(seen, expected.map(|property| property.name).collect());
}

#[test]
fn two_persons_approve_where_two_must() {
    let mut world = World::new(Bounds::of(1, 1, 0));
    world.policy = Policy::TWO_PERSONS;
    let (broken, seen) = look(world);
    assert!(broken.is_empty(), "{broken:?}");
    assert!(seen.contains("a device is paired again"), "{seen:?}");
}

#[test]
fn the_orders_that_are_left_out_make_no_difference() {
    for bounds in [Bounds::of(1, 1, 0), Bounds::of(0, 1, 1), Bounds::of(1, 0, 1)] {
        let mut world = World::new(bounds);
        world.every_order = true;
        assert_eq!(look(world), look(World::new(bounds)), "{bounds:?}");
    }
}
