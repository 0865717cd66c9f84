//! Tests that old records are dropped and the others can still be verified.

use std::sync::Arc;

use pawl_proto::message::{EventKind, ShortText};

use super::{Checkpoint, MAX_CARRIED, trim};
use crate::bundle::{Bundle, Check, Contents, Hex, check, collect};
use crate::orders;
use crate::store::{ChainError, StoreError};
use crate::testing::{Reporting, Rig};

/// Returns a control plane that keeps 100 records of each device, and a device with more than twice as many.
async fn long() -> (Rig, Reporting) {
    let rig = Rig::with("[approvals]\nre_pair = 0\n[records]\nkeep = 100\n");
    let (mut reporting, _) = Reporting::paired(&rig).await;
    report(&rig, &mut reporting, 110).await;
    (rig, reporting)
}

/// Sends reports. Each adds two records: the verdict and its lease.
async fn report(rig: &Rig, reporting: &mut Reporting, times: u32) {
    for _ in 0..times {
        rig.clock.advance(60);
        assert!(reporting.steady().await.lease.is_some());
    }
}

async fn contents(rig: &Rig, reporting: &Reporting) -> Contents {
    let (plane, id) = (Arc::clone(&rig.plane), reporting.device.id());
    rig.plane.store.transaction(move |tx| collect(&plane, tx, id)).await.unwrap()
}

async fn count(rig: &Rig, reporting: &Reporting) -> usize {
    let id = reporting.device.id();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await;
    records.unwrap_or_else(|error: ChainError| panic!("{error}")).len()
}

fn bundle(rig: &Rig, contents: Contents) -> Bundle {
    let keys = &rig.plane.keys;
    Bundle::sign(contents, &keys.audit, keys.authority.certificate()).unwrap()
}

#[tokio::test]
async fn old_records_are_dropped_and_a_bundle_of_the_others_holds() {
    let (rig, mut reporting) = long().await;
    let all = contents(&rig, &reporting).await;
    assert!(all.records.len() > 220 && all.checkpoint.is_none());
    assert!(trim(&rig.plane).await.unwrap() > 100);
    assert_eq!(trim(&rig.plane).await.unwrap(), 0, "there is nothing more to drop");
    let left = count(&rig, &reporting).await;
    assert!((100..=100 + MAX_CARRIED).contains(&left), "{left} records");

    // The chain continues after the checkpoint, and is trimmed again.
    for _ in 0..3 {
        report(&rig, &mut reporting, 60).await;
        assert!(trim(&rig.plane).await.unwrap() > 0);
    }
    let reason = ShortText::lossy("sold");
    let ordered = orders::order(&rig.plane, reporting.device.id(), EventKind::Revoke, reason).await.unwrap();
    let receipt = reporting.device.wipe(Some(&ordered.event));
    orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();

    let authority = rig.plane.keys.authority.certificate();
    let bytes = bundle(&rig, contents(&rig, &reporting).await).write().unwrap();
    let contents = Bundle::read(&bytes).unwrap().verify(authority).unwrap();
    let checked = check(&contents);
    assert_eq!(checked.failures, []);
    assert_eq!((checked.pairings, checked.receipts), (1, 1), "the pairing is carried, with its approval");
    assert!(checked.quotes >= 49 && checked.leases >= 49, "{checked:?}");
    assert!(checked.checkpoint.unwrap() > 300);
}

#[tokio::test]
async fn what_was_altered_around_a_checkpoint_is_found() {
    let (rig, reporting) = long().await;
    trim(&rig.plane).await.unwrap();
    let good = contents(&rig, &reporting).await;
    assert_eq!(check(&good).failures, []);
    let carried = good.checkpoint.as_ref().unwrap().carried.len();
    assert!(carried >= 2);
    type Change = fn(&mut Contents, usize);
    let changes: [(&str, Change); 6] = [
        ("the first record after it is missing", |contents, carried| drop(contents.records.remove(carried))),
        ("a carried record is missing", |contents, _| drop(contents.records.remove(0))),
        ("only some carried records are left", |contents, carried| contents.records.truncate(carried - 1)),
        ("a carried record was altered", |contents, _| {
            contents.records[0].body.0.last_mut().map(|byte| *byte ^= 1).unwrap();
        }),
        ("the checkpoint claims to replace more", |contents, _| {
            contents.checkpoint.as_mut().unwrap().sequence += 1
        }),
        ("there is no checkpoint", |contents, _| contents.checkpoint = None),
    ];
    for (what, change) in changes {
        let mut altered = good.clone();
        change(&mut altered, carried);
        let failures = check(&altered).failures;
        assert!(failures.iter().any(|failure| failure.check == Check::Chain), "{what}: {failures:?}");
    }
}

#[tokio::test]
async fn only_a_checkpoint_that_the_audit_key_signed_is_valid() {
    let (rig, reporting) = long().await;
    trim(&rig.plane).await.unwrap();
    let good = contents(&rig, &reporting).await;
    let authority = rig.plane.keys.authority.certificate();
    bundle(&rig, good.clone()).verify(authority).unwrap();
    type Change = fn(&mut Checkpoint);
    let changes: [Change; 4] = [
        |checkpoint| checkpoint.sequence += 1,
        |checkpoint| checkpoint.carried.clear(),
        |checkpoint| checkpoint.digest = Hex(pawl_proto::Digest([7; 32])),
        |checkpoint| checkpoint.signature.push('A'),
    ];
    for change in changes {
        let mut altered = good.clone();
        change(altered.checkpoint.as_mut().unwrap());
        assert!(bundle(&rig, altered).verify(authority).is_err());
    }
    let stranger = Rig::new();
    assert!(
        good.checkpoint.unwrap().verify(good.device, stranger.plane.keys.authority.certificate()).is_err()
    );
}

#[tokio::test]
async fn records_that_fail_verification_are_not_dropped() {
    let (rig, reporting) = long().await;
    let before = contents(&rig, &reporting).await.records.len();
    let damage = "UPDATE record SET body = x'00' WHERE sequence = 20";
    rig.plane.store.transaction::<_, StoreError>(move |tx| tx.execute(damage)).await.unwrap();
    assert_eq!(trim(&rig.plane).await.unwrap(), 0);
    assert_eq!(contents(&rig, &reporting).await.records.len(), before);
}
