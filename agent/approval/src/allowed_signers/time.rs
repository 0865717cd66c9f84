use std::fmt;
use std::str::FromStr;

/// A time in an option, to the second, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Time {
    /// Unix time in seconds.
    #[must_use]
    pub fn unix_s(self) -> u64 {
        let days = days_before_year(self.year) + days_before_month(self.year, self.month) + self.day - 1;
        ((days * 24 + self.hour) * 60 + self.minute) * 60 + self.second
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

impl FromStr for Time {
    type Err = NotATime;

    /// `YYYYMMDD[HHMM[SS]]Z`. Without the Z, ssh-keygen reads the host's local time: the same file would hold
    /// longer on one host than on another. Such a time is refused.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let digits = text.strip_suffix(['Z', 'z']).ok_or(NotATime)?;
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotATime);
        }
        let number = |from, to| digits.get(from..to).map_or(Ok(0), str::parse).map_err(|_| NotATime);
        let time = Self {
            year: number(0, 4)?,
            month: number(4, 6)?,
            day: number(6, 8)?,
            hour: number(8, 10)?,
            minute: number(10, 12)?,
            second: number(12, 14)?,
        };
        let is_valid = time.year >= 1970
            && (1..=12).contains(&time.month)
            && (1..=days_of_month(time.year, time.month)).contains(&time.day)
            && time.hour < 24
            && time.minute < 60
            && time.second < 60;
        if is_valid { Ok(time) } else { Err(NotATime) }
    }
}

/// The text is no time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time in UTC: expected YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ, from 1970 on; without the Z it \
     would depend on the host's time zone"
)]
pub struct NotATime;

/// Days from 1970 to the beginning of the year.
fn days_before_year(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn days_before_month(year: u64, month: u64) -> u64 {
    (1..month).map(|month| days_of_month(year, month)).sum()
}

fn days_of_month(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

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
