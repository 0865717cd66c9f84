//! Runs commands in a guest, as a technician and workloads do.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use pawl_local_api::LocalStatus;
use pawl_proto::message::DeviceState;
use serde_json::Value;

use crate::machine::Machine;

/// The time limit for actions that are immediate on real hardware. The host may be busy, and it emulates the machine.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The polling interval. Each status request takes an emulated machine much of its processor time.
const POLL: Duration = Duration::from_millis(500);

/// Fetches the token as an unprivileged workload.
const TOKEN: &str = "setpriv --reuid nobody --regid pawl --clear-groups pawlctl token telemetry --json";

impl Machine {
    /// Runs a script that must succeed, and returns its output.
    pub(crate) fn succeed(&mut self, script: &str) -> Result<String> {
        let done = self.run_within(SOON, script)?;
        ensure!(done.code == 0, "`{script}` ended with {}: {}{}", done.code, done.output, done.errors);
        Ok(done.output)
    }

    /// Returns the device's status.
    pub(crate) fn status(&mut self) -> Result<LocalStatus> {
        let text = self.succeed("pawlctl status --json")?;
        serde_json::from_str(&text).with_context(|| format!("read {text}"))
    }

    /// Waits for a state.
    pub(crate) fn wait_for(&mut self, state: DeviceState) -> Result<LocalStatus> {
        self.wait_until(&format!("the device is {state}"), |status| status.state == state)
    }

    /// Waits until the device is entitled and holds its token.
    pub(crate) fn wait_until_entitled(&mut self) -> Result<LocalStatus> {
        self.wait_until("the device is entitled and holds its token", |status| {
            status.state == DeviceState::Entitled
                && status.tokens.iter().all(|token| token.expires_at.is_some())
        })
    }

    /// Waits until the status satisfies `wanted`. Ignores errors, because a daemon that has just started may not answer yet.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        wanted: impl Fn(&LocalStatus) -> bool,
    ) -> Result<LocalStatus> {
        let deadline = Instant::now() + SOON;
        loop {
            let found = match self.status() {
                Ok(status) if wanted(&status) => return Ok(status),
                Ok(status) => serde_json::to_string_pretty(&status)?,
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "waited {} s until {what}; found: {found}", SOON.as_secs());
            thread::sleep(POLL);
        }
    }

    /// Waits until a unit is active.
    pub(crate) fn wait_until_active(&mut self, unit: &str) -> Result<()> {
        self.wait_for_unit(unit, true)
    }

    /// Waits until a unit is not active.
    pub(crate) fn wait_until_inactive(&mut self, unit: &str) -> Result<()> {
        self.wait_for_unit(unit, false)
    }

    fn wait_for_unit(&mut self, unit: &str, active: bool) -> Result<()> {
        let (not, until) = if active { ("", "active") } else { ("! ", "no longer active") };
        let tries = SOON.as_secs() * 2;
        let done = self.run_within(
            SOON * 2,
            &format!(
                "for try in $(seq {tries}); do
                    {not}systemctl --quiet is-active {unit} && exit
                    sleep 0.5
                done
                systemctl status {unit}
                exit 1"
            ),
        )?;
        ensure!(done.code == 0, "waited until {unit} is {until}: {}", done.output);
        Ok(())
    }

    /// Requests the token as a workload, which the daemon must refuse. Returns the daemon's answer.
    pub(crate) fn expect_no_token(&mut self) -> Result<Value> {
        let done = self.run(TOKEN)?;
        if done.code == 0 {
            bail!("the daemon returned the token");
        }
        let answer = if done.output.trim().is_empty() { done.errors } else { done.output };
        Ok(serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    /// Requests the token as a workload, which the daemon must return.
    pub(crate) fn expect_token(&mut self) -> Result<()> {
        self.succeed(TOKEN).map(drop)
    }

    /// Returns text that helps to explain a failure: the end of the journal, if the guest still answers, and the end of the console.
    pub(crate) fn explanation(&mut self) -> String {
        let journal = if self.is_on() {
            let request = "pawlctl status; systemctl --failed --no-legend; journalctl --no-pager -o short-monotonic -n 80";
            self.run_within(Duration::from_secs(20), request).map(|done| done.output + &done.errors)
        } else {
            Ok("the machine is switched off".to_owned())
        };
        let journal = journal.unwrap_or_else(|error| format!("{error:#}"));
        let console = self.console().unwrap_or_default();
        let lines: Vec<_> = console.lines().collect();
        let tail = lines.iter().skip(lines.len().saturating_sub(30)).copied().collect::<Vec<_>>().join("\n");
        format!("--- the guest\n{journal}\n--- the end of its console\n{tail}\n")
    }
}
