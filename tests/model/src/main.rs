//! Looks at every state of the model: `./dev model`.
#![forbid(unsafe_code)]

mod report;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use pawl_model::{Bounds, Policy, World};
use stateright::{Checker, Model as _};

/// Pairing, revocation, re-pair and approvals in every order, with everything that may go wrong.
/// Without arguments: the large bounds.
#[derive(Parser)]
struct Arguments {
    /// The bounds of the tests.
    #[arg(long, conflicts_with_all = ["sessions", "orders", "faults"])]
    small: bool,
    /// Bounds of your own: the sessions that devices open.
    #[arg(long, value_name = "N", requires_all = ["orders", "faults"])]
    sessions: Option<u8>,
    /// The orders that the operator gives.
    #[arg(long, value_name = "N", requires = "sessions")]
    orders: Option<u8>,
    /// The things that go wrong.
    #[arg(long, value_name = "N", requires = "sessions")]
    faults: Option<u8>,
    /// Two persons must approve a re-pair.
    #[arg(long)]
    two_persons: bool,
    /// Also the orders that make no difference: slow.
    #[arg(long)]
    every_order: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut kept = true;
    for bounds in arguments.bounds() {
        let mut world = World::new(bounds);
        world.every_order = arguments.every_order;
        if arguments.two_persons {
            world.policy = Policy::TWO_PERSONS;
        }
        kept &= check(world);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn bounds(&self) -> Vec<Bounds> {
        match (self.sessions, self.orders, self.faults) {
            (Some(sessions), Some(orders), Some(faults)) => vec![Bounds::of(sessions, orders, faults)],
            _ if self.small => Bounds::SMALL.to_vec(),
            _ => Bounds::LARGE.to_vec(),
        }
    }
}

/// Whether every promise is kept.
fn check(world: World) -> bool {
    report::begin(&world);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let checker = world.checker().threads(threads).spawn_bfs().join_and_report(&mut report::Progress);
    report::end(checker.model(), &checker.discoveries())
}
