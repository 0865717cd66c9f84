//! The reading of disk and counter, from which a phase follows ([`start`](super::start)): at the start, after a pairing was
//! created, and where the counter does not fit the pairing.

use std::time::Duration;

use pawl_proto::record::DeviceFact;

use super::common::Ticket;
use super::context::Context;
use super::effect::{Effect, Write};
use super::found::Found;
use super::input::TpmFailure;
use crate::record::{PairingRecord, Unfinished};
use crate::telemetry::event::SecurityEvent;

/// The examination that is under way, if there is one.
pub(super) struct Examination {
    state: State,
    /// A pairing that was cut short before its commit has taken its place.
    has_completed: bool,
}

enum State {
    None,
    Reading(Ticket),
    /// The TPM did not answer; when to read again.
    Again(Duration),
    /// An earlier process was cut short between the stage of a pairing and its commit.
    Committing(Ticket, Box<Found>),
}

const AGAIN: Duration = Duration::from_secs(5);

impl Examination {
    /// Returns the one that the executor does by itself at its start.
    pub(super) fn at_start() -> Self {
        Self { state: State::Reading(Ticket::START), has_completed: false }
    }

    /// Reads disk and counter.
    pub(super) fn begin(&mut self, cx: &mut Context) {
        let ticket = cx.ticket();
        cx.push(Effect::Examine(ticket));
        self.state = State::Reading(ticket);
    }

    /// Ignores what is being read: an epoch is being ended or a pairing created, which changes both.
    pub(super) fn abandon(&mut self) {
        self.state = State::None;
    }

    /// Takes what was found, if it is of the last examination. A pairing that was staged takes its place first, and another
    /// examination follows.
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
            // The space that an earlier process reserved. A session reserves its own.
            Unfinished::Nothing if ticket == Ticket::START => drop(cx.write(Write::Release)),
            Unfinished::Nothing | Unfinished::Approved { .. } => {}
        }
        if std::mem::take(&mut self.has_completed) {
            announce_completed(cx, &found);
        }
        Some(found)
    }

    /// Handles that the TPM did not tell its counter.
    pub(super) fn not_found(&mut self, cx: &Context, ticket: Ticket, failure: &TpmFailure) {
        if self.is_reading(ticket) {
            tracing::error!(error = failure.text, remedy = failure.remedy, "cannot read the epoch counter");
            self.state = State::Again(cx.after(AGAIN));
        }
    }

    /// Handles the result of a write, if it is the commit's. Without the commit, what was found before it holds.
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
                tracing::error!(error, "a granted pairing cannot take its place yet");
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

    /// Reads again, where that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.deadline()) {
            self.begin(cx);
        }
    }

    /// Returns whether a pairing that an earlier process staged has yet to take its place.
    pub(super) fn is_committing(&self) -> bool {
        matches!(self.state, State::Committing(..))
    }

    /// Returns whether a phase is about to follow.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Committing(..) | State::Reading(_))
    }

    fn is_reading(&self, ticket: Ticket) -> bool {
        matches!(self.state, State::Reading(reading) if reading == ticket)
    }
}

fn announce_completed(cx: &mut Context, found: &Found) {
    if let Ok(Some(PairingRecord { epoch, pairing, scopes, .. })) = &found.pairing {
        tracing::warn!("a granted pairing was cut short; it takes the place of the old one");
        cx.security(SecurityEvent::PAIRED, Some(*epoch), format!("pairing {pairing}"));
        let fact = DeviceFact::Paired { pairing: *pairing, scopes: scopes.clone() };
        cx.record(Some(*epoch), None, fact);
    }
}
