//! The database, and all SQL.
//!
//! One thread owns the SQLite connection and runs transactions one after the other. A decision of
//! the control plane is one transaction: what it read, what it decided and what it recorded stand
//! or fall together, also under kill -9 (WAL, `synchronous = FULL`). Messages leave only after
//! the commit.

mod approval;
mod boot_state;
mod checkpoint;
mod device;
mod device_record;
mod entitlement;
mod event;
mod high_water;
mod incident;
mod link;
mod once;
mod pairing;
mod receipt;
mod record;
mod sample;
mod schema;
mod session;
mod value;
mod verdict;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pawl_verifier::session::DamagedStatement;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

pub use device::{Device, LastSeen};
pub use event::EventRow;
pub use link::DeadLink;
pub use pairing::{NewReport, Reported};
pub use receipt::ReceiptRow;
pub use record::ChainError;
pub use verdict::VerdictRow;

/// So many transactions may wait; whoever comes later waits to be let in.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the database. When the last one is dropped, waiting transactions are finished and
/// the thread ends.
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

/// When a database of a simulation may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Before the transaction has begun.
    Before,
    /// After it was committed: what it did stands, and its caller does not learn of it.
    Committed,
}

/// One transaction: what the database can be asked and told.
pub struct Tx<'a> {
    sql: Transaction<'a>,
}

impl Store {
    /// Opens the database at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened or is of a later version of this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(path, flags)?;
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

    /// Opens an empty database in memory whose transactions run on the caller's thread: for simulations. It fails with
    /// [`StoreError::Closed`] where `is_failing` says so.
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
            // Nobody waits for the answer any more when the request was dropped.
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

/// A database that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own error: the disk is full, the file is damaged or not writable …
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A later version of this program wrote it.
    #[error("the database has version {0}, which a later pawl-control-plane wrote: install that one")]
    Version(i64),
    /// A row that this program did not write so.
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
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

#[cfg(test)]
mod tests;
