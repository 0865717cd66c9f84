//! A warm start: the daemon of a paired device, its files in the page cache, until `READY=1`.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::Rig;
use pawl_e2e::rig::{self, Process, wait};

use crate::amount::Amount;
use crate::measure::Measure;
use crate::samples::Samples;
use crate::subject::Subject;

const RUNS: usize = 10;

/// Starts the daemon as a service manager does, again and again. The subject's own is stopped.
pub(crate) fn measure(rig: &Rig, subject: &mut Subject) -> Result<Measure> {
    subject.device.stop()?;
    let path = rig.directory().path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).context("listen as a service manager")?;
    manager.set_read_timeout(Some(wait::SOON))?;

    let mut pawld = Command::new(rig::program("pawld")?);
    pawld.arg("--config").arg(subject.device.config());
    pawld.env("NOTIFY_SOCKET", &path).env_remove("JOURNAL_STREAM");
    let log = rig.directory().log("warm-start");
    let mut starts = Samples::default();
    for _ in 0..RUNS {
        let start = Instant::now();
        let daemon = Process::spawn("pawld", &pawld, &log)?;
        starts.add(ready(&manager, start)?);
        ensure!(daemon.terminate()?.success(), "the daemon did not end well");
        drain(&manager)?;
    }
    Ok(Measure {
        name: "warm start to READY",
        figure: Amount::Time(starts.median()),
        aim: Some(Amount::Time(Duration::from_millis(50))),
        parts: starts.parts("median").to_vec(),
    })
}

/// Waits for `READY=1` (sd_notify(3)).
fn ready(manager: &UnixDatagram, start: Instant) -> Result<Duration> {
    let mut message = [0; 4096];
    loop {
        let length = manager.recv(&mut message).context("wait for READY=1")?;
        let now = Instant::now();
        let told = message.get(..length).unwrap_or_default();
        if told.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(now - start);
        }
    }
}

/// Takes in what an ended daemon said.
fn drain(manager: &UnixDatagram) -> Result<()> {
    manager.set_nonblocking(true)?;
    while manager.recv(&mut [0; 4096]).is_ok() {}
    manager.set_nonblocking(false)?;
    Ok(())
}
