//! Checks that systemd's measurement log exists, can be read, and explains the PCRs that systemd extended. Without it, the control
//! plane cannot verify systemd's extends, and refuses the device.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pawl_config::Config;
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::measure_log::{MeasureLog, Target};
use pawl_evidence::tpm::{HashAlgorithm, PCR_COUNT, PcrValues, TaggedDigest};
use pawl_local_api::LocalStatus;
use pawl_proto::limits;

use super::files::unreadable;
use super::finding::Finding;
use super::logs;

const CHECK: &str = "systemd-log";
/// systemd sets the file's sticky bit before it extends a PCR, and clears it once the record is appended.
const STICKY: u32 = 0o1000;
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// The files that the check reads.
pub(super) struct Places {
    log: PathBuf,
    boot_log: PathBuf,
    /// The kernel's directory of a TPM, which contains the PCRs of each bank.
    tpm: PathBuf,
    /// systemd's program that extends PCRs at each phase of the boot.
    extender: PathBuf,
    /// The EFI variable that systemd's stub sets if it has measured a unified kernel image. Then systemd measures the boot, too.
    measured_image: PathBuf,
}

impl Places {
    pub(super) fn of(config: &Config) -> Self {
        let boot_log = logs::boot_log(config);
        let number = config.tpm.tcti.strip_prefix("device:/dev/tpmrm").unwrap_or("0");
        Self {
            log: config.logs.measure.clone(),
            boot_log,
            tpm: Path::new("/sys/class/tpm").join(format!("tpm{number}")),
            extender: "/usr/lib/systemd/systemd-pcrextend".into(),
            measured_image:
                "/sys/firmware/efi/efivars/StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f".into(),
        }
    }
}

/// Checks the log. `status` is the daemon's status: the daemon reads the log through a descriptor from systemd.
pub(super) fn finding(places: &Places, status: Option<&LocalStatus>) -> Finding {
    // Read the PCRs before the log, so that the log contains all records of each value.
    let pcrs = read_pcrs(&places.tpm);
    match finished_len(&places.log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(places),
        Err(error) => return unreadable(CHECK, &places.log, &error),
        Ok(None) => return unfinished(&places.log),
        Ok(Some(_)) => {}
    }
    if let Some(problem) = status.and_then(|status| status.measure_log_problem.as_ref()) {
        return Finding::failed(
            CHECK,
            format!("pawld cannot read {}: {problem}", places.log.display()),
            "run: systemctl restart pawld; systemd 253 or later then opens the log for it (OpenFile=)",
        );
    }
    let log = match read(&places.log) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && status.is_some() => {
            return Finding::ok(
                CHECK,
                format!("pawld can read {}; run as root to check its content", places.log.display()),
            );
        }
        Err(error) => return unreadable(CHECK, &places.log, &error),
    };
    if log.len() > limits::MEASURE_LOG {
        let text = format!(
            "{} is longer than the {} bytes that a report can contain",
            places.log.display(),
            limits::MEASURE_LOG
        );
        return Finding::warning(
            CHECK,
            text,
            "reboot the device: the control plane cannot explain what systemd measures after this",
        );
    }
    match MeasureLog::parse(&log) {
        Ok(log) => compare(&log, &places.boot_log, &pcrs),
        Err(error) => Finding::failed(CHECK, error.to_string(), REBOOT),
    }
}

const REBOOT: &str = "reboot the device: systemd starts a new log at each boot; if the fault remains, another program writes to the log";

fn absent(places: &Places) -> Finding {
    let log = places.log.display();
    if places.extender.exists() && places.measured_image.exists() {
        return Finding::warning(
            CHECK,
            format!("{log} does not exist, although systemd measures this boot"),
            "see: systemctl status systemd-pcrphase.service; if the log was deleted, reboot the device",
        );
    }
    Finding::ok(CHECK, format!("{log} does not exist: systemd does not measure this boot"))
}

fn unfinished(log: &Path) -> Finding {
    Finding::failed(
        CHECK,
        format!("the last record of {} is incomplete: its sticky bit stays set", log.display()),
        "reboot the device: systemd was interrupted while it extended a PCR, and cannot complete the record",
    )
}

/// Checks that replaying the firmware's log and then this log results in the value of each PCR with records in this log.
fn compare(log: &MeasureLog, boot_log: &Path, pcrs: &PcrValues) -> Finding {
    let records = log.records().len();
    let firmware = fs::read(boot_log).ok().and_then(|log| EventLog::parse(&log).ok()?.replay().ok());
    let bank = [HashAlgorithm::Sha256, HashAlgorithm::Sha384]
        .into_iter()
        .find(|bank| pcrs.bank(*bank).next().is_some());
    let (Some(firmware), Some(bank)) = (firmware, bank) else {
        let text = format!("{records} records, not compared: the kernel shows no PCRs or no boot event log");
        return Finding::ok(CHECK, text);
    };
    let has_records = |pcr: u8| log.records().iter().any(|record| record.target == Target::Pcr(pcr));
    let unexplained: Vec<String> = pcrs
        .bank(bank)
        .filter(|(pcr, value)| {
            let before =
                firmware.get(bank, *pcr).copied().unwrap_or_else(|| TaggedDigest::at_reset(bank, *pcr));
            has_records(*pcr) && log.leads(*pcr, &before, value).is_none()
        })
        .map(|(pcr, _)| pcr.to_string())
        .collect();
    if unexplained.is_empty() {
        return Finding::ok(CHECK, format!("{records} records; they explain their PCRs"));
    }
    let text = format!("{records} records; they do not explain PCR {}", unexplained.join(", "));
    Finding::failed(CHECK, text, REBOOT)
}

