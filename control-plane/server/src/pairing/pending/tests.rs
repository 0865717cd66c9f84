use std::sync::Arc;

use pawl_proto::message::{HostFacts, PairingRequest, RefusalCode, SessionProof, ShortText};
use pawl_proto::{Blob, DeviceId};

use crate::admin::view::{Enrolled, PendingView};
use crate::admin::{ClientError, EnrolRequest};
use crate::control_plane::ControlPlane;
use crate::pairing;
use crate::refusal::RequestError;
use crate::store::StoreError;
use crate::testing::{Device, Operator, Rig};

async fn pending(operator: &Operator) -> Vec<PendingView> {
    operator.client.get("/v1/pending").await.unwrap()
}

/// Lets a device that is not enrolled request a pairing, and returns the refusal's message.
async fn ask(plane: &Arc<ControlPlane>, device: &mut Device) -> String {
    let host = HostFacts { hostname: ShortText::lossy("pump-4.example"), ..HostFacts::default() };
    let request = PairingRequest { host, ..device.request() };
    match device.ask(plane, request).await {
        Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::NotEnrolled => refusal.message,
        other => panic!("{other:?}"),
    }
}

async fn enrol(operator: &Operator, name: &str) -> Result<Vec<Enrolled>, ClientError> {
    let request = EnrolRequest { pending: vec![name.to_owned()], ..EnrolRequest::default() };
    operator.client.post("/v1/devices", &request).await
}

#[tokio::test]
async fn a_device_that_is_not_enrolled_is_listed_until_it_is() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let mut device = Device::new();
    let refusal = ask(&rig.plane, &mut device).await;
    let command = format!("pawl-control-plane enrol --ek-sha256 {}", device.tpm.ek_sha256());
    assert!(refusal.contains(&command), "{refusal}");
    rig.clock.advance(60);
    ask(&rig.plane, &mut device).await;

    let listed = pending(&operator).await;
    let [asked] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (asked.device, asked.ek_sha256.as_str()),
        (device.id(), device.tpm.ek_sha256().to_string().as_str())
    );
    assert_eq!((asked.first_at, asked.last_at, asked.times), (1_700_000_000, 1_700_000_060, 2));
    assert_eq!((asked.host.hostname.as_str(), asked.address.as_str()), ("pump-4.example", "192.0.2.1"));
    assert!(asked.endorsement.starts_with("not checked"), "{}", asked.endorsement);

    let prefix: String = device.id().as_str().chars().take(6).collect();
    let enrolled = enrol(&operator, &prefix).await.unwrap();
    assert_eq!((enrolled[0].device, enrolled[0].new), (device.id(), true));
    assert!(pending(&operator).await.is_empty());
    device.pair(&rig.plane).await.unwrap();
}

#[tokio::test]
async fn nobody_is_listed_whose_tpm_has_not_proven_itself() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let (mut device, mut other) = (Device::new(), Device::new());
    // A stranger who knows the public keys of a device gets an offer, and cannot open it.
    let offer = pairing::offer(&rig.plane, device.request()).await.unwrap();
    let honest = device.session_proof(&offer);
    let without_secret = SessionProof { secret: Blob::new(vec![0; 32]).unwrap(), ..honest.clone() };
    // Another TPM certified this counter.
    let (counter_attest, counter_signature) = other.tpm.certify_counter(&offer.nonce.0);
    let of_another = SessionProof { counter_attest, counter_signature, ..honest };
    for proof in [without_secret, of_another] {
        let refused = pairing::open(&rig.plane, offer.session, proof, device.network).await;
        assert!(
            matches!(&refused, Err(RequestError::Refused(refusal)) if refusal.code == RefusalCode::Proof)
        );
    }
    assert!(pending(&operator).await.is_empty());
}

#[tokio::test]
async fn of_a_pending_device_only_its_line_is_stored() {
    let rig = Rig::new();
    let mut device = Device::new();
    ask(&rig.plane, &mut device).await;
    let id: DeviceId = device.id();
    let stored = rig
        .plane
        .store
        .transaction(move |tx| {
            let shown = (tx.reported_state(id)?, tx.kept_evidence(id)?, tx.kept_boot_log(id)?);
            Ok::<_, StoreError>((tx.device(id)?, tx.sessions(None, 9)?.len(), tx.record_links(id)?, shown))
        })
        .await
        .unwrap();
    assert_eq!(stored, (None, 0, Vec::new(), (None, None, None)));
}

#[tokio::test]
async fn a_name_of_no_pending_device_enrols_no_device() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let mut device = Device::new();
    ask(&rig.plane, &mut device).await;
    let short: String = device.id().as_str().chars().take(5).collect();
    for (name, candidates) in [(short.as_str(), 1), ("pump-4.example", 0), ("", 0), (&"a".repeat(32), 0)] {
        let Err(ClientError::Refused(refused)) = enrol(&operator, name).await else { panic!("{name}") };
        assert_eq!(
            (refused.error.as_str(), refused.candidates.len()),
            ("unknown-device", candidates),
            "{name}"
        );
        assert!(refused.message.contains("pawl-control-plane pending"), "{refused}");
    }
    assert_eq!(pending(&operator).await.len(), 1);
}
