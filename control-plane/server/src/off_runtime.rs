//! Work that takes a processor for as long as a device's log is.

use crate::store::StoreError;

/// Runs `work` on a thread of its own, outside the async runtime and outside any transaction.
///
/// # Errors
/// [`StoreError::Closed`] when the runtime ends meanwhile.
pub(crate) async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}
