//! The one form of a message, and what is refused because it is another.
#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::collections::BTreeMap;

use pawl_proto::codec::{DecodeError, Version, decode, encode};
use pawl_proto::message::{Event, EventKind, Status};
use pawl_proto::{DeviceId, Epoch, EventId, Text};
use proptest::prelude::*;
use serde::Serialize;

const LIMIT: usize = 1024;

fn event() -> Event {
    Event {
        version: Version,
        id: EventId::from_random([3; 16]),
        kind: EventKind::Revoke,
        device: DeviceId::from_digest([5; 32]),
        epoch: Epoch(7),
        sequence: 300,
        time: 1_800_000_000,
        reason: Text::new("left in a taxi").unwrap(),
    }
}

#[test]
fn a_message_survives_the_way_there_and_back() {
    let bytes = encode(&event()).unwrap();
    assert_eq!(decode::<Event>(&bytes, LIMIT).unwrap(), event());
}

/// Whatever the machine's word is, and with a time past what 31 bits of seconds hold.
#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let written = concat!(
        "a8",
        "6269647820",
        "3033303330333033303330333033303330333033303330333033303330333033",
        "646b696e64667265766f6b65",
        "6474696d651aa586b500",
        "6565706f636807",
        "666465766963657820",
        "617563716b626966617563716b626966617563716b626966617563716b626966",
        "66726561736f6e6e6c65667420696e20612074617869",
        "6776657273696f6e01",
        "6873657175656e636519012c",
    );
    let event = Event { time: 2_777_068_800, ..event() };
    assert_eq!(hex::encode(encode(&event).unwrap()), written);
    assert_eq!(decode::<Event>(&hex::decode(written).unwrap(), LIMIT).unwrap(), event);
}

#[test]
fn keys_stand_in_bytewise_order_of_their_encodings() {
    let bytes = encode(&event()).unwrap();
    let position = |key: &str| bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
    // RFC 8949, section 4.2.1: a shorter text has a smaller first byte.
    assert!(position("id") < position("kind"));
    assert!(position("kind") < position("time"));
    assert!(position("time") < position("epoch"));
    assert!(position("version") < position("sequence"));
}

#[test]
fn unknown_keys_are_ignored() {
    #[derive(Serialize)]
    struct Newer {
        #[serde(flatten)]
        event: Event,
        colour: &'static str,
    }
    let bytes = encode(&Newer { event: event(), colour: "green" }).unwrap();
    assert_eq!(decode::<Event>(&bytes, LIMIT).unwrap(), event());
}

