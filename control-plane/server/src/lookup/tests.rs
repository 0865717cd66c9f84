use pawl_proto::{DeviceId, Digest};

use super::{LookupError, find, find_pending};
use crate::store::PendingRequest;
use crate::testing::Rig;

/// Returns the digest of an endorsement key. The ids of all of them begin with the same eight characters and differ
/// after that.
fn ek(number: u8) -> Digest {
    let mut digest = [0xa5; 32];
    digest[5] = number;
    Digest(digest)
}

fn id(number: u8) -> DeviceId {
    DeviceId::from_digest(ek(number).0)
}

fn prefix(number: u8, length: usize) -> String {
    id(number).as_str().chars().take(length).collect()
}

async fn fleet(labels: &[Option<&str>]) -> Rig {
    let rig = Rig::new();
    for (number, label) in (0_u8..).zip(labels) {
        let label = label.map(str::to_owned);
        let enrol = move |tx: &crate::store::Tx<'_>| tx.enrol(ek(number), label.as_deref(), 1);
        rig.plane.store.transaction(enrol).await.unwrap();
    }
    rig
}

async fn found(rig: &Rig, text: &str) -> Result<DeviceId, LookupError> {
    let text = text.to_owned();
    rig.plane.store.transaction(move |tx| find(tx, &text)).await.map(|found| found.device)
}

#[tokio::test]
async fn a_device_is_found_by_id_prefix_label_and_key() {
    let rig = fleet(&[Some("pump 4"), Some("pump 5"), None]).await;
    let whole = id(1).to_string();
    let hash = ek(1).to_string();
    let unique = prefix(1, 12);
    for text in
        [whole.as_str(), &whole.to_uppercase(), &unique, &unique.to_uppercase(), "pump 5", &hash, " pump 5 "]
    {
        assert_eq!(found(&rig, text).await.unwrap(), id(1), "{text}");
    }
}

#[tokio::test]
async fn a_name_of_several_devices_is_refused_with_the_devices() {
    let rig = fleet(&[Some("gate"), Some("gate"), Some("door")]).await;
    let error = found(&rig, "gate").await.unwrap_err();
    assert!(error.to_string().starts_with("2 devices have the label or the id prefix \"gate\""), "{error}");
    let listed: Vec<_> = error.candidates().iter().map(|named| named.device).collect();
    assert_eq!(listed, [id(0), id(1)]);

    let error = found(&rig, &prefix(0, 8)).await.unwrap_err();
    assert!(error.to_string().starts_with("3 devices"), "{error}");
}

#[tokio::test]
async fn a_label_that_looks_like_another_devices_prefix_is_ambiguous() {
    let prefix = prefix(1, 12);
    let rig = fleet(&[Some(&prefix), None]).await;
    let error = found(&rig, &prefix).await.unwrap_err();
    assert_eq!(error.candidates().len(), 2, "{error}");
    // A whole id names that device, even if another one has it as its label.
    let rig = fleet(&[Some(id(1).as_str()), None]).await;
    assert_eq!(found(&rig, id(1).as_str()).await.unwrap(), id(1));
}

#[tokio::test]
async fn an_unknown_name_lists_at_most_five_similar_devices() {
    let labels: Vec<_> = (0..9).map(|number| format!("Pump {number}")).collect();
    let labels: Vec<_> = labels.iter().map(|label| Some(label.as_str())).collect();
    let rig = fleet(&labels).await;
    let error = found(&rig, "pump").await.unwrap_err();
    assert!(matches!(error, LookupError::Unknown { .. }), "{error}");
    assert_eq!(error.candidates().len(), 5);
    // Five characters are too few for a prefix: the devices with them are only listed as candidates.
    let error = found(&rig, &prefix(0, 5)).await.unwrap_err();
    assert!(matches!(error, LookupError::Unknown { .. }), "{error}");
    assert_eq!(error.candidates().len(), 5);
    for text in ["", "crane", "%", "_", "*", &"a".repeat(32)] {
        let error = found(&rig, text).await.unwrap_err();
        assert!(error.candidates().is_empty(), "{text}: {error}");
        assert!(error.to_string().contains("`pawl-control-plane devices` lists them"), "{error}");
    }
    let error = found(&rig, &prefix(0, 8)).await.unwrap_err();
    assert!(error.to_string().starts_with("more than 5 devices"), "{error}");
    assert_eq!(error.candidates().len(), 5);
}

#[tokio::test]
async fn a_prefix_of_several_pending_devices_is_refused_with_the_devices() {
    let rig = Rig::new();
    let found = rig
        .plane
        .store
        .transaction(|tx| {
            for number in 0..9 {
                let asked = PendingRequest {
                    device: id(number),
                    ek_sha256: ek(number),
                    host: pawl_proto::message::HostFacts::default(),
                    endorsement: String::new(),
                    address: String::new(),
                    at: 0,
                };
                tx.add_pending_device(&asked, 9)?;
            }
            Ok::<_, LookupError>([
                find_pending(tx, &prefix(0, 8)),
                find_pending(tx, &prefix(3, 12)),
                find_pending(tx, id(4).as_str()),
                find_pending(tx, &ek(5).to_string()),
            ])
        })
        .await
        .unwrap();
    let [ambiguous, unique, whole, hash] = found.map(|found| found.map(|pending| pending.device));
    let error = ambiguous.unwrap_err();
    assert!(error.to_string().starts_with("the ids of more than 5 pending devices"), "{error}");
    assert_eq!(error.candidates().len(), 5);
    assert_eq!([unique, whole, hash].map(Result::unwrap), [id(3), id(4), id(5)]);
}
