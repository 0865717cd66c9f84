//! Formats times for people, in UTC: the technicians of a fleet are in many time zones.

use std::time::{SystemTime, UNIX_EPOCH};

use time::UtcDateTime;

const DAY: u64 = 86_400;

/// Returns seconds since 1970 by this host's clock; 0 if it is before that.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Formats a Unix time as `2026-03-01 12:00:00 UTC`; a time after the year 9999 as `@SECONDS`.
pub(crate) fn utc(time: u64) -> String {
    let Some(time) = i64::try_from(time).ok().and_then(|time| UtcDateTime::from_unix_timestamp(time).ok())
    else {
        return format!("@{time}");
    };
    let (date, time) = (time.date(), time.time());
    let (hour, minute, second) = time.as_hms();
    let (year, month, day) = date.to_calendar_date();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Formats a time relative to now: `in 3 min`, `just now` or `3 min ago`.
pub(crate) fn from_now(time: u64, now: u64) -> String {
    match time.checked_sub(now) {
        Some(0) => "just now".to_owned(),
        Some(ahead) => format!("in {}", span(ahead)),
        None => format!("{} ago", span(now.saturating_sub(time))),
    }
}

/// Formats a number of seconds by its two largest units, or by the largest alone if that is precise enough.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / 3600, seconds % 3600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) if minutes < 10 => format!("{minutes} min {} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_799, "2000-02-29 23:59:59 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(time), text);
        }
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (600, "10 min"),
            (3_660, "1 h 1 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(from_now(100, 40), "in 1 min 0 s");
        assert_eq!(from_now(40, 100), "1 min 0 s ago");
    }

    #[test]
    fn a_time_after_the_year_9999_is_shown_in_seconds() {
        assert_eq!(utc(253_402_300_800), "@253402300800");
        assert_eq!(utc(u64::MAX), "@18446744073709551615");
    }
}
