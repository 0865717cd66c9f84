use std::time::{Duration, UNIX_EPOCH};

use pawl_proto::message::Standing;
use pawl_proto::record::Link;
use pawl_proto::{DeviceId, Digest, Epoch, PairingId};

use super::*;
use pawl_verifier::audit::{DeviceChain, DeviceRecordRow};
use pawl_verifier::record::Fact;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("test.sqlite")).unwrap();
    (dir, store)
}

const EK: Digest = Digest([7; 32]);

#[tokio::test]
async fn committed_data_is_there_after_reopening() {
    let (dir, store) = store();
    assert!(store.transaction(|tx| tx.enrol(EK, Some("gate"), 5)).await.unwrap());
    drop(store);
    let store = Store::open(&dir.path().join("test.sqlite")).unwrap();
    let device = store.transaction(|tx| tx.device(DeviceId::from_digest(EK.0))).await.unwrap().unwrap();
    assert_eq!((device.label.as_deref(), device.enrolled_at), (Some("gate"), 5));
    assert!(!store.transaction(|tx| tx.enrol(EK, None, 6)).await.unwrap());
}

/// 32-bit seconds end in 2038, also in the file times that the C code of SQLite reads.
#[tokio::test]
async fn a_database_of_2058_is_opened() {
    const LATER: u64 = 2_777_068_800;
    let (dir, store) = store();
    assert!(store.transaction(|tx| tx.enrol(EK, None, LATER)).await.unwrap());
    drop(store);
    let path = dir.path().join("test.sqlite");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(LATER)).unwrap();
    let store = Store::open(&path).unwrap();
    let device = store.transaction(|tx| tx.device(DeviceId::from_digest(EK.0))).await.unwrap().unwrap();
    assert_eq!(device.enrolled_at, LATER);
}

#[tokio::test]
async fn a_transaction_that_fails_changes_nothing() {
    let (_dir, store) = store();
    let failed: Result<(), StoreError> = store
        .transaction(|tx| {
            tx.enrol(EK, None, 5)?;
            Err(StoreError::Malformed("test"))
        })
        .await;
    assert!(failed.is_err());
    assert!(store.transaction(|tx| tx.listed_devices()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let (dir, store) = store();
    drop(store);
    let path = dir.path().join("test.sqlite");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Version(99))));
}

#[tokio::test]
async fn a_database_of_the_first_version_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.sqlite");
    let id = DeviceId::from_digest(EK.0);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(schema::FIRST).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute(
            "INSERT INTO device (id, ek_sha256, label, enrolled_at, standing) VALUES (?1, ?2, 'gate', 5, 'suspended')",
            (id.as_str(), EK.0),
        )
        .unwrap();
    let scopes = pawl_proto::encode(&Vec::<String>::new()).unwrap();
    connection
        .execute(
            "INSERT INTO pairing (id, device, epoch, state, paired_at, scopes, attestation_key, counter, device_key, \
             policy_ref, nonce) VALUES (?1, ?2, 7, 'live', 6, ?3, x'01', x'02', x'03', ?4, ?4)",
            ("00".repeat(16), id.as_str(), scopes, [9; 32]),
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO event (id, device, kind, epoch, sequence, time, reason, message) \
             VALUES (?1, ?2, 'repair', 7, 1, 8, 'moved', x'04')",
            ("11".repeat(16), id.as_str()),
        )
        .unwrap();
    // The verdicts of that version have a standing in place of an entitlement.
    connection
        .execute(
            "INSERT INTO verdict (device, sequence, pairing, judged, body, message) VALUES (?1, 1, ?2, 1, x'a0', x'05')",
            (id.as_str(), "00".repeat(16)),
        )
        .unwrap();
    drop(connection);

    let store = Store::open(&path).unwrap();
    let judged = store
        .transaction(move |tx| {
            let pairing = tx.newest_pairing(id)?.unwrap().id;
            Ok::<_, StoreError>((tx.appraised_verdict(pairing)?.is_some(), tx.last_verdict(id)?))
        })
        .await;
    assert_eq!(judged.unwrap(), (false, None), "the device could not report any more");
    let (device, pairing, events, sessions) = store
        .transaction(move |tx| {
            let device = tx.device(id)?.unwrap();
            let pairing = tx.newest_pairing(id)?.unwrap();
            Ok::<_, StoreError>((device, pairing, tx.events(id)?, tx.sessions(None, 9)?))
        })
        .await
        .unwrap();
    assert_eq!((device.label.as_deref(), device.replaces, device.replaced_by), (Some("gate"), None, None));
    assert_eq!((pairing.epoch, pairing.action_key), (Epoch(7), None));
    assert_eq!((events.len(), events[0].session), (1, None));
    assert!(sessions.is_empty());
    assert_eq!(
        (device.standing, device.suspensions),
        (Standing::Suspended, 1),
        "it could not be resumed by number"
    );
    drop(store);
    assert!(Store::open(&path).is_ok(), "the migration is done once");
}

