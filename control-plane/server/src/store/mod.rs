//! The database, and all SQL.
//!
//! One thread owns the SQLite connection and runs transactions one after the other. Each decision of the control plane
//! is one transaction: its reads, its decision and its records are committed together or not at all, even when the
//! process is killed (WAL, `synchronous = FULL`). Messages leave only after the commit.

mod device;
mod event;
mod evidence;
mod fleet;
mod incident;
mod lookup;
pub mod owner;
mod pairing;
mod pending;
mod record;
mod retirement;
mod schema;
mod session;
mod verdict;

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use pawl_proto::limits;
use pawl_verifier::session::DamagedStatement;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

pub use device::{Device, LastSeen};
pub use event::{EventRow, ReceiptRow};
pub use fleet::{ListedDevice, ListedPairing};
pub use lookup::NamedDevice;
pub use pairing::{DeadLink, NewReport, Reported};
pub use pending::{PendingDevice, PendingRequest};
pub use record::ChainError;
pub use session::ListedSession;
pub use verdict::VerdictRow;

/// Length of the transaction queue; [`Store::transaction`] waits while it is full.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the database. When the last handle is dropped, the thread finishes the queue and ends.
#[derive(Clone)]
pub struct Store(Engine);

#[derive(Clone)]
enum Engine {
    Thread(mpsc::Sender<Job>),
    Inline(Arc<Mutex<Inline>>),
}

/// A database whose transactions run on the caller's thread.
struct Inline {
    connection: Connection,
    is_failing: Box<dyn FnMut(Outage) -> bool + Send>,
}

/// The point at which a simulation makes a transaction fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Before the transaction has begun.
    Before,
    /// After the commit: its changes stay, but its caller gets an error.
    Committed,
}

/// One transaction. Its methods are the queries and updates of all tables.
pub struct Tx<'a> {
    sql: Transaction<'a>,
}

impl Store {
    /// Opens the database at `path`, and creates it if it is missing.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or is of a later version of this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = connect(path, true)?;
        schema::prepare(&mut connection)?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
            })
            .map_err(StoreError::Thread)?;
        Ok(Self(Engine::Thread(jobs)))
    }

    /// Opens an empty database in memory whose transactions run on the caller's thread: for simulations. A transaction
    /// fails with [`StoreError::Closed`] if `is_failing` returns true.
    ///
    /// # Errors
    /// [`StoreError`] when there is no memory for it.
    pub fn in_memory(is_failing: impl FnMut(Outage) -> bool + Send + 'static) -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        schema::prepare(&mut connection)?;
        let inline = Inline { connection, is_failing: Box::new(is_failing) };
        Ok(Self(Engine::Inline(Arc::new(Mutex::new(inline)))))
    }

    /// Runs `work` as one transaction, which commits if and only if `work` succeeds.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError`] when the database fails.
    pub async fn transaction<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let jobs = match &self.0 {
            Engine::Thread(jobs) => jobs,
            Engine::Inline(inline) => {
                return inline.lock().unwrap_or_else(PoisonError::into_inner).transaction(work);
            }
        };
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Fails when the caller was dropped while it waited.
            let _ = answer.send(run(connection, work));
        });
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

impl Inline {
    fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if (self.is_failing)(Outage::Before) {
            return Err(StoreError::Closed.into());
        }
        let done = run(&mut self.connection, work)?;
        if (self.is_failing)(Outage::Committed) { Err(StoreError::Closed.into()) } else { Ok(done) }
    }
}

#[cfg(test)]
impl Tx<'_> {
    /// Runs a statement of a test that damages the database. Returns how many rows it changed.
    pub(crate) fn execute(&self, statement: &str) -> Result<usize, StoreError> {
        Ok(self.sql.execute(statement, [])?)
    }
}

/// Opens a connection to the file at `path`.
fn connect(path: &Path, create: bool) -> Result<Connection, StoreError> {
    let mut flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    Ok(Connection::open_with_flags(path, flags)?)
}

fn run<T, E: From<StoreError>>(
    connection: &mut Connection,
    work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let sql = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| E::from(error.into()))?;
    let tx = Tx { sql };
    let result = work(&tx)?;
    tx.sql.commit().map_err(|error| E::from(error.into()))?;
    Ok(result)
}

/// Why the database could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's error: the disk is full, the file is damaged or not writable, …
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A later version of this program wrote it.
    #[error("the database has version {0}, which a later pawl-control-plane wrote: install that version")]
    Version(i64),
    /// A column contains a value that this program never writes.
    #[error("the database contains a malformed {0}")]
    Malformed(&'static str),
    /// The file cannot be examined.
    #[error("the database: {0}")]
    File(std::io::Error),
    /// The database's thread has ended.
    #[error("the database is closed")]
    Closed,
    /// The database's thread cannot be started.
    #[error("cannot start the database's thread: {0}")]
    Thread(std::io::Error),
}

impl From<DamagedStatement> for StoreError {
    fn from(_: DamagedStatement) -> Self {
        Self::Malformed("statement")
    }
}

impl Tx<'_> {
    /// Marks a value as used until `expires`. Returns false when it was used before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn use_once(&self, value: &[u8], expires: u64, now: u64) -> Result<bool, StoreError> {
        self.sql.execute("DELETE FROM once WHERE expires < ?1", [now])?;
        let added = self.sql.execute(
            "INSERT INTO once (value, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![value, expires],
        )?;
        Ok(added == 1)
    }

    /// Returns whether a value was marked as used and has not expired.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn is_used(&self, value: &[u8]) -> Result<bool, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT 1 FROM once WHERE value = ?1")?;
        Ok(statement.exists([value])?)
    }
}

/// The longest blob in a column: a boot log and an IMA state.
const MAX_BLOB: usize = limits::MESSAGE * 2;

/// Encodes a structure as deterministic CBOR.
fn to_blob<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, StoreError> {
    pawl_proto::encode(value).map_err(|_| StoreError::Malformed(what))
}

fn from_blob<T: serde::Serialize + DeserializeOwned>(
    blob: &[u8],
    what: &'static str,
) -> Result<T, StoreError> {
    pawl_proto::decode(blob, MAX_BLOB).map_err(|_| StoreError::Malformed(what))
}

fn from_text<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Malformed(what))
}

fn from_bytes<'a, T: TryFrom<&'a [u8]>>(bytes: &'a [u8], what: &'static str) -> Result<T, StoreError> {
    T::try_from(bytes).map_err(|_| StoreError::Malformed(what))
}

/// Returns the name that serde gives a unit variant; enums are stored as text.
fn to_name<T: Serialize>(value: T, what: &'static str) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(StoreError::Malformed(what)),
    }
}

/// Fails for the catch-all variant of a wire enum, which is for values of newer peers.
fn require_known<T>(value: T, is_known: bool, what: &'static str) -> Result<T, StoreError> {
    if is_known { Ok(value) } else { Err(StoreError::Malformed(what)) }
}

fn from_name<T: serde::Serialize + DeserializeOwned>(
    name: String,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|_| StoreError::Malformed(what))
}

#[cfg(test)]
mod tests;
