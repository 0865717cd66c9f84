//! Tokens: requested while the device is entitled, well before they expire.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl_local_api::{Problem, Token, TokenStatus};
use pawl_proto::message::{Entitlement, Lacking};
use pawl_proto::record::DeviceFact;
use pawl_proto::{DeviceId, Epoch, Text};

use super::common::Ticket;
use super::context::{Context, TokenSettings};
use super::effect::{Call, Effect, Write};
use super::input::HeldToken;
use super::time::earliest;
use crate::backoff::Backoff;
use crate::problem;

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(120);
/// A token that expires this close to the end of the lease, or later, was limited by the lease.
const SLACK: Duration = Duration::from_secs(5);

/// When to request each token of the configuration.
pub(super) struct Tokens(BTreeMap<String, Schedule>);

struct Schedule {
    settings: TokenSettings,
    held: Option<HeldToken>,
    due: Option<Duration>,
    /// The request in progress.
    request: Option<Ticket>,
    /// When the lease expires that limits the token. A new token would not last longer while that lease is the newest.
    ends_with: Option<Duration>,
    /// Whether the daemon requests this token only under a newer lease.
    awaits_lease: bool,
    is_denied: bool,
    error: Option<String>,
    backoff: Backoff,
}

impl Tokens {
    pub(super) fn new(settings: &[TokenSettings]) -> Self {
        let schedule = |settings: &TokenSettings| Schedule {
            settings: settings.clone(),
            held: None,
            due: None,
            request: None,
            ends_with: None,
            awaits_lease: false,
            is_denied: false,
            error: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        };
        Self(settings.iter().map(|settings| (settings.name.clone(), schedule(settings))).collect())
    }

    /// Returns when the next token is due; none while the gate is closed.
    pub(super) fn deadline(&self, cx: &Context) -> Option<Duration> {
        cx.open_until().and_then(|_| earliest(self.0.values().map(|schedule| schedule.due)))
    }

    /// Sets the tokens that the vault has, after the gate was opened.
    pub(super) fn vault_opened(&mut self, tokens: Vec<HeldToken>) {
        for schedule in self.0.values_mut() {
            (schedule.held, schedule.ends_with, schedule.awaits_lease) = (None, None, false);
        }
        for token in tokens {
            if let Some(schedule) = self.0.get_mut(&token.name) {
                schedule.held = Some(token);
            }
        }
    }

    /// Drops the tokens outside this entitlement. Returns their names.
    pub(super) fn restrict(&mut self, entitlement: &Entitlement) -> Vec<String> {
        let mut dropped = Vec::new();
        for (name, schedule) in &mut self.0 {
            let outside = schedule.held.as_ref().is_some_and(|held| is_outside(held, entitlement));
            if outside {
                schedule.held = None;
                dropped.push(name.clone());
            }
        }
        dropped
    }

    /// Schedules the tokens that are granted, and cancels the others. Does nothing while the gate is closed.
    pub(super) fn plan(&mut self, cx: &Context, entitlement: &Entitlement, device: DeviceId) {
        if !cx.is_open() {
            return;
        }
        for schedule in self.0.values_mut() {
            let settings = &schedule.settings;
            let scopes = settings.scopes.iter().map(String::as_str);
            match entitlement.lacking(scopes, &settings.audience) {
                Some(lacking) => schedule.deny(denial(device, &lacking)),
                None => schedule.plan(cx),
            }
        }
    }

    /// Computes again how long each token is valid, because the wall clock was set.
    pub(super) fn clock_jumped(&mut self, cx: &Context) {
        for schedule in self.0.values_mut().filter(|schedule| !schedule.is_denied) {
            let is_idle = schedule.request.is_none() && schedule.error.is_none();
            if is_idle && !schedule.awaits_lease {
                schedule.due = None;
                schedule.plan(cx);
            } else if schedule.awaits_lease && schedule.live(cx).is_none() {
                (schedule.awaits_lease, schedule.due) = (false, Some(cx.now.boot));
            }
        }
    }

    /// Makes the tokens due that the old lease limited: under the newer lease they can last longer.
    pub(super) fn lease_renewed(&mut self, cx: &Context) {
        for schedule in self.0.values_mut().filter(|schedule| schedule.awaits_lease) {
            if !schedule.is_cut_short(cx) {
                (schedule.awaits_lease, schedule.due) = (false, Some(cx.now.boot));
            }
        }
    }

