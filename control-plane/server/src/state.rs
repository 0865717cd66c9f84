//! The state directory: keys and database, which belong together.
//!
//! A database that disappeared must not come back empty by itself: the control plane would forget who was suspended, and
//! count each device's next pairing as its first.

use std::path::PathBuf;

use pawl_proto::Digest;

use crate::config::Config;
use crate::keys::{Keys, KeysError};
use crate::store::StoreError;
use crate::store::owner::{self, Found};

/// What to do where the keys exist and the database is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostDatabase {
    /// Fail.
    Refused,
    /// Create an empty database.
    Accepted,
}

/// Returns the path of the database.
#[must_use]
pub fn database(config: &Config) -> PathBuf {
    config.state_dir.join("control-plane.sqlite")
}

/// Loads the keys and prepares the database. Creates both where neither exists.
///
/// The database is created before the keys and marked as theirs after them: an interruption in between leaves a database
/// without devices, which the next call marks.
///
/// # Errors
/// [`StateError`] when keys or database are unusable, and when one of them was lost.
pub fn prepare(config: &Config, lost: LostDatabase) -> Result<Keys, StateError> {
    let (path, have_keys) = (database(config), Keys::exist(config)?);
    let found = owner::find(&path)?;
    let is_lost = have_keys && found == Found::Nothing;
    if is_lost && lost == LostDatabase::Refused {
        return Err(StateError::DatabaseLost(path));
    }
    if !have_keys && matches!(found, Found::Owned(_) | Found::Unowned { has_devices: true }) {
        return Err(StateError::KeysLost { database: path, state_dir: config.state_dir.clone() });
    }
    if lost == LostDatabase::Accepted && found != Found::Nothing {
        tracing::warn!("the database exists: remove the option --accept-empty-database");
    }
    if found == Found::Nothing {
        owner::create(&path)?;
    }
    let keys = Keys::load_or_create(config)?;
    let authority = keys.authority.key_digest();
    match found {
        Found::Owned(other) if other != authority => {
            return Err(StateError::OtherKeys { database: path, authority, other });
        }
        Found::Owned(_) => {}
        Found::Nothing | Found::Unowned { .. } => owner::set(&path, authority)?,
    }
    if is_lost {
        tracing::warn!(database = %path.display(), "created an empty database in place of the lost one");
    }
    Ok(keys)
}

/// Why keys and database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Keys or certificates are unusable.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys exist and the database does not.
    #[error(
        "{}: the database is missing or empty, and the keys beside it exist: all devices, pairings, suspensions and \
         records are lost. Restore keys and database from one backup. Without a backup, accept an empty database \
         once: pawl-control-plane init --accept-empty-database; then enrol each device again", .0.display()
    )]
    DatabaseLost(PathBuf),
    /// The database exists and the keys do not.
    #[error(
        "{}: ca.key is missing, and the database {} exists: restore both from one backup. If the keys are lost \
         permanently, move this directory away: new keys and an empty database are made, and each device \
         needs the new ca.pem and a new pairing", state_dir.display(), database.display()
    )]
    KeysLost {
        /// The database.
        database: PathBuf,
        /// The directory in which the keys are missing.
        state_dir: PathBuf,
    },
    /// Keys and database are those of two control planes.
    #[error(
        "{}: the database belongs to the authority with the key {other}, and ca.key is the key {authority}: restore both \
         from one backup", database.display()
    )]
    OtherKeys {
        /// The database.
        database: PathBuf,
        /// SHA-256 of the authority's key.
        authority: Digest,
        /// SHA-256 of the key of the database's authority.
        other: Digest,
    },
}

impl StateError {
    /// Returns whether a part was lost or comes from elsewhere: only a person can say how to go on.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::DatabaseLost(_) | Self::KeysLost { .. } | Self::OtherKeys { .. })
    }

    /// Returns the error's code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Keys(_) | Self::Store(_) => "failed",
            Self::DatabaseLost(_) => "database-lost",
            Self::KeysLost { .. } => "keys-lost",
            Self::OtherKeys { .. } => "other-keys",
        }
    }
}

#[cfg(test)]
mod tests;
