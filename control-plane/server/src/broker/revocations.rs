//! The revocation list of link certificates for the broker.
//!
//! It lists the certificates of ended pairings. A replaced or retired device may never carry out the order to end its
//! pairing: after `broker.cut_replaced_seconds` its certificate is listed, too.

use std::sync::Arc;
use std::time::Duration;

use crate::control_plane::ControlPlane;
use crate::keys::KeysError;
use crate::store::{DeadLink, StoreError};

/// Time between two checks of the list.
const PAUSE: Duration = Duration::from_secs(60);

/// Writes the list now and whenever it changes.
pub(crate) async fn keep_list(plane: &Arc<ControlPlane>) {
    let mut written = None;
    loop {
        match write(plane, written.as_deref()).await {
            Ok(Some(dead)) => {
                log_changes(written.as_deref(), &dead);
                written = Some(dead);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot write the list of revoked link certificates"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Logs what has changed in the list.
fn log_changes(before: Option<&[DeadLink]>, now: &[DeadLink]) {
    let is_new = |link: &&DeadLink| before.is_none_or(|before| !before.contains(link));
    for DeadLink { device, .. } in now.iter().filter(is_new).filter(|link| !link.is_proven) {
        tracing::warn!(
            %device, "this device was replaced or retired, and its TPM has not proven that its pairing has ended: its link \
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

/// Writes the list and returns it, unless it is the one `written`.
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

/// Why the list cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RevocationsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

#[cfg(test)]
mod tests {
    //! Tests on mosquitto with the packaged configuration.
    use std::time::Duration;

    use p256::pkcs8::EncodePrivateKey as _;
    use pawl_proto::message::{EventKind, PairingGrant, ShortText};
    use rumqttc::mqttbytes::v5::Packet;
    use rumqttc::{AsyncClient, Event, MqttOptions, TlsConfiguration, Transport};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::super::session::client_config_with;
    use super::write;
    use crate::control_plane::ControlPlane;
    use crate::orders;
    use crate::store::DeadLink;
    use crate::testing::{Broker, Device, Rig};

    const WEEK: u64 = 604_800;

    /// Returns whether the broker accepts a connection with a device's link certificate.
    async fn connects(plane: &ControlPlane, device: &Device, grant: &PairingGrant) -> bool {
        let chain = grant.link_certificates.iter().map(|der| CertificateDer::from(der.as_bytes().to_vec()));
        let key = device.link_key.to_pkcs8_der().unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()));
        let tls = client_config_with(&plane.keys.authority, chain.collect(), key).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let address = (plane.config.broker.host.as_str(), plane.config.broker.port);
            let mut options = MqttOptions::new(device.id().to_string(), address);
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone().into())));
            let (client, mut events) = AsyncClient::builder(options).capacity(2).build();
            let first = loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error.to_string()),
                }
            };
            drop(client);
            match first {
                Ok(()) => return true,
                // The broker has started, and refuses the certificate.
                Err(error) if error.contains("CertificateRevoked") => return false,
                // The broker is still starting.
                Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn the_broker_refuses_the_certificate_of_a_pairing_that_has_ended_and_no_other() {
        let rig = Rig::new();
        let (mut ended, mut other) = (Device::enrolled(&rig.plane).await, Device::enrolled(&rig.plane).await);
        let grant = ended.pair(&rig.plane).await.unwrap();
        let other_grant = other.pair(&rig.plane).await.unwrap();
        let broker = Broker::start(&rig.plane);
        assert!(connects(&rig.plane, &ended, &grant).await);

        // An order alone revokes no certificate: the device must be able to receive the order.
        let reason = ShortText::lossy("sold");
        let ordered = orders::order(&rig.plane, ended.id(), EventKind::Revoke, reason).await.unwrap();
        assert_eq!(write(&rig.plane, None).await.unwrap(), Some(Vec::new()));
        let receipt = ended.wipe(Some(&ordered.event));
        orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();
        let listed = write(&rig.plane, None).await.unwrap().unwrap();
        assert!(
            matches!(listed.as_slice(), [DeadLink { device, is_proven: true, .. }] if *device == ended.id())
        );
        assert_eq!(
            write(&rig.plane, Some(&listed)).await.unwrap(),
            None,
            "an unchanged list is written again"
        );
        broker.reload();
        assert!(!connects(&rig.plane, &ended, &grant).await);
        assert!(connects(&rig.plane, &other, &other_grant).await);

        let again = ended.pair(&rig.plane).await.unwrap();
        assert!(connects(&rig.plane, &ended, &again).await, "the next pairing has a certificate of its own");
    }

    #[tokio::test]
    async fn the_broker_refuses_a_replaced_device_that_has_not_proven_its_end_within_a_week() {
        let (rig, persons) = Rig::approved_by("", &["alice"]);
        let mut old = Device::enrolled(&rig.plane).await;
        let grant = old.pair(&rig.plane).await.unwrap();
        let mut new = Device::enrolled(&rig.plane).await;
        let mut request = new.request();
        request.replaces = Some(old.id());
        let (asked, waiting) = new.ask_persons(&rig.plane, request).await;
        asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await.unwrap().approved();

        let broker = Broker::start(&rig.plane);
        rig.clock.advance(WEEK);
        assert_eq!(
            write(&rig.plane, None).await.unwrap(),
            Some(Vec::new()),
            "the device must still be able to receive its revocation"
        );
        assert!(connects(&rig.plane, &old, &grant).await);
        rig.clock.advance(1);
        let listed = write(&rig.plane, None).await.unwrap().unwrap();
        assert!(
            matches!(listed.as_slice(), [DeadLink { device, is_proven: false, .. }] if *device == old.id())
        );
        broker.reload();
        assert!(!connects(&rig.plane, &old, &grant).await);
    }
}
