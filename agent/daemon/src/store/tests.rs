//! Tests of the disk's contents after each step, and of damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pawl_proto::codec::Version;
use pawl_proto::message::Cause;
use pawl_proto::{Epoch, Text};

use super::*;
use crate::record::testing::{approved, record};
use crate::record::{Revocation, Unfinished};

fn keys() -> PairingKeys {
    let key = |name: &str| KeyBlob { public: name.into(), private: b"wrapped".to_vec() };
    PairingKeys { link: key("link"), device: key("device"), vault: key("vault"), action: key("action") }
}

fn paired(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    store.keep_approved(&approved()).unwrap();
    store.stage(&record(4), &keys(), b"verdict").unwrap();
    store.commit().unwrap();
    store
}

fn private_folder() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// Returns the store as the next process opens it.
fn restarted(store: Store) -> Store {
    let root = store.root.clone();
    drop(store);
    Store::open(&root).unwrap()
}

#[test]
fn reserved_space_is_freed_step_by_step() {
    let folder = private_folder();
    let store = Store::open(folder.path()).unwrap();
    let reserved = || fs::metadata(folder.path().join("reserve")).ok().map(|file| file.len());
    store.reserve().unwrap();
    store.reserve().unwrap();
    assert_eq!(reserved(), Some(256 * 1024));
    store.keep_approved(&approved()).unwrap();
    assert_eq!(reserved(), Some(128 * 1024));
    store.stage(&record(4), &keys(), b"verdict").unwrap();
    assert_eq!(reserved(), None);
    store.release();
}

#[test]
fn a_new_pairing_is_used_only_after_its_commit() {
    let folder = private_folder();
    let store = Store::open(folder.path()).unwrap();
    assert!(store.pairing().unwrap().is_none());
    assert!(matches!(store.unfinished(), Unfinished::Nothing));

    store.keep_approved(&approved()).unwrap();
    let store = restarted(store);
    let Unfinished::Approved { approved: kept, may_have_keys: false } = store.unfinished() else {
        panic!("{:?}", store.unfinished());
    };
    assert_eq!(kept.answer, approved().answer);
    store.begin_keys(Epoch(4)).unwrap();
    let store = restarted(store);
    assert!(matches!(store.unfinished(), Unfinished::Approved { may_have_keys: true, .. }));

    store.stage(&record(4), &keys(), b"verdict").unwrap();
    assert!(store.pairing().unwrap().is_none(), "a staged pairing counts as committed");
    store.commit().unwrap();
    let store = restarted(store);
    assert_eq!(store.pairing().unwrap().unwrap().epoch, Epoch(4));
    assert!(matches!(store.unfinished(), Unfinished::Nothing));
    assert_eq!(store.keys().unwrap().unwrap().device.public, b"device");
    assert_eq!(store.keys().unwrap().unwrap().action.public, b"action");
    assert_eq!(store.verdict().unwrap().as_deref(), Some(b"verdict".as_slice()));
    for used in ["approved.cbor", "keys-begun.cbor"] {
        assert!(!folder.path().join("pairing").join(used).exists(), "{used} was not removed");
    }
}

#[test]
fn a_pairing_without_its_record_is_not_staged() {
    let folder = private_folder();
    let store = Store::open(folder.path()).unwrap();
    store.keep_approved(&approved()).unwrap();
    store.stage(&record(4), &keys(), b"verdict").unwrap();
    assert!(matches!(store.unfinished(), Unfinished::Staged));
    // The power fails before the record is written, which comes last.
    fs::remove_file(folder.path().join("pairing.new/pairing.cbor")).unwrap();
    assert!(matches!(store.unfinished(), Unfinished::Approved { .. }));
    // The power fails after the commit has removed the approval.
    store.stage(&record(4), &keys(), b"verdict").unwrap();
    fs::remove_file(folder.path().join("pairing.new/approved.cbor")).unwrap();
    assert!(matches!(store.unfinished(), Unfinished::Staged));
    store.commit().unwrap();
    assert!(store.keys().unwrap().is_some());
}

#[test]
fn a_damaged_approval_is_not_used() {
    let folder = private_folder();
    let store = Store::open(folder.path()).unwrap();
    store.keep_approved(&approved()).unwrap();
    let path = folder.path().join("pairing.new/approved.cbor");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, whole.get(..length).unwrap()).unwrap();
        assert!(matches!(store.unfinished(), Unfinished::Scraps), "cut at {length}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.unfinished(), Unfinished::Scraps));
    store.discard_unfinished().unwrap();
    assert!(matches!(store.unfinished(), Unfinished::Nothing));
}

#[test]
fn the_end_of_an_uncommitted_pairing_does_not_replace_the_last_revocation() {
    let folder = private_folder();
    let store = paired(folder.path());
    let ended = |epoch| Revocation {
        version: Version,
        ended: Epoch(epoch),
        cause: Cause::Wipe,
        event: None,
        reason: Text::lossy("sold"),
        time: 1,
        counted: true,
        receipted: true,
    };
    store.announce_revocation(&ended(5)).unwrap();
    assert!(
        store.revocation().unwrap().is_none(),
        "a wipe is pending for a pairing that the disk does not have"
    );
    store.put_revocation(&ended(4)).unwrap();
    store.put_revocation(&ended(5)).unwrap();
    assert_eq!(store.revocation().unwrap().unwrap().ended, Epoch(4));
}

