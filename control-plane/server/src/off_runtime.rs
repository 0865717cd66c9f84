//! Work that takes a processor for as long as a device's log is.

use tokio::runtime::Handle;

use crate::store::StoreError;

/// Runs `work` on a thread of its own, outside the async runtime and outside any transaction. Without a runtime, as in a
/// simulation, it runs on the caller's thread.
///
/// # Errors
/// [`StoreError::Closed`] when the runtime ends meanwhile.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if Handle::try_current().is_err() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}
