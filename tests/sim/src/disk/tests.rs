//! Each fault of the model.

use std::collections::BTreeSet;
use std::thread;

use pawld::store::{DirectoryError, DiskFile};

use super::*;

const FILE: &str = "/state/file";

/// A disk with an empty, durable folder, as a process has it.
fn disk() -> (ModelDisk, Arc<dyn Disk>) {
    let disk = ModelDisk::default();
    let mount = disk.mount();
    mount.make_folder(Path::new("/state")).unwrap();
    mount.sync_folder(Path::new("/")).unwrap();
    (disk, mount)
}

fn create(mount: &Arc<dyn Disk>, contents: &[u8]) -> Box<dyn DiskFile> {
    let file = mount.create(Path::new(FILE)).unwrap();
    file.write_at(contents, 0).unwrap();
    file
}

fn durable(mount: &Arc<dyn Disk>, contents: &[u8]) -> Box<dyn DiskFile> {
    let file = create(mount, contents);
    file.sync().unwrap();
    mount.sync_folder(Path::new("/state")).unwrap();
    file
}

/// What a restart after a power cut can leave of the file, over many choices.
fn outcomes(disk: &ModelDisk) -> BTreeSet<Option<Vec<u8>>> {
    let image = disk.snapshot_with_unsynced();
    (0..200_u64)
        .map(|seed| {
            let disk = ModelDisk { shared: Arc::default() };
            disk.state().tree = image.clone();
            disk.restart(Stop::Power, &mut chooser(seed));
            disk.read(Path::new(FILE))
        })
        .collect()
}

impl ModelDisk {
    fn snapshot_with_unsynced(&self) -> Tree {
        self.state().tree.clone()
    }
}

/// Choices that follow from a seed (splitmix64).
pub(super) fn chooser(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

#[test]
fn what_is_synced_outlives_a_power_cut() {
    let (disk, mount) = disk();
    durable(&mount, b"contents");
    assert_eq!(disk.durable(Path::new(FILE)).as_deref(), Some(b"contents".as_slice()));
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"contents".to_vec())]));
}

#[test]
fn an_unsynced_write_is_lost_torn_or_whole() {
    let (disk, mount) = disk();
    durable(&mount, b"").write_at(b"0123456789abcdef", 0).unwrap();
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"0123456789abcdef".as_slice()));
    assert_eq!(disk.durable(Path::new(FILE)), None);
    let outcomes = outcomes(&disk);
    for kept in [0, 2, 8, 14, 16] {
        assert!(outcomes.contains(&Some(b"0123456789abcdef"[..kept].to_vec())), "never {kept} bytes");
    }
}

#[test]
fn a_later_write_can_outlive_one_before_it() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"");
    file.write_at(b"first", 0).unwrap();
    file.write_at(b"second", 5).unwrap();
    assert!(outcomes(&disk).contains(&Some(b"\0\0\0\0\0second".to_vec())));
}

#[test]
fn a_name_is_lost_unless_its_folder_is_synced() {
    let (disk, mount) = disk();
    create(&mount, b"contents").sync().unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([None, Some(b"contents".to_vec())]));
    mount.sync_folder(Path::new("/state")).unwrap();
    mount.remove(Path::new(FILE)).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([None, Some(b"contents".to_vec())]));
    mount.sync_folder(Path::new("/state")).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([None]));
}

#[test]
fn a_rename_gives_the_old_file_or_the_new_one() {
    let (disk, mount) = disk();
    durable(&mount, b"old");
    let temporary = Path::new("/state/temporary");
    let file = mount.create(temporary).unwrap();
    file.write_at(b"new", 0).unwrap();
    file.sync().unwrap();
    mount.rename(temporary, Path::new(FILE)).unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
}

#[test]
fn a_file_with_two_names_is_one() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"old");
    let other = Path::new("/state/other");
    mount.link(Path::new(FILE), other).unwrap();
    let blocks = disk.state().tree.blocks();
    file.write_at(b"new", 0).unwrap();
    assert_eq!((disk.read(other), blocks), (Some(b"new".to_vec()), 1));
    mount.remove(Path::new(FILE)).unwrap();
    assert_eq!(disk.read(other).as_deref(), Some(b"new".as_slice()));
    assert!(mount.link(Path::new(FILE), other).is_err());
}

#[test]
fn a_killed_process_loses_nothing_and_the_disk() {
    let (disk, mount) = disk();
    let file = create(&mount, b"unsynced");
    disk.restart(Stop::Process, &mut |_| 0);
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"unsynced".as_slice()));
    file.write_at(b"late", 0).unwrap_err();
    mount.remove(Path::new(FILE)).unwrap_err();
    assert!(disk.read(Path::new(FILE)).is_some(), "a process that is gone removed a file");
}

