//! `devices`: finds, sorts, counts and lists devices.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use super::command::Server;
use super::condition::Condition;
use super::count::Counts;
use super::field::{Field, Value};
use super::{Failure, output, text};
use crate::admin::ClientError;
use crate::admin::view::DeviceLine;

#[derive(Debug, clap::Args)]
pub(super) struct DevicesArgs {
    /// Only devices that match, as in 'memory<64', 'kernel=6.1.*' or 'status!=entitled'; may be repeated, and all must match
    ///
    /// The operator is = or != (a * stands for any text), and < or > for numbers. A device without a value does not match.
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<Condition>,
    /// Only the retired devices, which are left out otherwise
    #[arg(long)]
    retired: bool,
    /// Sort by a field; devices without a value come last
    #[arg(long, value_name = "FIELD", conflicts_with = "count_by")]
    sort: Option<Field>,
    /// Sort in the reverse order
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Print how many devices have which value of a field, instead of the devices
    #[arg(long, value_name = "FIELD")]
    count_by: Option<Field>,
    /// Print again every 2 seconds, or after this many, until it is interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

/// Lists or counts the devices that fulfil all conditions, once or until it is interrupted.
pub(super) async fn run(server: &Server, args: &DevicesArgs) -> Result<(), Failure> {
    let Some(seconds) = args.watch else {
        return print(server, &found(server, args).await?, args);
    };
    print_again(server, &found(server, args).await?, args)?;
    loop {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        match found(server, args).await {
            Ok(found) => print_again(server, &found, args)?,
            // The server restarts: it is asked again.
            Err(Failure::Client(error @ (ClientError::NotRunning { .. } | ClientError::Connection(_)))) => {
                // Nothing can be done where stderr is closed.
                let _ = writeln!(io::stderr(), "pawl-control-plane: {error}");
            }
            Err(error) => return Err(error),
        }
    }
}

/// The devices to show, and how many retired ones would match but are left out.
struct Found {
    devices: Vec<DeviceLine>,
    hidden: usize,
}

async fn found(server: &Server, args: &DevicesArgs) -> Result<Found, Failure> {
    let mut all: Vec<DeviceLine> = server.client.get("/v1/devices").await?;
    all.retain(|line| args.conditions.iter().all(|condition| condition.fits(line)));
    let (retired, in_service): (Vec<_>, Vec<_>) = all.into_iter().partition(|line| line.retired_at.is_some());
    let (mut devices, hidden) = if args.retired { (retired, 0) } else { (in_service, retired.len()) };
    if let Some(field) = args.sort {
        sort(&mut devices, field, args.reverse);
    }
    Ok(Found { devices, hidden })
}

/// Sorts by a field, devices without a value last. Equal ones stay in the order of their ids.
fn sort(devices: &mut [DeviceLine], field: Field, is_reverse: bool) {
    devices.sort_by(|one, other| match (field.read(one), field.read(other)) {
        (Some(one), Some(other)) if is_reverse => other.order(&one),
        (Some(one), Some(other)) => one.order(&other),
        (one, other) => one.is_none().cmp(&other.is_none()),
    });
}

fn count(devices: &[DeviceLine], field: Field) -> Counts {
    Counts::of(field.name(), devices.iter().map(|line| field.read(line).as_ref().map(Value::to_string)))
}

fn print(server: &Server, found: &Found, args: &DevicesArgs) -> Result<(), Failure> {
    if !server.json {
        return Ok(output::text(&formatted(found, args))?);
    }
    match args.count_by {
        Some(field) => Ok(output::json(&count(&found.devices, field))?),
        None => Ok(output::json(&found.devices)?),
    }
}

fn formatted(found: &Found, args: &DevicesArgs) -> String {
    let of_some = args.retired || !args.conditions.is_empty();
    match args.count_by {
        Some(field) => text::counts(&count(&found.devices, field)),
        None => text::devices(&found.devices, of_some, found.hidden),
    }
}

/// Prints on a cleared terminal as many lines as it has; elsewhere prints all.
fn print_again(server: &Server, found: &Found, args: &DevicesArgs) -> Result<(), Failure> {
    let size = io::stdout().is_terminal().then(|| tcgetwinsize(io::stdout()).ok()).flatten();
    match size {
        Some(size) if !server.json => {
            let page = cut(&formatted(found, args), usize::from(size.ws_row));
            Ok(output::text(&format!("\x1b[H\x1b[2J{page}"))?)
        }
        _ => print(server, found, args),
    }
}

/// Cuts a text to the rows of a terminal. The last line stays: it has the count.
fn cut(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(3);
    let (Some(shown), Some(last), true) = (lines.get(..room), lines.last(), rows > 3 && lines.len() >= rows)
    else {
        return text.to_owned();
    };
    let hidden = lines.len().saturating_sub(room + 1);
    format!("{}\n… {hidden} more lines\n{last}\n", shown.join("\n"))
}

#[cfg(test)]
mod tests;
