//! Waiting for a condition, never for a time.

use std::env;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Long enough for anything that should happen at once, on a machine that does much besides.
pub const SOON: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(10);

/// Tries until it succeeds, and gives what it returned.
///
/// Where programs run under an emulator it waits longer: as many times `limit` as `RIG_PATIENCE` says.
///
/// # Errors
/// The last failure once `limit` has passed, or [`Interrupted`].
pub fn until<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let limit = limit.saturating_mul(patience());
    let deadline = Instant::now() + limit;
    loop {
        stop_if_interrupted()?;
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("waited {} s until {what}", limit.as_secs()));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn patience() -> u32 {
    env::var("RIG_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// From now on SIGINT and SIGTERM end the wait that they meet, and no process by themselves.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn end_on_signals() -> Result<()> {
    let caught = Arc::clone(SIGNAL.get_or_init(Arc::default));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_usize(signal, Arc::clone(&caught), usize::try_from(signal)?)?;
    }
    Ok(())
}

/// Blocks until a signal of [`end_on_signals`] comes.
#[must_use]
pub fn for_signal() -> Interrupted {
    loop {
        if let Err(interrupted) = stop_if_interrupted() {
            return interrupted;
        }
        std::thread::sleep(POLL);
    }
}

static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// For loops that wait by other means.
///
/// # Errors
/// Once a signal of [`end_on_signals`] has come.
pub fn stop_if_interrupted() -> Result<(), Interrupted> {
    match SIGNAL.get().map_or(0, |signal| signal.load(Ordering::Relaxed)) {
        0 => Ok(()),
        signal => Err(Interrupted { signal }),
    }
}

/// SIGINT or SIGTERM arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: usize,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted by signal {}", self.signal)
    }
}

impl std::error::Error for Interrupted {}
