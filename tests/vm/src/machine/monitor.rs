//! QEMU's own control channel: QMP on a Unix socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use pawl_e2e::rig::wait;
use serde_json::{Value, json};

/// What is done to a machine, and not by it.
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// The monitor of a machine that is just being started.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = wait::until("QEMU answers", wait::SOON, || {
            UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))
        })?;
        stream.set_read_timeout(Some(wait::SOON))?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Lets it run: it was started with its processors stopped.
    pub(super) fn run(&mut self) -> Result<()> {
        self.execute("cont", &json!({})).map(drop)
    }

    /// Stops its processors, so that nothing of it changes.
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
                bail!("QEMU is gone");
            }
            // Besides answers there are a greeting and events.
            let message: Value = serde_json::from_str(&line).context("read an answer of QEMU")?;
            if let Some(error) = message.get("error") {
                bail!("QEMU does not {command}: {error}");
            }
            if let Some(answer) = message.get("return") {
                return Ok(answer.clone());
            }
        }
    }
}