#[test]
fn power_fails_at_the_operation_that_was_armed() {
    let (disk, mount) = disk();
    disk.cut_power_in(1);
    let file = mount.create(Path::new(FILE)).unwrap();
    assert!(!disk.is_off());
    file.write_at(b"contents", 0).unwrap_err();
    assert!(disk.is_off());
    file.sync().unwrap_err();
    mount.read(Path::new(FILE), 10).unwrap_err();
    disk.restart(Stop::Process, &mut |_| 0);
    assert_eq!(disk.read(Path::new(FILE)), None, "the folder was not synced");
    disk.mount().create(Path::new(FILE)).unwrap();
}

#[test]
fn a_sync_that_is_cut_promises_nothing() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"old");
    file.write_at(b"new", 0).unwrap();
    disk.cut_power_in(0);
    file.sync().unwrap_err();
    assert!(outcomes(&disk).contains(&Some(b"old".to_vec())));
    assert!(outcomes(&disk).contains(&Some(b"new".to_vec())));
}

#[test]
fn one_operation_fails_and_the_next_one_succeeds() {
    let (disk, mount) = disk();
    disk.fail_in(0, io::ErrorKind::Other);
    mount.create(Path::new(FILE)).unwrap_err();
    mount.create(Path::new(FILE)).unwrap();
}

#[test]
fn a_sync_after_one_that_failed_makes_nothing_last() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"");
    file.write_at(b"contents", 0).unwrap();
    disk.fail_in(0, io::ErrorKind::Other);
    file.sync().unwrap_err();
    file.sync().unwrap();
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"contents".as_slice()));
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn a_sync_makes_last_what_was_written_again_after_one_that_failed() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"");
    file.write_at(b"contents", 0).unwrap();
    disk.fail_in(0, io::ErrorKind::Other);
    file.sync().unwrap_err();
    file.write_at(b"tent", 3).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"\0\0\0tent".to_vec())]));
}

#[test]
fn a_broken_disk_can_be_read_and_not_written() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"contents");
    disk.break_down(io::ErrorKind::ReadOnlyFilesystem);
    file.write_at(b"more", 0).unwrap_err();
    mount.remove(Path::new(FILE)).unwrap_err();
    assert_eq!(mount.read(Path::new(FILE), 4).unwrap(), b"cont");
    disk.repair();
    mount.remove(Path::new(FILE)).unwrap();
}

#[test]
fn a_full_disk_takes_no_new_block_until_one_is_freed() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"contents");
    let reserve = mount.create(Path::new("/state/reserve")).unwrap();
    reserve.allocate(8192).unwrap();
    disk.fill();
    file.write_at(b"within the block", 0).unwrap();
    let other = mount.create(Path::new("/state/other")).unwrap();
    let error = other.write_at(b"a block", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    reserve.set_length(4096).unwrap();
    other.write_at(b"a block", 0).unwrap();
    assert_eq!(reserve.allocate(8192).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.repair();
    reserve.allocate(8192).unwrap();
}

#[test]
fn an_operation_hangs_until_the_disk_goes_on() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"old");
    disk.hang_in(0);
    let writer = thread::spawn(move || file.write_at(b"new", 0));
    assert!(disk.wait_for_hang(|| !writer.is_finished()));
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"old".as_slice()));
    mount.create(Path::new("/state/other")).unwrap();
    disk.resume();
    writer.join().unwrap().unwrap();
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"new".as_slice()));
}

#[test]
fn an_operation_that_hangs_ends_with_its_process() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"old");
    disk.hang_in(0);
    let writer = thread::spawn(move || file.write_at(b"new", 0));
    assert!(disk.wait_for_hang(|| !writer.is_finished()));
    disk.restart(Stop::Process, &mut |_| 0);
    writer.join().unwrap().unwrap_err();
    assert_eq!(disk.read(Path::new(FILE)).as_deref(), Some(b"old".as_slice()));
}

#[test]
fn a_disk_can_be_copied_and_put_back() {
    let (disk, mount) = disk();
    let file = durable(&mount, b"old");
    let image = disk.snapshot();
    file.write_at(b"new", 0).unwrap();
    let copy = ModelDisk::of(&image);
    assert_eq!(copy.read(Path::new(FILE)).as_deref(), Some(b"old".as_slice()));
    disk.restore(&image);
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"old".to_vec())]));
}

#[test]
fn one_process_has_the_lock_until_it_ends() {
    let (disk, mount) = disk();
    let root = Path::new("/state");
    let lock = mount.lock(root).unwrap();
    assert!(matches!(mount.lock(root), Err(DirectoryError::InUse(_))));
    disk.restart(Stop::Process, &mut |_| 0);
    let next = disk.mount();
    let _held = next.lock(root).unwrap();
    drop(lock);
    assert!(next.lock(root).is_err(), "a process that is gone gave the lock back");
}

#[test]
fn files_that_an_attacker_writes_last() {
    let (disk, mount) = disk();
    durable(&mount, b"ours");
    disk.write(Path::new(FILE), b"theirs").unwrap();
    assert_eq!(mount.read(Path::new(FILE), 10).unwrap(), b"theirs");
    assert_eq!(outcomes(&disk), BTreeSet::from([Some(b"theirs".to_vec())]));
    assert_eq!(disk.files(), [Path::new(FILE)]);
}
