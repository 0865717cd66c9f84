//! The store over power cuts: at every operation of every write, the next process finds the old state or the new one.

use std::path::Path;

use pawl_proto::codec::Version;
use pawl_proto::message::{Broker, Cause, Credential, PairingApproved, StatementBytes};
use pawl_proto::{Blob, DeviceId, Digest, Epoch, Nonce, PairingId, Text};
use pawl_tpm::KeyBlob;
use pawld::core::Write;
use pawld::core::{Approved, PairingRecord, Revocation, Unfinished};
use pawld::store::{PairingKeys, Store, StoreError};

use super::tests::chooser;
use super::{ModelDisk, Stop};

const ROOT: &str = "/state";
/// What is lost in each power cut is chosen so often.
const SEEDS: u64 = 40;

type Step = fn(&Store) -> Result<(), StoreError>;

fn open(disk: &ModelDisk) -> Store {
    Store::open_on(disk.mount(), Path::new(ROOT)).unwrap()
}

/// A paired device's disk, everything on it durable.
fn paired() -> ModelDisk {
    disk_after(&[keep_approved, stage, commit, |store| store.put_vault(b"vault")])
}

fn disk_after(steps: &[Step]) -> ModelDisk {
    let disk = ModelDisk::default();
    let store = open(&disk);
    for step in steps {
        step(&store).unwrap();
    }
    drop(store);
    ModelDisk::of(&disk.snapshot())
}

fn begin_keys(store: &Store) -> Result<(), StoreError> {
    put(store, Write::BeginKeys(Epoch(5)))
}

fn keep_approved(store: &Store) -> Result<(), StoreError> {
    put(store, Write::Approved(Box::new(approved())))
}

fn stage(store: &Store) -> Result<(), StoreError> {
    let key = |name: &str| KeyBlob { public: name.into(), private: b"wrapped".to_vec() };
    let keys =
        PairingKeys { link: key("link"), device: key("device"), vault: key("vault"), action: key("action") };
    let epoch = store.pairing()?.map_or(4, |record| record.epoch.0 + 1);
    store.stage(&record(epoch), &keys, format!("verdict of {epoch}").as_bytes())
}

fn commit(store: &Store) -> Result<(), StoreError> {
    store.commit()
}

fn put(store: &Store, write: Write) -> Result<(), StoreError> {
    store.put(write, || None)
}

fn verdict(sequence: u64, message: &[u8], has_lease: bool) -> Write {
    Write::Verdict { sequence, message: message.to_vec(), has_lease }
}

/// Each part of the state, as the next process finds it. A part that cannot be read is an error's text.
fn state(store: &Store) -> Vec<(&'static str, String)> {
    match store.unfinished() {
        Unfinished::Staged => store.commit().unwrap(),
        Unfinished::Scraps => store.discard_unfinished().unwrap(),
        Unfinished::Nothing | Unfinished::Approved { .. } => {}
    }
    vec![
        ("pairing", format!("{:?}", store.pairing())),
        ("keys", format!("{:?}", store.keys().map(|keys| keys.map(|keys| keys.device.public)))),
        ("verdict", format!("{:?}", store.verdict())),
        ("lease", format!("{:?}", store.lease())),
        ("vault", format!("{:?}", store.vault())),
        ("revocation", format!("{:?}", store.revocation())),
        ("receipts", format!("{:?}", store.receipts())),
        ("unfinished", format!("{:?}", store.unfinished())),
    ]
}

/// Cuts the power at every operation of a step. Each part of the state is then the old one or the new one; and the same
/// step can be done again.
fn cut_everywhere(before: &ModelDisk, step: Step) {
    let image = before.snapshot();
    let old = state(&open(&ModelDisk::of(&image)));
    let whole = ModelDisk::of(&image);
    let store = open(&whole);
    let first = whole.operations();
    step(&store).unwrap();
    let operations = whole.operations() - first;
    let new = state(&store);
    drop(store);
    for cut in 0..operations {
        for seed in 0..SEEDS {
            let disk = ModelDisk::of(&image);
            let store = open(&disk);
            disk.cut_power_in(cut);
            // A step whose last operation is cut may count as done: it needs nothing of it.
            drop(step(&store));
            assert!(disk.is_off(), "the power did not fail at operation {cut}");
            drop(store);
            disk.restart(Stop::Power, &mut chooser(seed));
            let store = open(&disk);
            let found = state(&store);
            for ((name, found), ((_, old), (_, new))) in found.iter().zip(old.iter().zip(&new)) {
                assert!(
                    found == old || found == new,
                    "{name} after a cut at operation {cut}, seed {seed}:\n{found}\nwas {old}\nand would be {new}"
                );
            }
            if found != new {
                step(&store).unwrap();
            }
        }
    }
    assert!(operations > 0, "the step does nothing");
    // Done in full, it lasts.
    let disk = ModelDisk::of(&image);
    step(&open(&disk)).unwrap();
    disk.restart(Stop::Power, &mut |_| 0);
    assert_eq!(state(&open(&disk)), new, "it was done and is lost");
}

