//! Runs lifetimes: `./dev sim`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use pawl_sim::plane::Setup;
use pawl_sim::run::{self, Lifetime};
use pawl_sim::seen::{Seen, Sight};
use pawl_sim::world::DEVICES;

/// Runs the device's core and the control plane's transitions under seeds, with every fault injected, and checks the
/// promises after every step.
#[derive(Parser)]
#[command(name = "pawl-sim")]
struct Arguments {
    /// Number of seeds.
    #[arg(default_value_t = 2000)]
    lifetimes: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Run only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print each step.
    #[arg(long)]
    trace: bool,
    /// Continue with the next seed after a failure, and print one line per failure.
    #[arg(long)]
    keep_going: bool,
    /// Print how often each fault and each event occurred.
    #[arg(long)]
    counts: bool,
    /// Seconds to search for a shorter trace of a failure.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run::note_panics();
    let setup = Arc::new(Setup::new());
    let begun = Instant::now();
    let seeds = match arguments.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => arguments.first..arguments.first.saturating_add(arguments.lifetimes),
    };
    let (mut seen, mut steps, mut lifetimes, mut failures) = (Seen::default(), 0, 0, 0);
    for seed in seeds {
        let lifetime = run::lifetime(&setup, seed, arguments.trace);
        seen.add(&lifetime.seen);
        steps += lifetime.steps;
        lifetimes += 1;
        let Lifetime { violation: Some(violation), .. } = lifetime else { continue };
        failures += 1;
        println!("seed {seed}: {}: {}", violation.promise.text(), violation.detail);
        if arguments.keep_going {
            continue;
        }
        let limit = Duration::from_secs(arguments.shrink);
        let plan = run::shrink(&setup, seed, violation.promise, limit);
        println!("the shortest trace found has {} decisions:", plan.len());
        for decision in &plan {
            println!("{:>12} ms  device {}  {:?}", decision.at, decision.device, decision.action);
        }
        if arguments.trace {
            println!("and does this:");
            drop(run::play(&setup, seed, plan, true));
        }
        break;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{lifetimes} seeds, {} device lifetimes, {steps} steps, {failures} failures, {seconds:.1} s",
        lifetimes * u64::try_from(DEVICES).unwrap_or(1)
    );
    if arguments.counts {
        for sight in Sight::ALL {
            println!("{:>10}  {}", seen.count(*sight), sight.text());
        }
    }
    let missing = seen.missing(lifetimes);
    for sight in &missing {
        println!("never seen in {lifetimes} lifetimes: {}", sight.text());
    }
    if failures > 0 || !missing.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
