//! `devices`: finds and lists devices.

use super::Failure;
use super::command::Server;
use super::condition::Condition;
use super::text;
use crate::admin::view::DeviceLine;

/// Lists the devices that fulfil all conditions: the retired ones, or all others.
pub(super) async fn run(server: &Server, conditions: &[Condition], retired: bool) -> Result<(), Failure> {
    let all: Vec<DeviceLine> = server.client.get("/v1/devices").await?;
    let fits = |line: &&DeviceLine| conditions.iter().all(|condition| condition.fits(line));
    let (out, service): (Vec<DeviceLine>, Vec<DeviceLine>) =
        all.into_iter().partition(|line| line.retired_at.is_some());
    let (shown, hidden) = if retired { (out, 0) } else { (service, out.iter().filter(fits).count()) };
    let shown: Vec<DeviceLine> = shown.into_iter().filter(|line| fits(&line)).collect();
    let of_some = retired || !conditions.is_empty();
    server.print(&shown, |shown| text::devices(shown, of_some, hidden))
}
