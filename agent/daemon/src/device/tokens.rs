//! Tokens: asked for while the device is entitled, well before they expire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_config::TokenConfig;
use pawl_proto::local::{Problem, Token, TokenStatus};
use pawl_proto::message::{Entitlement, Lacking, Standing, Verdict};
use pawl_proto::record::DeviceFact;
use pawl_proto::{DeviceId, Text};
use tokio::time::Instant;

use super::paired::{Done, Paired};
use crate::backoff::Backoff;
use crate::control_plane::TokenError;
use crate::problem;
use crate::shared::Shared;

/// When each token of the configuration is to be asked for.
pub(super) struct Tokens {
    schedules: BTreeMap<String, Schedule>,
}

struct Schedule {
    due: Option<Instant>,
    busy: bool,
    /// The operator has not granted what the token needs: it is not asked for.
    denied: bool,
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
            denied: false,
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

    /// Plans a token that is granted and not planned yet, or that has ended before its time because the clock was set
    /// back. `expires` is when the token that is held expires.
    fn plan(&mut self, name: &str, now: u64, expires: Option<u64>) {
        let Some(schedule) = self.schedules.get_mut(name) else { return };
        if std::mem::take(&mut schedule.denied) {
            schedule.error = None;
            schedule.backoff.reset();
        }
        // One that was dropped is asked for at once; one that was refused waits for its next try.
        let is_missing = expires.is_none() && schedule.error.is_none();
        if !schedule.busy && (schedule.due.is_none() || is_missing) {
            let left = expires.unwrap_or(0).saturating_sub(now);
            schedule.due = Some(Instant::now() + early(Duration::from_secs(left)));
        }
    }

    /// Stops asking for a token that the operator has not granted.
    fn deny(&mut self, name: &str, why: String) {
        let Some(schedule) = self.schedules.get_mut(name) else { return };
        (schedule.due, schedule.denied, schedule.error) = (None, true, Some(why));
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

/// Returns what a token of the configuration needs and the operator has not granted.
pub(crate) fn lacking(entitlement: &Entitlement, shared: &Shared, token: &TokenConfig) -> Option<Lacking> {
    entitlement.lacking(token.scopes.iter().map(AsRef::as_ref), &audience(shared, token))
}

/// Why there is no token, and what the operator does about it.
fn denial(device: DeviceId, lacking: &Lacking) -> String {
    let Problem { reason, remedy, .. } = problem::not_granted(device, lacking);
    format!("{reason}; {remedy}")
}

/// Returns for whom a token of the configuration is: the control plane itself, where it names nobody.
fn audience(shared: &Shared, token: &TokenConfig) -> String {
    match &token.audience {
        Some(audience) => audience.as_str().to_owned(),
        None => shared.config.control_plane.url.to_string(),
    }
}

impl Paired {
    /// Takes up the entitlement of a new verdict: tokens outside it are gone, in memory, before this returns.
    pub(super) fn take_entitlement(&mut self, shared: &Arc<Shared>, verdict: &Verdict) {
        let dropped = shared.gate.restrict(&verdict.entitlement);
        if self.entitlement() != Some(&verdict.entitlement) {
            let Entitlement { scopes, audiences, .. } = &verdict.entitlement;
            tracing::info!(?scopes, ?audiences, ?dropped, "the operator grants");
        }
        self.set_entitlement(Some(verdict.entitlement.clone()));
        if !dropped.is_empty() {
            let binding = self.binding();
            let sealed = shared.gate.with_vault(|vault| vault.seal(binding)).ok().flatten();
            self.write_vault(shared, sealed);
        }
    }

    /// Returns what the operator grants; nothing before the first verdict.
    pub(super) fn granted(&self) -> Entitlement {
        self.entitlement().cloned().unwrap_or(Entitlement {
            standing: Standing::Suspended,
            scopes: Vec::new(),
            audiences: Vec::new(),
        })
    }

    /// Plans the tokens that are granted, and gives up the others. A closed gate plans nothing.
    pub(super) fn plan_tokens(&mut self, shared: &Shared) {
        let (now, device) = (shared.clock.unix(), self.record().device);
        for token in &shared.config.tokens {
            let name = token.name.as_str();
            let Ok((lacking, expires)) = shared.gate.with_vault(|vault| {
                (
                    lacking(vault.entitlement(), shared, token),
                    vault.token(name, now).map(|token| token.expires_at),
                )
            }) else {
                return;
            };
            match lacking {
                Some(lacking) => self.tokens.deny(name, denial(device, &lacking)),
                None => self.tokens.plan(name, now, expires),
            }
        }
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
        // The operator may have taken it back while it was asked for.
        self.plan_tokens(shared);
    }

    /// Puts a token into the vault, and the vault on the disk; how long the token lives.
    fn keep(&mut self, shared: &Arc<Shared>, name: &str, token: Token) -> Result<Duration, String> {
        let now = shared.clock.unix();
        let lifetime = Duration::from_secs(token.expires_at.saturating_sub(now));
        let binding = self.binding();
        let fact = DeviceFact::Token { name: Text::lossy(name), expires: token.expires_at };
        let configured = shared.config.tokens.iter().find(|token| token.name.as_str() == name);
        let audience = configured.map(|token| audience(shared, token)).unwrap_or_default();
        let put = shared.gate.with_vault(|vault| {
            vault.put(name, token, &audience, now)?;
            Ok(vault.seal(binding))
        });
        let sealed = put
            .map_err(|problem| problem.reason)?
            .map_err(|lacking: Lacking| denial(self.record().device, &lacking))?;
        shared.audit.record(Some(binding.epoch), fact);
        tracing::info!(token = name, lifetime_s = lifetime.as_secs(), "a token is in the vault");
        self.write_vault(shared, sealed);
        Ok(lifetime)
    }

    /// Puts the sealed vault on the disk.
    fn write_vault(&mut self, shared: &Arc<Shared>, sealed: Option<Vec<u8>>) {
        let shared = Arc::clone(shared);
        self.write(None, move || sealed.map_or(Ok(()), |sealed| shared.store.put_vault(&sealed)));
    }

    /// The tokens of the configuration, for the status.
    pub(super) fn token_status(&self, shared: &Shared) -> Vec<TokenStatus> {
        let now = shared.clock.unix();
        let status = |token: &TokenConfig| TokenStatus {
            name: token.name.as_str().to_owned(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            audience: token.audience.as_ref().map(|audience| audience.as_str().to_owned()),
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
