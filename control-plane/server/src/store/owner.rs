//! The control plane that a database belongs to: the row that names its authority's key.

use std::path::Path;

use pawl_proto::Digest;
use rusqlite::{Connection, OptionalExtension as _};

use super::{StoreError, connect, from_bytes, schema};

/// What stands at the database's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No file, or one without tables.
    Nothing,
    /// A database that names no control plane: of an earlier version, or of a first start that was interrupted.
    Unowned {
        /// Whether a device is enrolled in it.
        has_devices: bool,
    },
    /// The database of the control plane whose authority has this key.
    Owned(Digest),
}

/// Returns what stands at `path`. Migrates a database that is there.
///
/// # Errors
/// [`StoreError`] when it cannot be opened or is of a later version of this program.
pub fn find(path: &Path) -> Result<Found, StoreError> {
    let is_empty = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(StoreError::File(error)),
        Ok(metadata) => metadata.len() == 0,
    };
    if is_empty {
        return Ok(Found::Nothing);
    }
    let mut connection = connect(path, false)?;
    if schema::version(&connection)? == 0 {
        return Ok(Found::Nothing);
    }
    schema::prepare(&mut connection)?;
    match owner(&connection)? {
        Some(authority) => Ok(Found::Owned(authority)),
        None => {
            let has_devices =
                connection.query_row("SELECT EXISTS (SELECT 1 FROM device)", [], |row| row.get(0))?;
            Ok(Found::Unowned { has_devices })
        }
    }
}

/// Creates the database at `path`, with its tables and without a row.
///
/// # Errors
/// [`StoreError`]
pub fn create(path: &Path) -> Result<(), StoreError> {
    schema::prepare(&mut connect(path, true)?)
}

/// Marks a database as that of the control plane whose authority has this key.
///
/// # Errors
/// [`StoreError`]
pub fn set(path: &Path, authority: Digest) -> Result<(), StoreError> {
    connect(path, false)?.execute("INSERT INTO control_plane (authority) VALUES (?1)", [authority.0])?;
    Ok(())
}

fn owner(connection: &Connection) -> Result<Option<Digest>, StoreError> {
    let authority: Option<Vec<u8>> =
        connection.query_row("SELECT authority FROM control_plane", [], |row| row.get(0)).optional()?;
    authority.map(|digest| from_bytes(&digest, "authority")).transpose()
}
