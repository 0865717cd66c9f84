use pawl_proto::{DeviceId, Digest, Epoch};

use super::*;
use crate::record::Fact;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("test.sqlite")).unwrap();
    (dir, store)
}

const EK: Digest = Digest([7; 32]);

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let (dir, store) = store();
    assert!(store.transaction(|tx| tx.enrol(EK, Some("gate"), 5)).await.unwrap());
    drop(store);
    let store = Store::open(&dir.path().join("test.sqlite")).unwrap();
    let device = store.transaction(|tx| tx.device(DeviceId::from_digest(EK.0))).await.unwrap().unwrap();
    assert_eq!((device.label.as_deref(), device.enrolled_at), (Some("gate"), 5));
    assert!(!store.transaction(|tx| tx.enrol(EK, None, 6)).await.unwrap());
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing() {
    let (_dir, store) = store();
    let failed: Result<(), StoreError> = store
        .transaction(|tx| {
            tx.enrol(EK, None, 5)?;
            Err(StoreError::Malformed("test"))
        })
        .await;
    assert!(failed.is_err());
    assert!(store.transaction(|tx| tx.devices()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_later_version_is_left_alone() {
    let (dir, store) = store();
    drop(store);
    let path = dir.path().join("test.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Version(2))));
}

#[tokio::test]
async fn a_value_is_used_once_until_it_expires() {
    let (_dir, store) = store();
    let used = store
        .transaction(|tx| {
            let mut used = Vec::new();
            for now in [10, 11, 21] {
                used.push(tx.use_once(b"jti", now + 10, now)?);
            }
            Ok::<_, StoreError>(used)
        })
        .await
        .unwrap();
    assert_eq!(used, [true, false, true]);
}

#[tokio::test]
async fn altered_and_missing_records_are_found() {
    for damage in [
        "UPDATE record SET body = (SELECT body FROM record WHERE sequence = 3) WHERE sequence = 2",
        "DELETE FROM record WHERE sequence = 2",
    ] {
        let (_dir, store) = store();
        let device = DeviceId::from_digest(EK.0);
        let result = store
            .transaction(move |tx| {
                tx.enrol(EK, None, 5)?;
                for number in 0..3 {
                    tx.record(device, number, Fact::Suspended { reason: number.to_string() })?;
                }
                assert_eq!(tx.records(device)?.len(), 3);
                tx.sql.execute(damage, []).map_err(StoreError::from)?;
                tx.records(device)
            })
            .await;
        assert!(matches!(result, Err(ChainError::Broken(2))), "{damage}");
    }
}

#[test]
fn the_order_of_high_water_marks() {
    let mark = |epoch, reset_count, clock| HighWater { epoch: Epoch(epoch), reset_count, clock };
    assert!(mark(1, 9, 9) < mark(2, 0, 0), "TPM2_Clear sets resets and clock back");
    assert!(mark(1, 1, 9) < mark(1, 2, 0), "an unclean stop loses some of the clock");
}
