//! Serializes a digest as 64 lower-case hexadecimal digits. Only this form is accepted, so that equal digests
//! are equal texts.

use serde::{Deserialize as _, Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&::hex::encode(digest))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom("not 64 lower-case hexadecimal digits"))
}

fn parse(text: &str) -> Option<[u8; 32]> {
    crate::lower_hex::read(text.as_bytes())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_alone_is_read() {
        let good = "00ff".repeat(16);
        assert_eq!(parse(&good), Some([0x00, 0xff].repeat(16).try_into().unwrap()));
        for bad in [good.to_uppercase(), "00f".repeat(21), format!("{good}00"), good.replace('f', "g")] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