#[test]
fn another_version_is_refused_as_that() {
    #[derive(Serialize)]
    struct Other {
        version: u64,
    }
    for version in [0, 2, u64::MAX] {
        let bytes = encode(&Other { version }).unwrap();
        assert_eq!(decode::<Event>(&bytes, LIMIT), Err(DecodeError::Version), "version {version}");
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_parsed() {
    let bytes = encode(&event()).unwrap();
    assert!(matches!(decode::<Event>(&bytes, bytes.len() - 1), Err(DecodeError::TooLong(_))));
}

#[test]
fn nesting_is_bounded_before_it_is_parsed() {
    let nested = |levels: usize| [vec![0x81; levels], vec![0x00]].concat();
    assert_eq!(decode::<Event>(&nested(17), LIMIT), Err(DecodeError::TooDeep));
    assert!(matches!(decode::<Event>(&nested(16), LIMIT), Err(DecodeError::Malformed(_))));
    let maps = [[0xa1, 0x00].repeat(500), vec![0x00]].concat();
    assert_eq!(decode::<Event>(&maps, LIMIT * 2), Err(DecodeError::TooDeep));
    let indefinite = vec![0x9f; 1000];
    assert!(decode::<Event>(&indefinite, LIMIT).is_err());
}

#[test]
fn a_declared_length_allocates_nothing() {
    // A byte string, a text, an array and a map that claim 2^62 elements.
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let bytes = [vec![head], (1_u64 << 62).to_be_bytes().to_vec()].concat();
        assert!(matches!(decode::<Event>(&bytes, LIMIT), Err(DecodeError::Malformed(_))));
    }
}

#[test]
fn other_forms_of_the_same_value_are_refused() {
    // The same small map, written in ways that RFC 8949 allows and its deterministic form does not.
    let longer_integer = [0xa1, 0x61, b'a', 0x18, 0x01];
    let indefinite_map = [0xbf, 0x61, b'a', 0x01, 0xff];
    let indefinite_text = [0xa1, 0x7f, 0x61, b'a', 0xff, 0x01];
    let wrong_order = [0xa2, 0x61, b'b', 0x01, 0x61, b'a', 0x02];
    let twice = [0xa2, 0x61, b'a', 0x01, 0x61, b'a', 0x01];
    let wide_float = [0xa1, 0x61, b'a', 0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0];
    for bytes in
        [longer_integer.as_slice(), &indefinite_map, &indefinite_text, &wrong_order, &twice, &wide_float]
    {
        let refused = decode::<BTreeMap<String, serde_json::Value>>(bytes, LIMIT);
        assert!(
            matches!(refused, Err(DecodeError::NotCanonical | DecodeError::Malformed(_))),
            "{bytes:02x?} gave {refused:?}"
        );
    }
    let only_form = [0xa1, 0x61, b'a', 0x01];
    assert!(decode::<BTreeMap<String, u8>>(&only_form, LIMIT).is_ok());
}

#[test]
fn another_type_in_the_place_of_a_text_is_refused() {
    // What serde would take for the same message: a byte string for a text, the number of a field
    // for its name, an array for a map, and null for nothing.
    let named: &[(&str, &[u8], &[u8])] = &[
        ("a byte string for a text", b"\x66revoke", b"\x46revoke"),
        ("a byte string for a key", b"\x64kind", b"\x44kind"),
    ];
    let bytes = encode(&event()).unwrap();
    for (what, text, other) in named {
        let at = bytes.windows(text.len()).position(|window| window == *text).unwrap();
        let changed = [&bytes[..at], other, &bytes[at + text.len()..]].concat();
        assert!(decode::<Event>(&changed, LIMIT).is_err(), "{what}");
    }
    let as_array = serde_cbor::to_vec(&(1, event().id, "revoke", event().device, 7, 300, 0, "")).unwrap();
    assert!(decode::<Event>(&as_array, LIMIT).is_err(), "an array for a map");
    assert!(decode::<BTreeMap<String, Option<u8>>>(&[0xa1, 0x61, b'a', 0xf6], LIMIT).is_err(), "null");
}

#[test]
fn trailing_and_missing_bytes_are_refused() {
    let bytes = encode(&event()).unwrap();
    for length in 0..bytes.len() {
        assert!(decode::<Event>(&bytes[..length], LIMIT).is_err(), "cut at {length}");
    }
    assert!(decode::<Event>(&[bytes, vec![0]].concat(), LIMIT).is_err());
}

#[test]
fn texts_that_could_forge_a_log_line_are_refused() {
    #[derive(Serialize)]
    struct Forged {
        #[serde(flatten)]
        event: Event,
        reason: &'static str,
    }
    let bytes = encode(&Forged { event: event(), reason: "fine\nroot logged in" });
    assert!(bytes.is_err() || decode::<Event>(&bytes.unwrap(), LIMIT).is_err());
    assert!(Text::<8>::new("\u{1b}[2J").is_err());
    assert_eq!(Text::<4>::lossy("a\nbäc").as_str(), "a b");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<Event>(&bytes, LIMIT);
        let _ = decode::<Status>(&bytes, LIMIT);
    }

    #[test]
    fn what_is_accepted_could_have_been_written(at in 0_usize..1000, bit in 0_u8..8) {
        let mut bytes = encode(&event()).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = decode::<Event>(&bytes, LIMIT) {
            // A changed key is an unknown key, and ignored; then a field is missing.
            prop_assert_eq!(encode(&changed).unwrap(), bytes);
        }
    }
}
