//! What every part of the control plane shares.

use std::path::Path;
use std::sync::Arc;

use pawl_evidence::endorsement::VendorCas;

use crate::broker::Outbox;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::{Keys, KeysError};
use crate::policy::{Policies, PolicyError};
use crate::rate::RateLimit;
use crate::store::{Store, StoreError};

/// So many messages may a device send at once, and so many a second after that. A log in pieces
/// comes as one message a piece.
const MESSAGES: (u32, u32) = (256, 4);
/// The same for answers that judge nothing, which cost a signature and can be provoked.
const CHALLENGES: (u32, u32) = (16, 1);
/// The same for protected actions.
const ACTIONS: (u32, u32) = (64, 2);
/// The same for questions about assurances, of everybody together.
const QUESTIONS: (u32, u32) = (512, 100);

/// A control plane: its policy, its keys and its memory.
pub struct ControlPlane {
    /// The configuration.
    pub config: Config,
    /// The keys.
    pub keys: Keys,
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whose TPMs are genuine.
    pub vendor_cas: VendorCas,
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
    /// Questions about assurances.
    pub questions: RateLimit<()>,
}

impl ControlPlane {
    /// Opens, and on the first start makes, all that a control plane needs.
    ///
    /// # Errors
    /// [`OpenError`] says what cannot be read or made.
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let policies = Policies::open(config.policy.clone())?;
        let keys = Keys::load_or_create(&config)?;
        let store = Store::open(&config.state_dir.join("control-plane.sqlite"))?;
        let vendor_cas = match &config.endorsement.vendor_cas {
            Some(dir) => vendor_cas(dir)?,
            None => VendorCas::from_files(std::iter::empty::<(String, Vec<u8>)>()),
        };
        for skipped in vendor_cas.skipped() {
            tracing::warn!(file = %skipped.file, reason = %skipped.reason, "a vendor's certificate is not used");
        }
        Ok(Self {
            config,
            keys,
            store,
            clock,
            vendor_cas,
            policies,
            outbox: Outbox::default(),
            messages: RateLimit::new(MESSAGES.0, MESSAGES.1),
            challenges: RateLimit::new(CHALLENGES.0, CHALLENGES.1),
            actions: RateLimit::new(ACTIONS.0, ACTIONS.1),
            questions: RateLimit::new(QUESTIONS.0, QUESTIONS.1),
        })
    }
}

fn vendor_cas(dir: &Path) -> Result<VendorCas, OpenError> {
    /// No bundle of a vendor comes near it.
    const MAX_FILE: u64 = 4 * 1024 * 1024;

    let read = || {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = std::fs::metadata(entry.path())?;
            if metadata.is_file() && metadata.len() <= MAX_FILE {
                files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
            }
        }
        files.sort();
        Ok(VendorCas::from_files(files))
    };
    read().map_err(|source| OpenError::VendorCas { dir: dir.display().to_string(), source })
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
    #[error("endorsement.vendor_cas: {dir}: {source}")]
    VendorCas {
        /// The directory.
        dir: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
}
