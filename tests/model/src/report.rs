use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pawl_model::{Action, State, World};
use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Model as _, Path};

/// How far it is, every few seconds.
pub(crate) struct Progress;

impl Reporter<World> for Progress {
    fn report_checking(&mut self, data: ReportData) {
        let ReportData { total_states, unique_states, max_depth, duration, done } = data;
        let seconds = duration.as_secs();
        if done {
            println!("  {unique_states} states, {total_states} steps, depth {max_depth}, {seconds} s");
        } else {
            eprintln!("  … {unique_states} states, depth {max_depth}, {seconds} s");
        }
    }

    fn report_discoveries(&mut self, _: &World, _: BTreeMap<&'static str, ReportDiscovery<World>>) {}

    fn delay(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// What is looked at.
pub(crate) fn begin(world: &World) {
    let bounds = world.bounds;
    println!(
        "{} sessions, {} orders, {} faults; {} to approve a re-pair",
        bounds.sessions, bounds.orders, bounds.faults, world.policy.re_pair
    );
}

/// What was found; whether every promise is kept. What never happened is said, and breaks nothing:
/// some bounds leave no room for it.
pub(crate) fn end(world: &World, found: &HashMap<&'static str, Path<State, Action>>) -> bool {
    let mut kept = true;
    for property in world.properties() {
        let name = property.name;
        match (property.expectation.discovery_is_failure(), found.get(name)) {
            (true, None) => println!("  kept    {name}"),
            (true, Some(path)) => {
                kept = false;
                println!("  BROKEN  {name}\n{path}");
            }
            (false, Some(_)) => println!("  seen    {name}"),
            (false, None) => println!("  unseen  {name}"),
        }
    }
    kept
}
