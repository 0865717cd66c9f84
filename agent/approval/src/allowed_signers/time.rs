use std::fmt;
use std::str::FromStr;

use time::{Date, Month, UtcDateTime};

/// A time in an option, to the second, in UTC, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(UtcDateTime);

impl Time {
    /// Returns the Unix time in seconds.
    #[must_use]
    pub fn unix_s(self) -> u64 {
        self.0.unix_timestamp().unsigned_abs()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date(), self.0.time());
        write!(f, "{}-{:02}-{:02} ", date.year(), u8::from(date.month()), date.day())?;
        write!(f, "{:02}:{:02}:{:02} UTC", time.hour(), time.minute(), time.second())
    }
}

impl FromStr for Time {
    type Err = NotATime;

    /// Parses `YYYYMMDD[HHMM[SS]]Z`. A time without the Z is refused: ssh-keygen reads it in the host's time zone, so
    /// that a key would be valid longer on one host than on another.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let digits = text.strip_suffix(['Z', 'z']).ok_or(NotATime)?;
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotATime);
        }
        let two_digits = |at| digits.get(at..at + 2).map_or(Ok(0), str::parse::<u8>).map_err(|_| NotATime);
        let year = digits
            .get(..4)
            .and_then(|year| year.parse().ok())
            .filter(|year| *year >= 1970)
            .ok_or(NotATime)?;
        let month = Month::try_from(two_digits(4)?).map_err(|_| NotATime)?;
        let date = Date::from_calendar_date(year, month, two_digits(6)?).map_err(|_| NotATime)?;
        let time =
            time::Time::from_hms(two_digits(8)?, two_digits(10)?, two_digits(12)?).map_err(|_| NotATime)?;
        Ok(Self(UtcDateTime::new(date, time)))
    }
}

/// The text is not a time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time in UTC: expected YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ, from 1970 on; without the Z it \
     would depend on the host's time zone"
)]
pub struct NotATime;

#[cfg(test)]
mod tests {
    use super::*;

    fn unix_s(text: &str) -> u64 {
        text.parse::<Time>().expect(text).unix_s()
    }

    #[test]
    fn times_that_date_1_knows() {
        assert_eq!(unix_s("19700101Z"), 0);
        assert_eq!(unix_s("20000229Z"), 951_782_400);
        assert_eq!(unix_s("20000301z"), 951_868_800);
        assert_eq!(unix_s("202611220501Z"), 1_795_323_660);
        assert_eq!(unix_s("20991231235959Z"), 4_102_444_799);
        assert_eq!(unix_s("21000301Z"), 4_107_542_400);
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "Z",
            "2026Z",
            "2026010Z",
            "202601011Z",
            "20260101ZZ",
            "20261301Z",
            "20260001Z",
            "20260100Z",
            "20260229Z",
            "20260431Z",
            "202601012400Z",
            "202601010060Z",
            "20260101000060Z",
            "19691231Z",
            "2026 101Z",
            "+2026101Z",
            "2026-01-01Z",
            "２０２６０１０１Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text:?}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused() {
        for text in ["20260601", "202606010000", "20260601000000"] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text:?}");
            assert!(format!("{text}Z").parse::<Time>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn it_is_shown_with_its_zone() {
        assert_eq!("20270101Z".parse::<Time>().unwrap().to_string(), "2027-01-01 00:00:00 UTC");
    }
}
