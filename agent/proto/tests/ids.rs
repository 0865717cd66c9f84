//! Ids and topics that cannot be built wrong.

use pawl_proto::{Channel, DeviceId, EventId, PairingId, SessionId, Topic};
use proptest::prelude::*;

#[test]
fn a_device_id_is_the_base32_of_the_digest() {
    // RFC 4648, section 10, gives the alphabet; the value is from coreutils: base32 of these bytes.
    let digest = std::array::from_fn(|i| u8::try_from(i).unwrap());
    assert_eq!(DeviceId::from_digest(digest).to_string(), "aaaqeayeaudaocajbifqydiob4ibceqt");
    let empty = DeviceId::from_endorsement_key(b"");
    assert_eq!(empty.to_string(), "4oymiquy7qobjgx36tejs35zeqt24qpe");
}

#[test]
fn ids_of_another_form_are_refused() {
    for text in [
        "",
        "aaaqeayeaudaocajbifqydiob4ibceq",
        "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT",
        "aaaqeayeaudaocajbifqydiob4ibceq1",
    ] {
        assert!(text.parse::<DeviceId>().is_err(), "{text}");
    }
    for text in [
        "",
        "0",
        "0123456789abcdef0123456789abcdeF",
        "0123456789abcdef0123456789abcdefa",
        "é123456789abcdef0123456789abcde",
    ] {
        assert!(text.parse::<PairingId>().is_err(), "{text}");
        assert!(text.parse::<EventId>().is_err(), "{text}");
        assert!(text.parse::<SessionId>().is_err(), "{text}");
    }
}

#[test]
fn topics_of_another_form_are_refused() {
    let device = DeviceId::from_digest([0; 32]);
    for text in [
        String::new(),
        "pawl/v1".to_owned(),
        format!("pawl/v2/{device}/event"),
        format!("pawl/v1/{device}"),
        format!("pawl/v1/{device}/events"),
        format!("pawl/v1/{device}/event/"),
        format!("/pawl/v1/{device}/event"),
        "pawl/v1/+/event".to_owned(),
        "pawl/v1/#".to_owned(),
    ] {
        assert!(text.parse::<Topic>().is_err(), "{text}");
    }
    assert_eq!(Channel::Posture.of_every_device(), "pawl/v1/+/posture");
}

proptest! {
    #[test]
    fn ids_and_topics_survive_their_text(digest: [u8; 32], id: [u8; 16]) {
        let device = DeviceId::from_digest(digest);
        prop_assert_eq!(device.to_string().parse(), Ok(device));
        let pairing = PairingId::from_random(id);
        prop_assert_eq!(pairing.to_string().parse(), Ok(pairing));
        for channel in [Channel::Status, Channel::Posture, Channel::Receipt, Channel::Verdict, Channel::Event] {
            let topic = Topic::new(device, channel);
            prop_assert_eq!(topic.to_string().parse(), Ok(topic));
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,80}") {
        let _ = text.parse::<DeviceId>();
        let _ = text.parse::<PairingId>();
        let _ = text.parse::<Topic>();
    }
}
