//! A minimal ASN.1 reader for certificates. It follows tags and lengths and accepts any order in sets and long
//! forms of lengths, because certificates of TPM vendors violate both rules. Signatures are verified over the
//! received bytes, so leniency is safe.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::{Date, Month, Time, UtcDateTime};

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A cursor over the elements of one constructed value. Every function returns `None` if the bytes are
/// malformed.
#[derive(Clone)]
pub(super) struct Der<'a>(&'a [u8]);

/// One tag, length and value.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Including tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the unread bytes.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn any(&mut self) -> Option<Element<'a>> {
        let (tag, rest) = self.0.split_first()?;
        // Certificates have no tags of more than one byte.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = read_length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        let (whole, _) = self.0.split_at_checked(self.0.len().checked_sub(rest.len())?)?;
        self.0 = rest;
        Some(Element { tag: *tag, content, whole })
    }

    pub(super) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|element| element.tag == tag)
    }

    /// Returns the content of a constructed value.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(|element| Self(element.content))
    }

    /// Returns the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = self.clone();
        let element = ahead.expect(tag)?;
        *self = ahead;
        Some(element)
    }

    /// Returns the content of a BIT STRING without unused bits.
    pub(super) fn bit_string(&mut self) -> Option<&'a [u8]> {
        self.expect(BIT_STRING)?.content.strip_prefix(&[0])
    }

    /// Returns a positive INTEGER without leading zeros.
    pub(super) fn positive_integer(&mut self) -> Option<&'a [u8]> {
        let digits = self.expect(INTEGER)?.content;
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let negative = digits.first().is_some_and(|digit| digit & 0x80 != 0);
        digits
            .split_at_checked(zeros)
            .map(|(_, digits)| digits)
            .filter(|digits| !digits.is_empty() && !negative)
    }
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first {
        0x00..=0x7f => Some((usize::from(*first), rest)),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = digits.iter().fold(0_u64, |length, digit| length << 8 | u64::from(*digit));
            Some((usize::try_from(length).ok()?, rest))
        }
        // An indefinite length, or one larger than memory.
        _ => None,
    }
}

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

const BEGIN: &str = "-----BEGIN ";

pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Returns the certificates between their markers, in DER; ignores text outside of them. `None` if a marker or
/// the Base64 is malformed.
pub(crate) fn pem_certificates(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    pem_blocks(bytes, "CERTIFICATE")
}

/// Returns the revocation lists in the same way.
pub(crate) fn pem_revocation_lists(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    pem_blocks(bytes, "X509 CRL")
}

/// Returns the blocks with this label (RFC 7468) in the same way.
pub(super) fn pem_blocks(bytes: &[u8], label: &str) -> Option<Vec<Vec<u8>>> {
    let text = String::from_utf8_lossy(bytes);
    let end = format!("-----END {label}-----");
    text.split(&format!("-----BEGIN {label}-----"))
        .skip(1)
        .map(|block| {
            let (base64, _comment) = block.split_once(&end)?;
            let base64: String = base64.split_ascii_whitespace().collect();
            STANDARD.decode(base64).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_malformed() {
        assert!(Der::new(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).any().is_none());
        assert!(Der::new(&[0x30, 0x80, 0, 0]).any().is_none());
        assert!(Der::new(&[0x30]).any().is_none());
    }

    #[test]
    fn a_long_form_of_a_short_length_is_read() {
        let element = Der::new(&[0x04, 0x82, 0x00, 0x01, 7]).any();
        assert_eq!(element.map(|element| element.content), Some(&[7][..]));
    }

    fn time(tag: u8, text: &str) -> Option<i64> {
        read_time(Element { tag, content: text.as_bytes(), whole: &[] })
    }

    #[test]
    fn times_are_read_as_seconds_since_1970() {
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(GENERALIZED_TIME, "20000229120000Z"), Some(951_825_600));
        assert_eq!(time(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        assert_eq!(time(UTC_TIME, "161231235960Z"), time(UTC_TIME, "170101000000Z"));
    }

    #[test]
    fn malformed_times_are_refused() {
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