#[test]
fn a_verdict_with_a_lease() {
    cut_everywhere(&paired(), |store| put(store, verdict(1, b"new", true)));
}

/// Creation, write and sync come before the link.
#[test]
fn a_verdict_with_a_lease_where_the_disk_has_no_hard_links() {
    let disk = paired();
    let store = open(&disk);
    let blocks = disk.blocks();
    disk.fail_in(3, std::io::ErrorKind::Unsupported);
    put(&store, verdict(1, b"new", true)).unwrap();
    drop(store);
    disk.restart(Stop::Power, &mut |_| 0);
    let store = open(&disk);
    assert_eq!(
        (store.lease().unwrap(), store.verdict().unwrap()),
        (Some(b"new".to_vec()), Some(b"new".to_vec()))
    );
    assert_eq!(disk.blocks(), blocks + 1, "the link did not fail");
}

#[test]
fn a_verdict_without_a_lease() {
    cut_everywhere(&paired(), |store| put(store, verdict(1, b"new", false)));
}

#[test]
fn the_removal_of_a_lease() {
    cut_everywhere(&paired(), |store| put(store, Write::RemoveLease));
}

#[test]
fn a_vault() {
    cut_everywhere(&paired(), |store| store.put_vault(b"more tokens"));
}

#[test]
fn the_reason_of_an_end() {
    cut_everywhere(&paired(), |store| put(store, Write::Revocation(revocation(4))));
}

#[test]
fn the_destruction_of_the_keys() {
    cut_everywhere(&paired(), |store| put(store, Write::DestroyKeys));
}

#[test]
fn a_receipt() {
    cut_everywhere(&paired(), |store| put(store, Write::Receipt(Epoch(4), b"receipt".to_vec())));
}

#[test]
fn an_approval() {
    cut_everywhere(&paired(), keep_approved);
    cut_everywhere(&disk_after(&[]), keep_approved);
}

#[test]
fn the_mark_that_keys_were_begun() {
    cut_everywhere(&disk_after(&[keep_approved]), begin_keys);
}

#[test]
fn a_staged_pairing() {
    cut_everywhere(&disk_after(&[keep_approved, begin_keys]), stage);
}

#[test]
fn the_drop_of_a_dead_pairing() {
    cut_everywhere(&paired(), |store| put(store, Write::ForgetPairing));
}

#[test]
fn the_drop_of_an_unfinished_pairing() {
    cut_everywhere(&disk_after(&[keep_approved]), |store| put(store, Write::DiscardUnfinished));
}

/// Cut at any operation, the next start completes it: the old pairing's state and the new one's never mix.
#[test]
fn a_new_pairing_takes_the_place_of_the_old_one() {
    let disk = disk_after(&[
        keep_approved,
        stage,
        commit,
        |store| put(store, Write::Revocation(revocation(4))),
        |store| put(store, Write::DestroyKeys),
        keep_approved,
        stage,
    ]);
    let image = disk.snapshot();
    let committed = ModelDisk::of(&image);
    let store = open(&committed);
    let first = committed.operations();
    store.commit().unwrap();
    let operations = committed.operations() - first;
    let new = state(&store);
    for cut in 0..operations {
        for seed in 0..SEEDS {
            let disk = ModelDisk::of(&image);
            let store = open(&disk);
            disk.cut_power_in(cut);
            store.commit().unwrap_err();
            drop(store);
            disk.restart(Stop::Power, &mut chooser(seed));
            assert_eq!(state(&open(&disk)), new, "after a cut at operation {cut}, seed {seed}");
        }
    }
}

