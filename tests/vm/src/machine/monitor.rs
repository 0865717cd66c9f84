//! Controls QEMU: QMP on a Unix socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use pawl_e2e::rig::wait;
use serde_json::{Value, json};

/// A connection to QEMU's monitor.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the monitor of a machine that is starting.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = wait::until("QEMU answers", wait::SOON, || {
            UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))
        })?;
        stream.set_read_timeout(Some(wait::SOON))?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Starts the processor. QEMU starts with the processor stopped.
    pub(super) fn run(&mut self) -> Result<()> {
        self.execute("cont", &json!({})).map(drop)
    }

    /// Stops the processor, so that the machine's state does not change.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.execute("stop", &json!({})).map(drop)
    }

    /// Plugs the network cable in, or out.
    pub(super) fn set_link(&mut self, device: &str, up: bool) -> Result<()> {
        self.execute("set_link", &json!({ "name": device, "up": up })).map(drop)
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}")?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("QEMU closed its monitor");
            }
            // QEMU also sends a greeting and events, which are skipped.
            let message: Value = serde_json::from_str(&line).context("read an answer of QEMU")?;
            if let Some(error) = message.get("error") {
                bail!("QEMU's {command} failed: {error}");
            }
            if let Some(answer) = message.get("return") {
                return Ok(answer.clone());
            }
        }
    }
}