/// Reads the PCRs from the kernel, in the banks that are quoted.
fn read_pcrs(tpm: &Path) -> PcrValues {
    let mut pcrs = PcrValues::default();
    for bank in [HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
        for pcr in 0..PCR_COUNT {
            let file = tpm.join(format!("pcr-{bank}")).join(pcr.to_string());
            let value = fs::read_to_string(file).ok().and_then(|text| hex::decode(text.trim()).ok());
            if let Some(value) = value.and_then(|value| TaggedDigest::new(bank, &value)) {
                // The index is in range.
                let _ = pcrs.insert(pcr, value);
            }
        }
    }
    pcrs
}

/// Waits until no record is being added, and returns the length of the log; `None` if a record stays incomplete.
fn finished_len(log: &Path) -> io::Result<Option<u64>> {
    let begun = Instant::now();
    loop {
        let found = fs::metadata(log)?;
        if found.mode() & STICKY == 0 {
            return Ok(Some(found.len()));
        }
        if begun.elapsed() > PATIENCE {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// Reads the log, up to one byte more than a report can contain.
fn read(log: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limits::MEASURE_LOG).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(log)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::finding::Outcome;
    use super::*;

    /// A machine with the boot of a fixture, and a log that the test can change.
    struct Machine {
        _directory: tempfile::TempDir,
        places: Places,
    }

    impl Machine {
        fn of(boot: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(boot);
            let places = Places {
                log: path("tpm2-measure.log"),
                boot_log: boot.join("binary_bios_measurements"),
                tpm: path("tpm0"),
                extender: path("systemd-pcrextend"),
                measured_image: path("variable"),
            };
            fs::copy(boot.join("tpm2-measure.log"), &places.log).unwrap();
            let banks = places.tpm.join("pcr-sha256");
            fs::create_dir_all(&banks).unwrap();
            let mut bank = String::new();
            for line in fs::read_to_string(boot.join("pcrread.txt")).unwrap().lines() {
                let Some((key, value)) = line.trim().split_once(':') else { continue };
                match key.trim().parse::<u8>() {
                    Ok(pcr) if bank == "sha256" => {
                        let value = value.trim().trim_start_matches("0x");
                        fs::write(banks.join(pcr.to_string()), format!("{value}\n")).unwrap();
                    }
                    Ok(_) => {}
                    Err(_) => key.trim().clone_into(&mut bank),
                }
            }
            Self { _directory: directory, places }
        }

        fn finding(&self) -> Finding {
            finding(&self.places, None)
        }
    }

    #[test]
    fn the_log_of_a_real_boot_passes_and_an_altered_one_fails() {
        for boot in ["forky-good", "forky-soft-reboot", "trixie-good"] {
            let machine = Machine::of(boot);
            let found = machine.finding();
            assert_eq!(found.result, Outcome::Ok, "{boot}: {found:?}");
            assert!(found.detail.contains("they explain their PCRs"), "{boot}: {found:?}");
        }
        let machine = Machine::of("forky-good");
        let log = fs::read(&machine.places.log).unwrap();
        let records = log.split_inclusive(|byte| *byte == b'\n');
        let without: Vec<u8> =
            records.filter(|record| !record.starts_with(b"\x1e{\"pcr\":7,")).flatten().copied().collect();
        fs::write(&machine.places.log, &without).unwrap();
        assert_eq!(machine.finding().result, Outcome::Ok, "a PCR without records is not checked");
        let broken = String::from_utf8(log).unwrap().replace("ff5b9d73", "ff5b9d74");
        fs::write(&machine.places.log, broken).unwrap();
        let found = machine.finding();
        assert_eq!(found.result, Outcome::Failed, "{found:?}");
        assert!(found.detail.contains("do not explain PCR 0, 1, 2"), "{found:?}");
        fs::write(&machine.places.log, "{}").unwrap();
        assert_eq!(machine.finding().result, Outcome::Failed, "not a JSON text sequence");
    }

    #[test]
    fn an_incomplete_record_fails_unless_systemd_completes_it() {
        let machine = Machine::of("forky-good");
        let set = |mode| fs::set_permissions(&machine.places.log, fs::Permissions::from_mode(mode)).unwrap();
        set(0o1600);
        let found = machine.finding();
        assert_eq!(found.result, Outcome::Failed, "{found:?}");
        assert!(found.detail.contains("sticky bit"), "{found:?}");
        thread::scope(|scope| {
            let found = scope.spawn(|| machine.finding());
            set(0o600);
            assert_eq!(found.join().unwrap().result, Outcome::Ok);
        });
    }

    #[test]
    fn an_absent_log_is_a_warning_where_systemd_measures() {
        let machine = Machine::of("forky-good");
        fs::remove_file(&machine.places.log).unwrap();
        assert_eq!(machine.finding().result, Outcome::Ok);
        for file in [&machine.places.extender, &machine.places.measured_image] {
            fs::write(file, "").unwrap();
        }
        let found = machine.finding();
        assert_eq!(found.result, Outcome::Warning, "{found:?}");
    }

    #[test]
    fn a_log_that_is_too_long_to_be_reported_is_a_warning() {
        let machine = Machine::of("forky-good");
        let log = fs::read(&machine.places.log).unwrap();
        fs::write(&machine.places.log, log.repeat(limits::MEASURE_LOG / log.len() + 1)).unwrap();
        let found = machine.finding();
        assert_eq!(found.result, Outcome::Warning, "{found:?}");
        assert!(found.detail.contains("262144"), "{found:?}");
    }
}
