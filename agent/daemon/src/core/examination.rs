//! The examination of disk and counter, which decides the phase ([`start`](super::start)): at the start, after a pairing was
//! created, and if the counter does not match the pairing.

use std::time::Duration;

use pawl_proto::record::DeviceFact;

use super::common::Ticket;
use super::context::Context;
use super::effect::{Effect, Write};
use super::found::Found;
use super::input::TpmFailure;
use crate::record::{PairingRecord, Unfinished};
use crate::telemetry::event::SecurityEvent;

/// The examination in progress, if there is one.
pub(super) struct Examination {
    state: State,
    /// Whether this process has committed a pairing that an earlier one staged.
    has_completed: bool,
}

enum State {
    None,
    Reading(Ticket),
    /// The TPM did not answer. When to read again, on CLOCK_BOOTTIME.
    Again(Duration),
    /// The commit of a pairing that an earlier process staged, and what was found before it.
    Committing(Ticket, Box<Found>),
}

const AGAIN: Duration = Duration::from_secs(5);

impl Examination {
    /// Returns the examination that the executor makes at its start.
    pub(super) fn at_start() -> Self {
        Self { state: State::Reading(Ticket::START), has_completed: false }
    }

    /// Starts an examination.
    pub(super) fn begin(&mut self, cx: &mut Context) {
        let ticket = cx.ticket();
        cx.push(Effect::Examine(ticket));
        self.state = State::Reading(ticket);
    }

    /// Ignores the result of the examination in progress: an epoch is being ended or a pairing created, which changes disk and
    /// counter.
    pub(super) fn abandon(&mut self) {
        self.state = State::None;
    }

    /// Returns what was found, to decide the phase; none if it is not of the last examination. Commits a staged pairing first,
    /// and then examines again.
    pub(super) fn found(&mut self, cx: &mut Context, ticket: Ticket, found: Found) -> Option<Found> {
        if !self.is_reading(ticket) {
            return None;
        }
        self.state = State::None;
        match found.unfinished {
            Unfinished::Staged => {
                self.state = State::Committing(cx.write(Write::Commit), Box::new(found));
                return None;
            }
            Unfinished::Scraps => drop(cx.write(Write::DiscardUnfinished)),
            // Free the space that an earlier process reserved. A session reserves its own.
            Unfinished::Nothing if ticket == Ticket::START => drop(cx.write(Write::Release)),
            Unfinished::Nothing | Unfinished::Approved { .. } => {}
        }
        if std::mem::take(&mut self.has_completed) {
            announce_completed(cx, &found);
        }
        Some(found)
    }

    /// Schedules another examination, because the TPM did not return its counter.
    pub(super) fn not_found(&mut self, cx: &Context, ticket: Ticket, failure: &TpmFailure) {
        if self.is_reading(ticket) {
            tracing::error!(error = failure.text, remedy = failure.remedy, "cannot read the epoch counter");
            self.state = State::Again(cx.after(AGAIN));
        }
    }

    /// Handles the result of the commit. If it succeeded, examines again. If it failed, returns what was found before it.
    pub(super) fn written(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        outcome: &Result<(), String>,
    ) -> Option<Box<Found>> {
        let found = match std::mem::replace(&mut self.state, State::None) {
            State::Committing(commit, found) if commit == ticket => found,
            other => {
                self.state = other;
                return None;
            }
        };
        match outcome {
            Ok(()) => {
                self.has_completed = true;
                self.begin(cx);
                None
            }
            Err(error) => {
                tracing::error!(error, "cannot commit a granted pairing yet");
                Some(found)
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Again(at) => Some(at),
            State::None | State::Reading(_) | State::Committing(..) => None,
        }
    }

    /// Starts the examination that is due, if one is.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.deadline()) {
            self.begin(cx);
        }
    }

    /// Returns whether a pairing that an earlier process staged is being committed.
    pub(super) fn is_committing(&self) -> bool {
        matches!(self.state, State::Committing(..))
    }

    /// Returns whether an examination, or the commit before one, is in progress.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Committing(..) | State::Reading(_))
    }

    fn is_reading(&self, ticket: Ticket) -> bool {
        matches!(self.state, State::Reading(reading) if reading == ticket)
    }
}

fn announce_completed(cx: &mut Context, found: &Found) {
    if let Ok(Some(PairingRecord { epoch, pairing, scopes, .. })) = &found.pairing {
        tracing::warn!("an earlier process did not commit a granted pairing; committed it");
        cx.security(SecurityEvent::PAIRED, Some(*epoch), format!("pairing {pairing}"));
        let fact = DeviceFact::Paired { pairing: *pairing, scopes: scopes.clone() };
        cx.record(Some(*epoch), None, fact);
    }
}
