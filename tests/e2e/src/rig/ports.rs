//! Free ports of the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    free_pair()
}

/// A port that nobody listens on, and neither on the next one: a TPM's commands and its control
/// channel.
///
/// # Errors
/// When there is none.
pub fn free_pair() -> Result<u16> {
    for _ in 0..PAIRS {
        let port = next();
        if is_free(port) && is_free(port + 1) {
            return Ok(port);
        }
    }
    bail!("no two free ports between {FIRST} and {}", FIRST + 2 * PAIRS)
}

// Below the range from which Linux takes the ports of outgoing connections.
const FIRST: u16 = 17000;
const PAIRS: u16 = 7000;

/// Every pair once before any comes again, from a start that differs between processes.
fn next() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed) % PAIRS;
    let start = std::process::id().wrapping_mul(97) % u32::from(PAIRS);
    let start = u16::try_from(start).unwrap_or_default();
    FIRST + 2 * ((start + taken) % PAIRS)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
