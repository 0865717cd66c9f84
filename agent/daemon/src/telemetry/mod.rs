//! The log, which goes to the journal if systemd connected it, and to standard error otherwise.
//!
//! In the journal each field of an event has the prefix `PAWL_`. Security events ([`event`]) use full
//! field names, since `MESSAGE_ID` must have no prefix.

pub(crate) mod event;

use std::io::{self, IsTerminal as _};

use pawl_config::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log at `level`. Security events are logged at every level.
pub(crate) fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let wanted = filter_fn(move |metadata| is_security(metadata) || *metadata.level() <= level)
        .with_max_level_hint(level.max(LevelFilter::INFO));
    // systemd sets JOURNAL_STREAM for a service whose standard error is the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| journal().ok());
    let terminal = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
    });
    tracing_subscriber::registry().with(wanted).with(journal).with(terminal).init();
}

fn journal<S: Subscriber + for<'span> LookupSpan<'span>>() -> io::Result<impl Layer<S>> {
    let security = tracing_journald::layer()?.with_field_prefix(None);
    let others = tracing_journald::layer()?.with_field_prefix(Some("PAWL".to_owned()));
    Ok(security
        .with_filter(filter_fn(is_security))
        .and_then(others.with_filter(filter_fn(|metadata| !is_security(metadata)))))
}

fn is_security(metadata: &Metadata<'_>) -> bool {
    metadata.target() == event::TARGET
}
