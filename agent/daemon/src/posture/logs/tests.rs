use std::io::Write as _;
use std::process::Command;

use super::*;

const ENTRIES: &[u8] =
    include_bytes!("../../../../../tests/fixtures/x86-good/ima_binary_runtime_measurements");

fn logs(ima: &[u8]) -> (tempfile::TempDir, Logs) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ima"), ima).unwrap();
    let logs = logs_in(folder.path());
    (folder, logs)
}

fn logs_in(folder: &Path) -> Logs {
    let path = |name: &str| folder.join(name);
    let boot = Some(path("boot"));
    Logs::new(
        pawl_config::Logs { boot, measure: path("measure"), ima: path("ima"), ima_ascii: path("ascii") },
        None,
    )
}

/// Reads from `offset` to the end. Returns the number of pieces.
fn read_to_the_end(logs: &Logs, mut offset: u64, mut each: impl FnMut(&[u8])) -> usize {
    for count in 1.. {
        let piece = logs.ima(PcrBank::Sha256, offset).unwrap();
        assert_eq!(piece.offset, offset);
        assert!(piece.bytes.as_bytes().len() <= limits::IMA_PIECE);
        each(piece.bytes.as_bytes());
        offset += u64::try_from(piece.bytes.as_bytes().len()).unwrap();
        if piece.size <= offset {
            return count;
        }
    }
    0
}

#[test]
fn pieces_add_up_to_the_log() {
    for size in [0, 1, limits::IMA_PIECE - 1, limits::IMA_PIECE, limits::IMA_PIECE + 1, 3 * limits::IMA_PIECE]
    {
        let log: Vec<u8> = ENTRIES.iter().copied().cycle().take(size).collect();
        let (_folder, logs) = logs(&log);
        let mut joined = Vec::new();
        let pieces = read_to_the_end(&logs, 0, |piece| joined.extend_from_slice(piece));
        assert_eq!(joined, log);
        assert_eq!(pieces, size.div_ceil(limits::IMA_PIECE).max(1));
    }
}

#[test]
fn a_piece_can_be_read_again_and_entries_added_later_are_read() {
    let (folder, logs) = logs(&ENTRIES.repeat(4));
    let first = logs.ima(PcrBank::Sha256, 0).unwrap();
    let again = logs.ima(PcrBank::Sha256, 0).unwrap();
    assert_eq!(first, again);
    let end = u64::try_from(ENTRIES.len() * 4).unwrap();
    assert_eq!(logs.ima(PcrBank::Sha256, end).unwrap().bytes.as_bytes(), b"");
    let file = std::fs::OpenOptions::new().append(true).open(folder.path().join("ima"));
    file.unwrap().write_all(b"more").unwrap();
    assert_eq!(logs.ima(PcrBank::Sha256, end).unwrap().bytes.as_bytes(), b"more");
    let mut joined = Vec::new();
    read_to_the_end(&logs, 0, |piece| joined.extend_from_slice(piece));
    assert_eq!(joined.len(), ENTRIES.len() * 4 + 4);
}

/// A read of a kernel file returns less than requested, because it ends where an entry ends.
#[test]
fn a_file_that_the_kernel_generates_is_read_completely() {
    let path = Path::new("/proc/kallsyms");
    let folder = Path::new("/nonexistent");
    let paths = pawl_config::Logs {
        boot: Some(folder.join("boot")),
        measure: folder.join("measure"),
        ima: path.to_owned(),
        ima_ascii: folder.join("ascii"),
    };
    let logs = Logs::new(paths, None);
    let mut joined = Vec::new();
    read_to_the_end(&logs, 0, |piece| joined.extend_from_slice(piece));
    assert!(joined == std::fs::read(path).unwrap(), "{} bytes", joined.len());
}

#[test]
fn the_log_of_the_quoted_bank_is_read_if_it_exists() {
    let (folder, logs) = logs(b"of SHA-1");
    assert_eq!(logs.ima(PcrBank::Sha256, 0).unwrap().bytes.as_bytes(), b"of SHA-1");
    std::fs::write(folder.path().join("ima_sha256"), b"of SHA-256").unwrap();
    assert_eq!(logs.ima(PcrBank::Sha256, 0).unwrap().bytes.as_bytes(), b"of SHA-256");
    assert_eq!(logs.ima(PcrBank::Sha384, 0).unwrap().bytes.as_bytes(), b"of SHA-1");
    std::fs::write(folder.path().join("ima_sha384"), b"of SHA-384").unwrap();
    assert_eq!(logs.ima(PcrBank::Sha384, 0).unwrap().bytes.as_bytes(), b"of SHA-384");
}

#[test]
fn missing_logs_are_left_out() {
    let (_folder, logs) = logs(b"");
    assert!(logs.boot(true).is_none());
    assert_eq!(logs.ima(PcrBank::Sha256, 0).unwrap().bytes.as_bytes(), b"");
    assert!(logs_in(Path::new("/nonexistent")).ima(PcrBank::Sha256, 0).is_none());
}

const LONG_LOG: &str = "PAWL_TEST_LONG_IMA_LOG";
const LONG: usize = 50 * 1024 * 1024;

/// Measures the memory of a process that does nothing else: the test starts itself again.
#[test]
fn a_log_of_50_mb_costs_no_more_than_16_mb() {
    if let Some(folder) = std::env::var_os(LONG_LOG) {
        let logs = logs_in(Path::new(&folder));
        let before = peak_kib();
        let mut read = 0;
        let pieces = read_to_the_end(&logs, 0, |piece| read += piece.len());
        println!("{read} bytes, {pieces} pieces, {} KiB", peak_kib() - before);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut log = std::fs::File::create(folder.path().join("ima")).unwrap();
    for _ in 0..LONG.div_ceil(ENTRIES.len()) {
        log.write_all(ENTRIES).unwrap();
    }
    let length = log.metadata().unwrap().len();
    let this = std::thread::current().name().unwrap().to_owned();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &this, "--nocapture", "--test-threads=1"])
        .env(LONG_LOG, folder.path())
        .output()
        .unwrap();
    let output = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{output}");
    let line = output.lines().find(|line| line.ends_with("KiB")).expect(&output);
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [read, pieces, kib] = numbers[..] else { panic!("{line}") };
    assert_eq!(u64::try_from(read).unwrap(), length);
    assert_eq!(pieces, read.div_ceil(limits::IMA_PIECE));
    assert!(kib <= 16 * 1024, "{line}");
}

/// Returns the peak memory of this process (proc_pid_status(5)).
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
