//! Checks that the daemon answers, and that the wall clock is accurate enough for certificates and tokens.

use std::time::UNIX_EPOCH;

use pawl_local_api::LocalStatus;

use super::finding::Finding;
use crate::client::ClientError;
use crate::output::{span, utc};

pub(super) fn answer(answer: &Result<LocalStatus, ClientError>) -> Finding {
    const CHECK: &str = "daemon";
    match answer {
        Ok(LocalStatus { state, problem: None, version, .. }) => {
            Finding::ok(CHECK, format!("pawld {version} answers: {state}"))
        }
        Ok(LocalStatus { state, problem: Some(problem), .. }) => {
            Finding::warning(CHECK, format!("{state}: {}", problem.reason), problem.remedy.clone())
        }
        Err(error @ ClientError::NotPermitted { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "run it as root: sudo pawlctl check; or join the group that owns the socket",
        ),
        Err(error @ ClientError::Unreachable { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "see: systemctl status pawld; start it: systemctl start pawld; its log: journalctl -u pawld",
        ),
        Err(ClientError::Refused { problem, .. }) => {
            Finding::failed(CHECK, problem.reason.clone(), problem.remedy.clone())
        }
        Err(error) => Finding::failed(CHECK, error.to_string(), "see its log: journalctl -u pawld"),
    }
}

/// 2026-01-01. No release of Pawl is older.
const EARLIEST: u64 = 1_767_225_600;

/// The accepted difference, in seconds. Token servers commonly accept a minute or two.
const TOLERANCE: u64 = 120;

const REMEDY: &str = "set the clock and keep it synchronized: timedatectl set-ntp true; if the time is lost at power off, replace the RTC battery";

/// Compares the clock with the control plane's. `floor` is the daemon's lower bound of the current time; `date` is the `Date`
/// header of the control plane's response.
pub(super) fn clock(now: u64, floor: Option<u64>, date: Option<String>) -> Finding {
    const CHECK: &str = "clock";
    if let Some(floor) = floor.filter(|floor| now.saturating_add(TOLERANCE) < *floor) {
        return Finding::warning(
            CHECK,
            format!(
                "the clock shows {}, but by the control plane's last verdict it is at least {}; pawld uses the later \
                 time",
                utc(now),
                utc(floor)
            ),
            REMEDY,
        );
    }
    if now < EARLIEST {
        return Finding::failed(
            CHECK,
            format!(
                "the clock shows {}, in the past, and pawld has no other time: the control plane's certificate is not valid \
                 at that time",
                utc(now)
            ),
            REMEDY,
        );
    }
    let Some(theirs) = date.as_deref().and_then(seconds) else {
        return Finding::skipped(
            CHECK,
            format!("the clock shows {}; the control plane's time is unknown", utc(now)),
        );
    };
    let difference = now.abs_diff(theirs);
    if difference > TOLERANCE {
        let direction = if now > theirs { "ahead of" } else { "behind" };
        return Finding::failed(
            CHECK,
            format!("the clock is {} {direction} the control plane's", span(difference)),
            REMEDY,
        );
    }
    Finding::ok(CHECK, format!("within {} of the control plane's", span(difference)))
}

/// Converts an HTTP date (RFC 9110, section 5.6.7) to seconds since 1970.
fn seconds(date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(date).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_clock_is_measured_against_the_control_planes() {
        let date = Some("Sun, 01 Mar 2026 12:00:00 GMT".to_owned());
        let theirs = 1_772_366_400;
        assert_eq!(clock(theirs + 120, None, date.clone()).result, Outcome::Ok);
        assert_eq!(clock(theirs - 120, None, date.clone()).result, Outcome::Ok);
        assert!(clock(theirs + 121, None, date.clone()).detail.contains("2 min 1 s ahead"));
        assert!(clock(theirs - 3600, None, date.clone()).detail.contains("1 h 0 min behind"));
        assert_eq!(clock(theirs, None, None).result, Outcome::Skipped);
        assert_eq!(clock(theirs, None, Some("yesterday".to_owned())).result, Outcome::Skipped);
        assert_eq!(clock(0, None, date.clone()).result, Outcome::Failed);
        // The daemon uses its lower bound, so this is only a warning.
        let known = clock(0, Some(theirs), date);
        assert!(known.result == Outcome::Warning && known.detail.contains("2026-03-01"), "{known:?}");
        assert_eq!(clock(theirs, Some(theirs - 300), None).result, Outcome::Skipped);
        // A time that does not fit into 31 bits of seconds.
        let later = Some("Tue, 01 Jan 2058 00:00:00 GMT".to_owned());
        assert_eq!(clock(2_777_068_800, None, later).result, Outcome::Ok);
    }
}
