//! Sends scripts to the guest's shell through a virtio port. `guest/channel` is the other end.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_e2e::rig::wait;

/// The guest's first line.
const GREETING: &str = "ready";

/// The channel into a guest. It runs one script at a time.
pub(super) struct Channel {
    stream: BufReader<UnixStream>,
    partial: Vec<u8>,
    sent: u64,
}

/// The result of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) code: u8,
    /// Its standard output.
    pub(crate) output: String,
    /// Its standard error.
    pub(crate) errors: String,
}

impl Channel {
    /// Connects to the port of a machine that is starting.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = wait::until("QEMU listens", wait::SOON, || {
            UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))
        })?;
        // A short timeout, so that a waiting caller can check whether the machine still runs.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { stream: BufReader::new(stream), partial: Vec::new(), sent: 0 })
    }

    /// Waits until the guest listens.
    pub(super) fn wait_for_guest(
        &mut self,
        deadline: Instant,
        alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let line = self.line(deadline, alive)?;
        ensure!(line == GREETING, "the guest's greeting is {line:?}");
        Ok(())
    }

    /// Waits until a guest that has started again listens. Skips answers that it sent before.
    pub(super) fn wait_for_new_guest(
        &mut self,
        deadline: Instant,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        while self.line(deadline, &mut alive)? != GREETING {}
        Ok(())
    }

    /// Sends a script, and does not wait for its result.
    pub(super) fn send(&mut self, script: &str) -> Result<()> {
        self.sent += 1;
        let script = STANDARD.encode(script);
        writeln!(self.stream.get_mut(), "{} {script}", self.sent).context("send to the guest")
    }

    /// Waits for the end of the script that was sent last.
    pub(super) fn receive(&mut self, deadline: Instant, alive: impl FnMut() -> Result<()>) -> Result<Done> {
        let line = self.line(deadline, alive)?;
        let mut words = line.split(' ');
        let number = words.next().and_then(|number| number.parse().ok());
        ensure!(number == Some(self.sent), "the guest answered another script: {line}");
        let code = words.next().context("no exit code")?.parse().context("read an exit code")?;
        let mut text = || {
            let word = words.next().and_then(|word| word.strip_prefix('.')).context("incomplete answer")?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(&STANDARD.decode(word)?).into_owned())
        };
        Ok(Done { code, output: text()?, errors: text()? })
    }

    fn line(&mut self, deadline: Instant, mut alive: impl FnMut() -> Result<()>) -> Result<String> {
        loop {
            match self.stream.read_until(b'\n', &mut self.partial) {
                Ok(0) => bail!("QEMU closed the channel"),
                Ok(_) => {
                    let line = std::mem::take(&mut self.partial);
                    return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    wait::stop_if_interrupted()?;
                    alive()?;
                    ensure!(Instant::now() < deadline, "the guest does not answer");
                }
                Err(error) => return Err(error).context("read from the guest"),
            }
        }
    }
}
