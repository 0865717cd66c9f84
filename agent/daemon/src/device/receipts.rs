//! Receipts over HTTPS, for when the broker is out of reach: until each is taken.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Epoch;
use tokio::task::JoinError;

use super::Device;
use crate::backoff::Backoff;
use crate::control_plane::CallError;
use crate::fail_point;
use crate::shared::Shared;
use crate::telemetry::event::SecurityEvent;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// How a delivery ended.
pub(super) type Outcome = (Epoch, Result<(), CallError>);

impl Device {
    /// Delivers the receipts on the disk, and one that the disk did not take. Restarts deliveries under way.
    pub(super) fn deliver_receipts(&mut self) {
        self.receipts.abort_all();
        let waiting = self.shared.store.receipts().unwrap_or_else(|error| {
            tracing::error!(%error, "the receipts that wait cannot be read");
            Vec::new()
        });
        for (epoch, receipt) in waiting.into_iter().chain(self.unkept_receipt.clone()) {
            self.receipts.spawn(deliver(Arc::clone(&self.shared), epoch, receipt));
        }
    }

    pub(super) fn receipt_delivered(&mut self, outcome: Result<Outcome, JoinError>) {
        match outcome {
            Ok((epoch, Ok(()))) => {
                self.unkept_receipt.take_if(|(unkept, _)| *unkept == epoch);
                taken(&self.shared, epoch, "control plane");
            }
            Ok((epoch, Err(error))) => {
                tracing::error!(%epoch, %error, "the control plane does not take the receipt; it is kept");
            }
            // It was begun anew, or the daemon is stopping.
            Err(_) => {}
        }
    }
}

/// Drops a receipt that somebody has taken.
pub(super) fn taken(shared: &Shared, epoch: Epoch, by: &str) {
    if let Err(error) = shared.store.remove_receipt(epoch) {
        tracing::warn!(%error, "a receipt that was taken stays on the disk, and is sent again");
    }
    fail_point::reach("wipe.receipt-taken");
    SecurityEvent::RECEIPT_TAKEN.log(Some(epoch), format_args!("the {by} has the receipt"));
}

async fn deliver(shared: Arc<Shared>, epoch: Epoch, receipt: Vec<u8>) -> Outcome {
    let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
    loop {
        match shared.control_plane.deliver_receipt(receipt.clone()).await {
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, %epoch, "a receipt waits");
                tokio::time::sleep(backoff.delay()).await;
            }
            outcome => return (epoch, outcome),
        }
    }
}
