//! `pawlctl check`

mod daemon;
mod endpoint;
mod files;
mod finding;
mod logs;
mod measure_log;
mod network;
mod reader;
mod tpm;
mod tpm_report;

use std::io;
use std::path::PathBuf;

use pawl_config::{Config, ConfigError};
use pawl_local_api::LocalStatus;

use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output::{self, Style};

use finding::{Finding, Outcome};
use reader::Reader;

pub(super) async fn run(
    socket: Option<PathBuf>,
    options: &cli::Check,
    json: bool,
) -> Result<Answer, Failure> {
    let config = Config::load(&options.config, pawl_config::environment());
    if options.tpm {
        let socket = socket.or_else(|| config.ok().map(|config| config.socket));
        return tpm_report::run(&Client::new(socket), json).await;
    }
    let misconfigured = config.is_err();
    let findings = examine(socket, options, config).await;
    let text =
        if json { output::json(&findings)? } else { finding::list(&findings, Style::of(&io::stdout())) };
    let failed = findings.iter().any(|finding| finding.result == Outcome::Failed);
    let exit = match (misconfigured, failed) {
        (true, _) => Exit::Configuration,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Done,
    };
    Ok(Answer { exit, ..Answer::done(text) })
}

/// Runs the checks: first those of the device itself, then those of the servers that it needs.
async fn examine(
    socket: Option<PathBuf>,
    options: &cli::Check,
    config: Result<Config, ConfigError>,
) -> Vec<Finding> {
    let reader = Reader::find(config.as_ref().ok().map(|config| config.state_dir.as_path()));
    let mut findings = vec![files::configuration(&options.config, config.as_ref().err(), reader.as_ref())];
    let config = config.ok();
    let socket = socket.or_else(|| config.as_ref().map(|config| config.socket.clone()));
    let socket = socket.unwrap_or_else(|| PathBuf::from(pawl_local_api::SOCKET));
    findings.push(files::socket(&socket));
    let client = Client::new(Some(socket));
    let answer = client.status().await;
    findings.push(daemon::answer(&answer));
    let status: Option<LocalStatus> = answer.ok();

    if let Some(config) = &config {
        findings.push(files::state_dir(&config.state_dir));
        findings.push(files::free_space(&config.state_dir));
        findings.push(files::authority(&config.control_plane.ca, reader.as_ref()));
    }
    findings.push(tpm::device(status.as_ref(), config.as_ref()));
    findings.push(tpm::banks(status.as_ref()));
    findings.push(tpm::endorsement(status.as_ref()));
    findings.push(tpm::counter(&client, status.is_some()).await);
    if let Some(config) = &config {
        findings.push(logs::boot(&logs::boot_log(config)));
        findings.push(measure_log::finding(&measure_log::Places::of(config), status.as_ref()));
        findings.push(logs::ima(&config.logs.ima));
    }

    let floor = status.as_ref().and_then(|status| status.time_floor);
    let date = match &config {
        Some(config) => network::control_plane(config, floor, &mut findings).await,
        None => None,
    };
    findings.push(daemon::clock(output::now(), floor, date));
    network::broker(status.as_ref(), config.as_ref(), &mut findings).await;
    findings
}