    /// Requests the tokens that are due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if !cx.is_open() {
            return;
        }
        for (name, schedule) in &mut self.0 {
            if !cx.is_due(schedule.due) {
                continue;
            }
            schedule.due = None;
            if schedule.live(cx).is_some() && schedule.is_cut_short(cx) {
                schedule.awaits_lease = true;
                continue;
            }
            let ticket = cx.ticket();
            schedule.request = Some(ticket);
            cx.push(Effect::Call(ticket, Call::Token(name.clone())));
        }
    }

    /// Handles the outcome of a token request. Returns false if the ticket is not of one.
    pub(super) fn answered(
        &mut self,
        cx: &mut Context,
        ticket: Ticket,
        entitlement: &Entitlement,
        pairing: (DeviceId, Epoch),
        outcome: Result<Token, String>,
    ) -> bool {
        let asked = |schedule: &&mut Schedule| schedule.request == Some(ticket);
        let Some(schedule) = self.0.values_mut().find(asked) else { return false };
        schedule.request = None;
        let kept = outcome.and_then(|token| schedule.keep(cx, entitlement, pairing, token));
        match kept {
            Ok(renewal) => {
                schedule.backoff.reset();
                schedule.error = None;
                schedule.due = Some(cx.after(renewal));
            }
            Err(error) => {
                tracing::warn!(token = schedule.settings.name, error, "cannot get a token");
                schedule.due = Some(cx.retry(&mut schedule.backoff));
                schedule.error = Some(error);
            }
        }
        // The operator may have withdrawn the grant during the request.
        self.plan(cx, entitlement, pairing.0);
        true
    }

    /// Returns the tokens of the configuration, for the status.
    pub(super) fn status(&self, cx: &Context) -> Vec<TokenStatus> {
        let status = |schedule: &Schedule| TokenStatus {
            name: schedule.settings.name.clone(),
            scopes: schedule.settings.scopes.clone(),
            audience: schedule.settings.named_audience.clone(),
            expires_at: schedule.live(cx).filter(|_| cx.is_open()).map(|held| held.expires_at),
            error: schedule.error.clone(),
        };
        cx.settings.tokens.iter().filter_map(|settings| self.0.get(&settings.name)).map(status).collect()
    }
}

impl Schedule {
    /// Schedules a granted token that is not scheduled, or that has expired early because the clock was set back.
    fn plan(&mut self, cx: &Context) {
        if std::mem::take(&mut self.is_denied) {
            self.error = None;
            self.backoff.reset();
        }
        let renew_at = self.live(cx).map(HeldToken::renew_at);
        // After a failed request, the retry is scheduled already.
        let is_missing = renew_at.is_none() && self.error.is_none();
        let is_planned = self.due.is_some() || self.awaits_lease;
        if self.request.is_none() && (!is_planned || is_missing) {
            let left = renew_at.unwrap_or(0).saturating_sub(cx.now.unix);
            self.due = Some(cx.after(Duration::from_secs(left)));
            self.awaits_lease = false;
        }
    }

    /// Stops requesting a token that the operator has not granted.
    fn deny(&mut self, why: String) {
        (self.due, self.awaits_lease, self.is_denied, self.error) = (None, false, true, Some(why));
    }

    /// Puts a token into the vault, and writes the vault to the disk. Returns the time until its renewal.
    fn keep(
        &mut self,
        cx: &mut Context,
        entitlement: &Entitlement,
        (device, epoch): (DeviceId, Epoch),
        token: Token,
    ) -> Result<Duration, String> {
        let Some(until) = cx.open_until() else { return Err("the device is not entitled".to_owned()) };
        let name = self.settings.name.clone();
        let held = HeldToken {
            name: name.clone(),
            scope: token.scope.clone(),
            audience: self.settings.audience.clone(),
            kept_at: cx.now.unix,
            expires_at: token.expires_at,
        };
        if let Some(lacking) = entitlement.lacking(held.scope.split_ascii_whitespace(), &held.audience) {
            return Err(denial(device, &lacking));
        }
        let lifetime = Duration::from_secs(token.expires_at.saturating_sub(cx.now.unix));
        let ends = cx.after(lifetime);
        self.ends_with = (ends.saturating_add(SLACK) >= until).then_some(until);
        let renewal = Duration::from_secs(held.renew_at().saturating_sub(cx.now.unix));
        self.held = Some(held);
        tracing::info!(token = name, lifetime_s = lifetime.as_secs(), "stored a token in the vault");
        let fact = DeviceFact::Token { name: Text::lossy(&name), expires: token.expires_at };
        cx.record(Some(epoch), None, fact);
        cx.push(Effect::PutToken { name, token, audience: self.settings.audience.clone() });
        cx.write(Write::Vault);
        Ok(renewal)
    }

    fn live(&self, cx: &Context) -> Option<&HeldToken> {
        self.held.as_ref().filter(|held| held.is_live(cx.now.unix))
    }

    /// Returns whether the newest lease would limit a new token as it limits the present one.
    fn is_cut_short(&self, cx: &Context) -> bool {
        let newest = cx.open_until().unwrap_or_default();
        self.ends_with.is_some_and(|ends_with| newest <= ends_with.saturating_add(SLACK))
    }
}

fn is_outside(held: &HeldToken, entitlement: &Entitlement) -> bool {
    entitlement.lacking(held.scope.split_ascii_whitespace(), &held.audience).is_some()
}

/// Returns why the operator's grant does not cover a token, and how the operator can grant it.
fn denial(device: DeviceId, lacking: &Lacking) -> String {
    let Problem { reason, remedy, .. } = problem::not_granted(device, lacking);
    format!("{reason}; {remedy}")
}
