//! Tokens: asked for while the device is entitled, well before they expire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_config::TokenConfig;
use pawl_proto::Text;
use pawl_proto::local::{Token, TokenStatus};
use pawl_proto::record::DeviceFact;
use tokio::time::Instant;

use super::paired::{Done, Paired};
use crate::backoff::Backoff;
use crate::control_plane::TokenError;
use crate::shared::Shared;

/// When each token of the configuration is to be asked for.
pub(super) struct Tokens {
    schedules: BTreeMap<String, Schedule>,
}

struct Schedule {
    due: Option<Instant>,
    busy: bool,
    error: Option<String>,
    backoff: Backoff,
}

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(120);

impl Tokens {
    pub(super) fn new(configured: &[TokenConfig]) -> Self {
        let schedule = || Schedule {
            due: None,
            busy: false,
            error: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        };
        let name = |token: &TokenConfig| (token.name.as_str().to_owned(), schedule());
        Self { schedules: configured.iter().map(name).collect() }
    }

    /// When the next token is to be asked for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.schedules.values().filter_map(|schedule| schedule.due).min()
    }

    /// Plans what is not planned yet, and what has ended before its time because the clock was set back. `expires` tells
    /// when the token that is held expires.
    fn plan(&mut self, now: u64, expires: impl Fn(&str) -> Option<u64>) {
        for (name, schedule) in &mut self.schedules {
            let expires = expires(name);
            let is_gone = expires.is_none() && schedule.error.is_none();
            if !schedule.busy && (schedule.due.is_none() || is_gone) {
                let left = expires.unwrap_or(0).saturating_sub(now);
                schedule.due = Some(Instant::now() + early(Duration::from_secs(left)));
            }
        }
    }

    /// The names that are due; each is busy until it is settled.
    fn take_due(&mut self) -> Vec<String> {
        let now = Instant::now();
        let due =
            self.schedules.iter_mut().filter(|(_, schedule)| schedule.due.is_some_and(|due| due <= now));
        due.map(|(name, schedule)| {
            (schedule.due, schedule.busy) = (None, true);
            name.clone()
        })
        .collect()
    }

    fn settle(&mut self, name: &str, outcome: Result<Duration, String>) {
        let Some(schedule) = self.schedules.get_mut(name) else { return };
        schedule.busy = false;
        match outcome {
            Ok(lifetime) => {
                schedule.backoff.reset();
                schedule.due = Some(Instant::now() + early(lifetime));
                schedule.error = None;
            }
            Err(error) => {
                schedule.due = Some(Instant::now() + schedule.backoff.delay());
                schedule.error = Some(error);
            }
        }
    }

    /// Why there is no token of this name.
    pub(super) fn error(&self, name: &str) -> Option<&str> {
        self.schedules.get(name)?.error.as_deref()
    }
}

/// At two thirds of its life, so that a workload never finds one that is about to expire.
fn early(lifetime: Duration) -> Duration {
    lifetime * 2 / 3
}

impl Paired {
    /// The device has become entitled, or still is.
    pub(super) fn plan_tokens(&mut self, shared: &Shared) {
        let now = shared.clock.unix();
        let expires = |name: &str| shared.gate.token(name, now).ok()?.map(|token| token.expires_at);
        self.tokens.plan(now, expires);
    }

    /// Asks for the tokens that are due.
    pub(super) fn ask_for_tokens(&mut self, shared: &Arc<Shared>) {
        let due = self.tokens.take_due();
        let Ok(signer) = shared.gate.signer() else {
            due.iter()
                .for_each(|name| self.tokens.settle(name, Err("the device is not entitled".to_owned())));
            return;
        };
        let device = self.record().device;
        for token in
            shared.config.tokens.iter().filter(|token| due.iter().any(|name| name == token.name.as_str()))
        {
            let (shared, signer, token) = (Arc::clone(shared), signer.clone(), token.clone());
            self.spawn(async move {
                let now = shared.clock.unix();
                let outcome = shared.control_plane.token(&shared.tpm, &signer, device, &token, now).await;
                Done::Token(token.name.as_str().to_owned(), outcome)
            });
        }
    }

    /// A token has come, or not.
    pub(super) fn token_settled(
        &mut self,
        shared: &Arc<Shared>,
        name: &str,
        outcome: Result<Token, TokenError>,
    ) {
        let outcome =
            outcome.map_err(|error| error.to_string()).and_then(|token| self.keep(shared, name, token));
        if let Err(error) = &outcome {
            tracing::warn!(token = name, error, "there is no token");
        }
        self.tokens.settle(name, outcome);
    }

    /// Puts a token into the vault, and the vault on the disk; how long the token lives.
    fn keep(&mut self, shared: &Arc<Shared>, name: &str, token: Token) -> Result<Duration, String> {
        let now = shared.clock.unix();
        let lifetime = Duration::from_secs(token.expires_at.saturating_sub(now));
        let binding = self.binding();
        let fact = DeviceFact::Token { name: Text::lossy(name), expires: token.expires_at };
        let sealed = shared.gate.with_vault(|vault| {
            vault.put(name, token, now);
            vault.seal(binding)
        });
        let sealed = sealed.map_err(|problem| problem.reason)?;
        shared.audit.record(Some(binding.epoch), fact);
        tracing::info!(token = name, lifetime_s = lifetime.as_secs(), "a token is in the vault");
        let shared = Arc::clone(shared);
        self.write(None, move || sealed.map_or(Ok(()), |sealed| shared.store.put_vault(&sealed)));
        Ok(lifetime)
    }

    /// The tokens of the configuration, for the status.
    pub(super) fn token_status(&self, shared: &Shared) -> Vec<TokenStatus> {
        let now = shared.clock.unix();
        let status = |token: &TokenConfig| TokenStatus {
            name: token.name.as_str().to_owned(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            expires_at: shared
                .gate
                .token(token.name.as_str(), now)
                .ok()
                .flatten()
                .map(|held| held.expires_at),
            error: self.tokens.error(token.name.as_str()).map(str::to_owned),
        };
        shared.config.tokens.iter().map(status).collect()
    }
}
