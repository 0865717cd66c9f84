use super::der::{Element, GENERALIZED_TIME, UTC_TIME};

/// A Time of RFC 5280, section 4.1.2.5, in seconds since 1970; `None` when it is malformed.
pub(super) fn read_time(element: Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|character| character.is_ascii_digit()) {
        return None;
    }
    let (year, text) = match element.tag {
        UTC_TIME => {
            let (year, text) = take(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        GENERALIZED_TIME => take(text, 4)?,
        _ => return None,
    };
    let (month, text) = take(text, 2)?;
    let (day, text) = take(text, 2)?;
    let (hour, text) = take(text, 2)?;
    let (minute, text) = take(text, 2)?;
    let (second, text) = take(text, 2)?;
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && text.is_empty();
    valid.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn take(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March so that the leap day is
/// their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
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
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "Z",
            "20001301000000Z",
            "2000010100000Z",
            "20000101000000",
            "2000010100000éZ",
            "-0000101000000Z",
        ] {
            assert_eq!(time(GENERALIZED_TIME, text), None, "{text}");
        }
    }
}
