//! A device that has nothing to do: its memory, its threads, and how often they wake up.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::rig::wait;

use crate::amount::Amount;
use crate::measure::Measure;
use crate::process::{self, Memory, Thread};
use crate::subject::Subject;

const MINUTE: Duration = Duration::from_secs(60);
/// Tokio ends helper threads that had nothing to do for ten seconds.
const SETTLE: Duration = Duration::from_secs(15);

/// Lets the device rest, connected and entitled, and counts.
pub(crate) fn measure(subject: &Subject) -> Result<[Measure; 2]> {
    let pid = subject.device.pid().context("the daemon does not run")?;
    rest(SETTLE)?;
    let before = process::threads(pid)?;
    rest(MINUTE)?;
    let after = process::threads(pid)?;
    let memory = Memory::of(pid)?;
    Ok([resident(&memory), switches(&before, &after)])
}

fn resident(memory: &Memory) -> Measure {
    Measure {
        name: "resident memory, idle",
        figure: Amount::Bytes(memory.resident),
        aim: Some(Amount::Bytes(8_000_000)),
        parts: vec![
            ("of its own (anonymous)", Amount::Bytes(memory.anonymous)),
            ("of files", Amount::Bytes(memory.files)),
            ("its proportional share (PSS)", Amount::Bytes(memory.proportional)),
        ],
    }
}

fn switches(before: &[Thread], after: &[Thread]) -> Measure {
    let of = |thread: &Thread| {
        let earlier = before.iter().find(|earlier| earlier.id == thread.id);
        thread.switches - earlier.map_or(0, |earlier| earlier.switches.min(thread.switches))
    };
    let each: Vec<_> = after.iter().map(|thread| format!("{} {}", thread.name, of(thread))).collect();
    Measure {
        name: "voluntary context switches in 60 s, idle",
        figure: Amount::Count(after.iter().map(of).sum()),
        aim: Some(Amount::Count(5)),
        parts: vec![
            ("threads", Amount::Count(u64::try_from(after.len()).unwrap_or(u64::MAX))),
            ("by thread", Amount::Text(each.join(", "))),
        ],
    }
}

/// Passes the time, unless a signal ends it.
fn rest(time: Duration) -> Result<()> {
    let start = Instant::now();
    wait::until("the rest is over", time + wait::SOON, || {
        ensure!(start.elapsed() >= time, "it is not over");
        Ok(())
    })
}
