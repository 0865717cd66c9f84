//! The state that all parts of the control plane share.

use std::sync::Arc;

use crate::broker::Outbox;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Network;
use crate::keys::Keys;
use crate::policy::{Policies, PolicyError};
use crate::random::Random;
use crate::rate::RateLimit;
use crate::state::{self, LostDatabase, StateError};
use crate::store::{Store, StoreError};
use crate::vendor_cas::{VendorCasError, Vendors};

/// Rate of the messages of a device: burst, and per second. A log that is sent in pieces takes one message per piece.
const MESSAGES: (u32, u32) = (256, 4);
/// Rate of verdicts without an attestation result to a device: burst, and per second. Each costs a signature, and the
/// device can provoke them.
const CHALLENGES: (u32, u32) = (16, 1);
/// Rate of the protected actions of a device: burst, and per second.
const ACTIONS: (u32, u32) = (64, 2);
/// Rate of the pairing sessions of a device: burst, and per minute. Each adds records to the device's chain, even if
/// the control plane refuses its proof.
const SESSIONS: (u32, u32) = (32, 2);
/// Rate of questions about assurances, from all receivers together: burst, and per second.
const QUESTIONS: (u32, u32) = (512, 100);

/// A control plane: its configuration, keys, policies, database and limits.
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
    /// The TPM vendors' certificates.
    pub vendors: Vendors,
    /// The policies that devices are appraised by.
    pub policies: Policies,
    /// The signals between transactions and the broker's publisher.
    pub outbox: Outbox,
    /// Limit for the messages of each device.
    pub messages: RateLimit,
    /// Limit for verdicts without attestation result to each device.
    pub challenges: RateLimit,
    /// Limit for the actions of each device.
    pub actions: RateLimit,
    /// Limit for the pairing sessions of each device, opened or refused.
    pub sessions: RateLimit,
    /// Limit for questions about assurances.
    pub questions: RateLimit<()>,
    /// Limit for the requests for pairings of each network.
    pub pairings: RateLimit<Network>,
    /// Limit for all other HTTPS requests of each network.
    pub requests: RateLimit<Network>,
    /// Changes that tests commit between appraisals and their commits.
    #[cfg(test)]
    pub(crate) appraisals: crate::testing::Appraisals,
}

impl ControlPlane {
    /// Opens the keys, the database and the policies; creates keys and database at the first start.
    ///
    /// # Errors
    /// [`OpenError`] names what cannot be read or created, or was lost.
    pub fn open(config: Config, clock: Arc<dyn Clock>, lost: LostDatabase) -> Result<Self, OpenError> {
        let keys = Arc::new(state::prepare(&config, lost)?);
        let store = Store::open(&state::database(&config))?;
        Self::with(config, keys, store, clock, Random::system())
    }

    /// Assembles a control plane from its parts.
    ///
    /// # Errors
    /// [`OpenError`] when the policies or the vendors' certificates cannot be read.
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

/// Why a control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Keys or database are unusable, or one of them was lost.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policies are unusable.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The vendors' certificates are unusable.
    #[error(transparent)]
    VendorCas(#[from] VendorCasError),
}
