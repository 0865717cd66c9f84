use time::{Date, Month, Time, UtcDateTime};

use super::der::{Element, GENERALIZED_TIME, UTC_TIME};

/// Reads a Time (RFC 5280, section 4.1.2.5) as seconds since 1970; `None` if it is malformed.
///
/// A leap second (`…60Z`) is the second after `…59Z`.
pub(super) fn read_time(element: Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|character| character.is_ascii_digit()) {
        return None;
    }
    let (year, text) = match element.tag {
        UTC_TIME => {
            let (year, text) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => {
            let (year, text) = text.split_at_checked(4)?;
            (year.parse().ok()?, text)
        }
        _ => return None,
    };
    let (month, text) = two_digits(text)?;
    let (day, text) = two_digits(text)?;
    let (hour, text) = two_digits(text)?;
    let (minute, text) = two_digits(text)?;
    let (second, text) = two_digits(text)?;
    if second > 60 || !text.is_empty() {
        return None;
    }
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms(hour, minute, 0).ok()?;
    Some(UtcDateTime::new(date, time).unix_timestamp() + i64::from(second))
}

fn two_digits(text: &str) -> Option<(u8, &str)> {
    let (number, rest) = text.split_at_checked(2)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Option<i64> {
        read_time(Element { tag, content: text.as_bytes(), whole: &[] })
    }

    #[test]
    fn known_moments() {
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, "20000229120000Z"), Some(951_825_600));
        assert_eq!(time(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        assert_eq!(time(UTC_TIME, "161231235960Z"), time(UTC_TIME, "170101000000Z"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "Z",
            "20001301000000Z",
            "20000431000000Z",
            "20000101000061Z",
            "2000010100000Z",
            "20000101000000",
            "2000010100000éZ",
            "-0000101000000Z",
        ] {
            assert_eq!(time(GENERALIZED_TIME, text), None, "{text}");
        }
    }
}
