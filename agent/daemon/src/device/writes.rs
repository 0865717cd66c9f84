//! What a live pairing writes to the disk, on other threads. A message is acknowledged once the disk has
//! what it said: until then the broker keeps it.

use tokio::task::JoinSet;

use super::paired::Paired;
use crate::link::Acknowledgement;
use crate::store::StoreError;

/// The writes under way.
#[derive(Default)]
pub(super) struct Writes(JoinSet<Written>);

/// What became of a write.
pub(super) struct Written {
    outcome: Result<(), StoreError>,
    acknowledgement: Option<Acknowledgement>,
}

impl Writes {
    /// The next one that is done; never, where none is under way. Dropped before it is ready, it has
    /// lost nothing.
    pub(super) async fn next(&mut self) -> Written {
        while let Some(ended) = self.0.join_next().await {
            // One that panicked has been reported already.
            if let Ok(written) = ended {
                return written;
            }
        }
        std::future::pending().await
    }
}

impl Paired {
    /// Has something written, and after that acknowledges the message that it came with.
    pub(super) fn write(
        &mut self,
        acknowledgement: Option<Acknowledgement>,
        write: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) {
        self.writes.0.spawn_blocking(move || Written { outcome: write(), acknowledgement });
    }

    /// A write is done. One that failed is no reason to have the message sent again and again.
    pub(super) fn written(&self, written: Written) {
        let Written { outcome, acknowledgement } = written;
        if let Err(error) = outcome {
            tracing::error!(%error, "the state was not kept");
        }
        self.connection.acknowledge(acknowledgement);
    }

    /// Waits until all is written: what the control plane was told to be known must outlive a stop.
    pub(super) async fn finish_writes(&mut self) {
        while let Some(ended) = self.writes.0.join_next().await {
            if let Ok(written) = ended {
                self.written(written);
            }
        }
    }
}
