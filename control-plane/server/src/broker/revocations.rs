//! The list of link certificates that the broker must not accept any more.
//!
//! A pairing that has ended leaves a certificate whose key the TPM does not use any more. The TPM of a replaced device may
//! live on and ignore the order to end its pairing: after `broker.cut_replaced_seconds` its certificate is listed, too.

use std::sync::Arc;
use std::time::Duration;

use crate::control_plane::ControlPlane;
use crate::keys::KeysError;
use crate::store::{DeadLink, StoreError};

const PAUSE: Duration = Duration::from_secs(60);

/// Writes the list now and whenever it changes.
pub(crate) async fn keep(plane: &Arc<ControlPlane>) {
    let mut written = None;
    loop {
        match write(plane, written.as_deref()).await {
            Ok(Some(dead)) => {
                tell(written.as_deref(), &dead);
                written = Some(dead);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the list of revoked link certificates is not written"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells the operator what has changed in the list.
fn tell(before: Option<&[DeadLink]>, now: &[DeadLink]) {
    let is_new = |link: &&DeadLink| before.is_none_or(|before| !before.contains(link));
    for DeadLink { device, .. } in now.iter().filter(is_new).filter(|link| !link.is_proven) {
        tracing::warn!(
            %device, "this device was replaced, and its TPM has not proven that its pairing has ended: its link \
            certificate is revoked; find the device, or end its pairing with pawlctl wipe"
        );
    }
    if before.is_some() {
        let count = now.len();
        tracing::info!(
            count,
            "the list of revoked link certificates has changed: give the broker broker/crl.pem"
        );
    }
}

/// Writes the list unless it is this one, and returns it.
pub(super) async fn write(
    plane: &Arc<ControlPlane>,
    written: Option<&[DeadLink]>,
) -> Result<Option<Vec<DeadLink>>, RevocationsError> {
    let now = plane.clock.now();
    let ordered = now.saturating_sub(plane.config.broker.cut_replaced_seconds);
    let dead = plane.store.transaction(move |tx| tx.dead_links(ordered)).await?;
    if written == Some(dead.as_slice()) {
        return Ok(None);
    }
    let serials: Vec<Vec<u8>> = dead.iter().map(|link| link.serial.clone()).collect();
    plane.keys.write_revocations(&plane.config, now, &serials)?;
    Ok(Some(dead))
}

/// A list that is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RevocationsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

#[cfg(test)]
mod tests;