/// A note is not synced: a wipe does not wait for the disk. What a power cut leaves of it is the note, nothing, or what
/// does not decode.
#[test]
fn a_note_of_a_wipe_is_there_or_not_read() {
    let image = paired().snapshot();
    let note = Revocation { counted: false, ..revocation(4) };
    for seed in 0..SEEDS * 4 {
        let disk = ModelDisk::of(&image);
        let store = open(&disk);
        put(&store, Write::RevocationNote(note.clone())).unwrap();
        drop(store);
        disk.restart(Stop::Power, &mut chooser(seed));
        let store = open(&disk);
        let found = store.examine().revocation;
        assert!(found.is_none_or(|found| found.ended == Epoch(4) && !found.counted));
        put(&store, Write::Revocation(revocation(4))).unwrap();
        assert!(store.revocation().unwrap().unwrap().counted);
    }
}

/// Removals that a power cut may take back: what comes back is harmless, and whole.
#[test]
fn what_is_removed_without_a_sync_comes_back_whole_or_not_at_all() {
    let disk = disk_after(&[|store| store.put_receipt(Epoch(4), b"receipt")]);
    let image = disk.snapshot();
    for seed in 0..SEEDS {
        let disk = ModelDisk::of(&image);
        put(&open(&disk), Write::RemoveReceipt(Epoch(4))).unwrap();
        disk.restart(Stop::Power, &mut chooser(seed));
        let receipts = open(&disk).receipts().unwrap();
        assert!(receipts.is_empty() || receipts == [(Epoch(4), b"receipt".to_vec())]);
    }
}

#[test]
fn a_full_disk_takes_a_pairing_that_was_reserved_for() {
    let disk = disk_after(&[]);
    let store = open(&disk);
    store.reserve().unwrap();
    disk.fill();
    keep_approved(&store).unwrap();
    stage(&store).unwrap();
    store.commit().unwrap();
    assert_eq!(store.pairing().unwrap().unwrap().epoch, Epoch(4));
}

#[test]
fn a_full_disk_refuses_the_reserve() {
    let disk = disk_after(&[]);
    disk.fill();
    assert!(matches!(open(&disk).reserve(), Err(StoreError::Space(_))));
    assert!(disk.files().is_empty(), "an empty reserve stayed");
}

#[test]
fn a_verdict_that_hangs_brings_nothing_back_after_a_wipe() {
    let disk = paired();
    let store = std::sync::Arc::new(open(&disk));
    // Of a write in the place of a file, the sync of the new contents is the third operation.
    disk.hang_in(2);
    let writer = std::thread::spawn({
        let store = std::sync::Arc::clone(&store);
        move || put(&store, verdict(1, b"late", true))
    });
    assert!(disk.wait_for_hang(|| !writer.is_finished()));
    put(&store, Write::DestroyKeys).unwrap();
    disk.resume();
    writer.join().unwrap().unwrap();
    assert_eq!((store.verdict().unwrap(), store.lease().unwrap()), (None, None));
}

fn revocation(epoch: u64) -> Revocation {
    Revocation {
        version: Version,
        ended: Epoch(epoch),
        cause: Cause::Wipe,
        event: None,
        reason: Text::default(),
        time: 0,
        counted: true,
        receipted: false,
    }
}

fn record(epoch: u64) -> PairingRecord {
    let bytes = |bytes: &[u8]| bytes.to_vec().try_into().unwrap();
    PairingRecord {
        version: Version,
        pairing: PairingId::from_random([1; 16]),
        device: DeviceId::from_digest([2; 32]),
        epoch: Epoch(epoch),
        control_plane: Text::default(),
        endorsement: Text::default(),
        scopes: Vec::new(),
        broker: Broker { host: Text::default(), port: 1, authority: Vec::new().try_into().unwrap() },
        link_certificates: Vec::new(),
        order_keys: Vec::new(),
        lease_key: bytes(b"lease"),
        authorization_key: bytes(b"authorization"),
        policy_ref: Digest([3; 32]),
        counter_name: bytes(b"counter"),
        attestation_name: bytes(b"ak"),
        storage_name: Some(bytes(b"srk")),
        endorsement_name: Some(bytes(b"ek")),
    }
}

fn approved() -> Approved {
    let bytes = |bytes: &[u8]| bytes.to_vec().try_into().unwrap();
    Approved {
        version: Version,
        answer: PairingApproved {
            version: Version,
            statement: StatementBytes(Blob::new(b"statement".to_vec()).unwrap()),
            approvals: Vec::new(),
            credential: Credential { id_object: bytes(b"credential"), secret: bytes(b"seed") },
            nonce: Nonce([4; 32]),
            lease_key: bytes(b"lease"),
            authorization_key: bytes(b"authorization"),
            policy_ref: Digest([3; 32]),
            above: Epoch(3),
        },
        attestation_name: bytes(b"ak"),
    }
}
