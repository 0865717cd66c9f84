//! Checks that the boot log and the IMA log can be read. Without them a device pairs and reports, but the control plane cannot
//! determine what it booted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use pawl_config::Config;
use pawl_evidence::eventlog::{EventLog, EventLogError, LOG_MAX_LEN};

use super::files::unreadable;
use super::finding::Finding;

/// Returns the path of the firmware's log that pawld reads: the configured path; otherwise that of the configured TPM; otherwise
/// that of the first TPM with a log.
pub(super) fn boot_log(config: &Config) -> PathBuf {
    let number = config.tpm.tcti.strip_prefix("device:/dev/tpmrm").and_then(|number| number.parse().ok());
    let numbers = number.map_or(0..TPM_NUMBERS, |number| number..number.saturating_add(1));
    let of = |number| config.logs.boot_of(Some(number));
    numbers.clone().map(of).find(|path| path.exists()).unwrap_or_else(|| of(numbers.start))
}

/// The number of TPMs to try: more than any known machine has.
const TPM_NUMBERS: u32 = 8;

pub(super) fn boot(path: &Path) -> Finding {
    const CHECK: &str = "boot-log";
    let log = match head(path, LOG_MAX_LEN) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::warning(
                CHECK,
                format!("{} does not exist", path.display()),
                "mount securityfs; if the firmware keeps no log (many Arm boards), none is available",
            );
        }
        Err(error) => return unreadable(CHECK, path, &error),
    };
    match EventLog::parse(&log).and_then(|parsed| parsed.events().collect::<Result<Vec<_>, EventLogError>>())
    {
        Ok(events) => Finding::ok(CHECK, format!("{} events in {}", events.len(), path.display())),
        Err(EventLogError::Empty) => Finding::warning(
            CHECK,
            format!("{} is empty", path.display()),
            "enable TPM measurements or the event log in the firmware's setup, if it has such an option",
        ),
        Err(error) => Finding::failed(
            CHECK,
            error.to_string(),
            "update the firmware; if that does not help, send the log to the Pawl project",
        ),
    }
}

pub(super) fn ima(path: &Path) -> Finding {
    const CHECK: &str = "ima-log";
    match head(path, 1) {
        Ok(_) => Finding::ok(CHECK, format!("{} can be read", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::warning(
            CHECK,
            format!("{} does not exist", path.display()),
            "if you need file measurement, boot a kernel with IMA and the parameter ima_policy=tcb",
        ),
        Err(error) => unreadable(CHECK, path, &error),
    }
}

/// Reads at most `limit` bytes and one more, so that the caller detects a longer file.
fn head(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn an_absent_or_empty_log_is_a_warning_and_a_broken_one_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert_eq!(boot(&path).result, Outcome::Warning);
        assert_eq!(ima(&path).result, Outcome::Warning);
        std::fs::write(&path, "").unwrap();
        assert_eq!(boot(&path).result, Outcome::Warning);
        assert_eq!(ima(&path).result, Outcome::Ok);
        std::fs::write(&path, [0xff; 100]).unwrap();
        assert_eq!(boot(&path).result, Outcome::Warning, "erased flash contains no log");
        std::fs::write(&path, [0x55; 100]).unwrap();
        assert_eq!(boot(&path).result, Outcome::Failed);
    }
}
