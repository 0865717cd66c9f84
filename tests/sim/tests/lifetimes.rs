//! A few lifetimes in every run of the tests; `./dev sim` runs thousands.

use std::sync::Arc;

use pawl_sim::plane::Setup;
use pawl_sim::run;

#[test]
fn lifetimes_keep_every_promise() {
    let setup = Arc::new(Setup::new());
    for seed in 1..=12 {
        let lifetime = run::lifetime(&setup, seed, false);
        assert_eq!(lifetime.violation, None, "seed {seed}: ./dev sim --seed {seed} --trace");
        assert!(lifetime.steps >= 100, "seed {seed} had {} steps", lifetime.steps);
    }
}

#[test]
fn a_seed_repeats_exactly() {
    let (setup, another) = (Arc::new(Setup::new()), Arc::new(Setup::new()));
    for seed in [5, 104] {
        let (first, second) = (run::lifetime(&setup, seed, false), run::lifetime(&another, seed, false));
        assert_eq!((first.steps, first.fingerprint), (second.steps, second.fingerprint), "seed {seed}");
    }
}