#[tokio::test]
async fn the_history_of_a_tpm_is_migrated_from_its_attestation_key_to_its_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.sqlite");
    let device = DeviceId::from_digest(EK.0);
    let ak_name = [&[0, 11][..], &[7; 32]].concat();
    let store = Store::open(&path).unwrap();
    let fact = Fact::Paired {
        pairing: "00".repeat(16),
        epoch: 5,
        endorsement: String::new(),
        scopes: Vec::new(),
        audiences: None,
        attestation_key: hex::encode(&ak_name),
        reason: String::new(),
        counter: None,
        policy_ref: None,
        lease_key: None,
    };
    store
        .transaction(move |tx| {
            tx.enrol(EK, None, 5)?;
            tx.record(device, 6, fact)
        })
        .await
        .unwrap();
    drop(store);
    // The table of version 3.
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE tpm_seen;
             CREATE TABLE high_water (ak_name BLOB PRIMARY KEY, epoch INTEGER NOT NULL, reset_count INTEGER NOT NULL,
                 clock INTEGER NOT NULL, runs BLOB) STRICT, WITHOUT ROWID;",
        )
        .unwrap();
    connection.execute("INSERT INTO high_water VALUES (?1, 5, 8, 900, NULL)", [&ak_name]).unwrap();
    connection.execute("INSERT INTO high_water VALUES (x'000b99', 9, 9, 9, NULL)", []).unwrap();
    connection.execute_batch(schema::TPM_HISTORY_BY_DEVICE).unwrap();
    drop(connection);

    let store = Store::open(&path).unwrap();
    let seen = store.transaction(move |tx| tx.high_water(device)).await.unwrap().unwrap();
    assert_eq!((seen.epoch, seen.reset_count, seen.clock_ms, seen.clock_max_ms), (5, 8, 900, 900));
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

#[tokio::test]
async fn the_oldest_records_of_a_device_are_dropped() {
    let (_dir, store) = store();
    let device = DeviceId::from_digest(EK.0);
    let kept = store
        .transaction(move |tx| {
            tx.enrol(EK, None, 5)?;
            let digest = Link::START;
            tx.set_device_chain(device, &DeviceChain { chain: 1, sequence: 3, digest, noted: None })?;
            let row = |chain, sequence| DeviceRecordRow {
                chain,
                sequence,
                pairing: PairingId::from_random([1; 16]),
                received_at: 5,
                link: Link::follow(Link::START, vec![1]),
            };
            tx.add_device_records(device, &[row(1, 1), row(1, 2), row(2, 1), row(2, 2)])?;
            tx.drop_oldest_records(device, 3)?;
            tx.device_records(device)
        })
        .await
        .unwrap();
    assert_eq!(kept.iter().map(|row| (row.chain, row.sequence)).collect::<Vec<_>>(), [(2, 2)]);
}
