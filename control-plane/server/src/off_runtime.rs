//! Runs long computations, such as parsing a device's logs, off the async runtime.

use tokio::runtime::Handle;

use crate::store::StoreError;

/// Runs `work` on a blocking thread, outside any transaction. Without a runtime, as in a simulation, it runs on the
/// caller's thread.
///
/// # Errors
/// [`StoreError::Closed`] when the runtime ends before the work does.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if Handle::try_current().is_err() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}
