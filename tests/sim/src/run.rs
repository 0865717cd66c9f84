//! Lifetimes: one seed, one world, from its beginning to its fair end. A failure is shrunk.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::plan::{Decision, plan};
use crate::plane::Setup;
use crate::promises::{Promise, Violation};
use crate::recovery;
use crate::seen::Seen;
use crate::world::{DEVICES, Ms, World};

/// What became of a lifetime.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// The seed.
    pub seed: u64,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What was seen.
    pub seen: Seen,
    /// The steps.
    pub steps: u64,
    /// A digest of all steps.
    pub fingerprint: u64,
}

/// How long the world runs after the last decision, before the fair continuation begins.
const AFTERMATH: Ms = 20_000;

thread_local! {
    /// What a panic said.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has panics noted instead of printed: a lifetime turns them into a broken promise.
pub fn note_panics() {
    panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
}

/// Runs the lifetime of a seed.
#[must_use]
pub fn lifetime(setup: &Arc<Setup>, seed: u64, is_traced: bool) -> Lifetime {
    play(setup, seed, plan(seed, DEVICES), is_traced)
}

/// Runs a lifetime with a plan of its own.
#[must_use]
pub fn play(setup: &Arc<Setup>, seed: u64, plan: Vec<Decision>, is_traced: bool) -> Lifetime {
    let mut world = World::new(setup, seed, plan, is_traced);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let end = world.end_of_plan() + AFTERMATH;
        world.run_until(end);
        if world.violation.is_none() {
            recovery::play(&mut world);
        }
    }));
    let mut violation = world.violation.take();
    if ended.is_err() {
        let (at, detail) = (world.now, PANIC.with_borrow(Clone::clone));
        violation = Some(Violation { promise: Promise::NothingPanics, detail, at });
    }
    Lifetime { seed, violation, seen: world.seen.clone(), steps: world.steps, fingerprint: world.fingerprint }
}

/// Returns the shortest plan found that breaks the same promise, within a time.
#[must_use]
pub fn shrink(setup: &Arc<Setup>, seed: u64, promise: Promise, limit: Duration) -> Vec<Decision> {
    let begun = Instant::now();
    let breaks = |candidate: &[Decision]| {
        play(setup, seed, candidate.to_vec(), false)
            .violation
            .is_some_and(|violation| violation.promise == promise)
    };
    let mut shortest = plan(seed, DEVICES);
    let mut size = shortest.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut is_shorter = false;
        while start < shortest.len() {
            if begun.elapsed() > limit {
                return shortest;
            }
            let end = (start + size).min(shortest.len());
            let mut candidate = shortest.clone();
            candidate.drain(start..end);
            if breaks(&candidate) {
                (shortest, is_shorter) = (candidate, true);
            } else {
                start = end;
            }
        }
        if !is_shorter || size > 1 {
            size = if size == 1 { 0 } else { size / 2 };
        }
    }
    shortest
}