#[test]
fn late_writes_create_no_file_after_the_keys_were_destroyed() {
    let folder = private_folder();
    let store = paired(folder.path());
    store.put_vault(b"sealed").unwrap();
    store.destroy_keys().unwrap();
    // Writes of other threads that were in progress.
    store.put_vault(b"sealed").unwrap();
    store.put_verdict(9, b"late", true).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path().join("pairing"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["pairing.cbor"]);
    assert!(store.keys().unwrap().is_none());
    assert_eq!(store.pairing().unwrap().unwrap().epoch, Epoch(4), "the record was removed, too");
}

#[test]
fn an_older_verdict_does_not_replace_a_newer_one() {
    let folder = private_folder();
    let store = paired(folder.path());
    store.put_verdict(2, b"second", false).unwrap();
    store.put_verdict(1, b"first", true).unwrap();
    assert_eq!(store.verdict().unwrap().as_deref(), Some(b"second".as_slice()));
    assert_eq!(store.lease().unwrap().as_deref(), Some(b"verdict".as_slice()));
}

#[test]
fn damaged_and_oversize_files_are_errors() {
    let folder = private_folder();
    let store = paired(folder.path());
    let path = folder.path().join("pairing/pairing.cbor");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, whole.get(..length).unwrap()).unwrap();
        assert!(matches!(store.pairing(), Err(StoreError::Damaged { .. })), "cut at {length}");
    }
    fs::write(&path, vec![0; RECORD + 1]).unwrap();
    assert!(matches!(store.pairing(), Err(StoreError::Io { .. })));
}

#[test]
fn receipts_are_returned_in_the_order_of_their_epochs() {
    let folder = private_folder();
    let store = Store::open(folder.path()).unwrap();
    for epoch in [12, 7, 100] {
        store.put_receipt(Epoch(epoch), format!("{epoch}").as_bytes()).unwrap();
    }
    fs::write(folder.path().join("receipts/notes.txt"), b"not ours").unwrap();
    store.remove_receipt(Epoch(7)).unwrap();
    let waiting: Vec<_> = store.receipts().unwrap().into_iter().map(|(epoch, _)| epoch.0).collect();
    assert_eq!(waiting, [12, 100]);
}

#[test]
fn a_note_of_a_wipe_does_not_replace_its_outcome() {
    let folder = private_folder();
    let store = paired(folder.path());
    let begun = revocation(false);
    store.announce_revocation(&begun).unwrap();
    assert!(!restarted(store).revocation().unwrap().unwrap().counted);
    let store = Store::open(folder.path()).unwrap();
    store.put_revocation(&revocation(true)).unwrap();
    store.announce_revocation(&begun).unwrap();
    assert!(store.revocation().unwrap().unwrap().counted, "a late note replaced the outcome");
}

fn revocation(counted: bool) -> Revocation {
    Revocation {
        version: Version,
        ended: Epoch(4),
        cause: Cause::Wipe,
        event: None,
        reason: Text::default(),
        time: 0,
        counted,
        receipted: counted,
    }
}

#[test]
fn a_commit_removes_the_last_revocation() {
    let folder = private_folder();
    let store = paired(folder.path());
    store.put_revocation(&revocation(true)).unwrap();
    store.destroy_keys().unwrap();
    assert_eq!(store.revocation().unwrap().unwrap().ended, Epoch(4));
    store.keep_approved(&approved()).unwrap();
    store.stage(&record(5), &keys(), b"verdict").unwrap();
    store.commit().unwrap();
    assert!(store.revocation().unwrap().is_none());
    store.put_vault(b"sealed").unwrap();
    assert!(store.vault().unwrap().is_some(), "the new pairing cannot store tokens");
}

#[test]
fn a_hung_write_does_not_delay_a_wipe_and_creates_no_file_after_it() {
    let folder = private_folder();
    let store = paired(folder.path());
    let path = folder.path().join(VERDICT);
    let generation = store.live_generation().unwrap();
    // The contents of a verdict are on the disk, and the wipe runs before the rename.
    let prepared = atomic::prepare(&FileSystem, &[&path], b"late").unwrap();
    store.destroy_keys().unwrap();
    assert!(!path.exists());
    drop(prepared);
    store.write_live(generation, &[VERDICT], b"late").unwrap();
    assert!(!path.exists(), "a write created a file of an ended pairing again");
    assert!(!path.with_extension("tmp").exists());
}

#[test]
fn a_write_for_an_earlier_pairing_is_dropped() {
    let folder = private_folder();
    let store = paired(folder.path());
    let generation = store.live_generation().unwrap();
    store.keep_approved(&approved()).unwrap();
    store.stage(&record(5), &keys(), b"verdict of the next").unwrap();
    store.commit().unwrap();
    store.write_live(generation, &[VERDICT], b"verdict of the one before").unwrap();
    assert_eq!(store.verdict().unwrap().as_deref(), Some(b"verdict of the next".as_slice()));
}
