//! What every part of the control plane shares.

use std::sync::Arc;

use crate::broker::Outbox;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Network;
use crate::keys::{Keys, KeysError};
use crate::policy::{Policies, PolicyError};
use crate::random::Random;
use crate::rate::RateLimit;
use crate::store::{Store, StoreError};
use crate::vendor_cas::{VendorCasError, Vendors};

/// So many messages may a device send at once, and so many a second after that. A log in pieces
/// comes as one message a piece.
const MESSAGES: (u32, u32) = (256, 4);
/// The same for answers that judge nothing, which cost a signature and can be provoked.
const CHALLENGES: (u32, u32) = (16, 1);
/// The same for protected actions.
const ACTIONS: (u32, u32) = (64, 2);
/// So many pairing sessions may a device open at once, and so many a minute after that. Each adds records to the
/// device's chain, also where its proof is refused.
const SESSIONS: (u32, u32) = (32, 2);
/// The same as for messages, for questions about assurances, of everybody together.
const QUESTIONS: (u32, u32) = (512, 100);

/// A control plane: its policy, its keys and its memory.
pub struct ControlPlane {
    /// The configuration.
    pub config: Config,
    /// The keys.
    pub keys: Arc<Keys>,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Random,
    /// Whose TPMs are genuine.
    pub vendors: Vendors,
    /// By which rules devices are judged.
    pub policies: Policies,
    /// What waits for the broker.
    pub outbox: Outbox,
    /// Messages of each device.
    pub messages: RateLimit,
    /// Answers to each device that judge nothing.
    pub challenges: RateLimit,
    /// Actions of each device.
    pub actions: RateLimit,
    /// Pairing sessions that each device opens, or that are refused it.
    pub sessions: RateLimit,
    /// Questions about assurances.
    pub questions: RateLimit<()>,
    /// Requests for pairings, of each network address.
    pub pairings: RateLimit<Network>,
    /// All other requests over HTTPS, of each network address.
    pub requests: RateLimit<Network>,
    /// What happens between appraisals and their commits.
    #[cfg(test)]
    pub(crate) appraisals: crate::testing::Appraisals,
}

impl ControlPlane {
    /// Opens, and on the first start makes, all that a control plane needs.
    ///
    /// # Errors
    /// [`OpenError`] says what cannot be read or made.
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let keys = Arc::new(Keys::load_or_create(&config)?);
        let store = Store::open(&config.state_dir.join("control-plane.sqlite"))?;
        Self::with(config, keys, store, clock, Random::system())
    }

    /// Puts a control plane together from its parts.
    ///
    /// # Errors
    /// [`OpenError`] says what cannot be read: policies, or the vendors' certificates.
    pub fn with(
        config: Config,
        keys: Arc<Keys>,
        store: Store,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Result<Self, OpenError> {
        let vendors = Vendors::open(config.endorsement.vendor_cas.as_deref(), clock.now())?;
        let policies = Policies::open(config.policy.clone())?;
        let pairings = RateLimit::new(config.limits.pairings_burst, config.limits.pairings_per_second);
        let requests = RateLimit::new(config.limits.requests_burst, config.limits.requests_per_second);
        Ok(Self {
            config,
            keys,
            store,
            clock,
            random,
            vendors,
            policies,
            outbox: Outbox::default(),
            messages: RateLimit::new(MESSAGES.0, MESSAGES.1),
            challenges: RateLimit::new(CHALLENGES.0, CHALLENGES.1),
            actions: RateLimit::new(ACTIONS.0, ACTIONS.1),
            sessions: RateLimit::per_minute(SESSIONS.0, SESSIONS.1),
            questions: RateLimit::new(QUESTIONS.0, QUESTIONS.1),
            pairings,
            requests,
            #[cfg(test)]
            appraisals: Default::default(),
        })
    }
}

/// A control plane that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Keys or certificates.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policies.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The vendors' certificates.
    #[error(transparent)]
    VendorCas(#[from] VendorCasError),
}
