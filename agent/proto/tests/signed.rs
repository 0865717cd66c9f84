//! Orders count for the topic and the key that they were signed with, and for nothing else.
#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use p256::ecdsa::SigningKey;
use pawl_proto::codec::{DecodeError, Version};
use pawl_proto::message::{Event, EventKind};
use pawl_proto::signed::{OrderKey, VerifyError, sign, verify};
use pawl_proto::{Channel, DeviceId, Epoch, EventId, Text, Topic, limits};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn topic(device: u8) -> Topic {
    Topic::new(DeviceId::from_digest([device; 32]), Channel::Event)
}

fn event() -> Event {
    Event {
        version: Version,
        id: EventId::from_random([3; 16]),
        kind: EventKind::Revoke,
        device: DeviceId::from_digest([1; 32]),
        epoch: Epoch(7),
        sequence: 1,
        time: 0,
        reason: Text::default(),
    }
}

#[test]
fn an_order_is_believed_on_its_topic_from_a_pinned_key() {
    let message = sign(&event(), &topic(1), &key(9)).unwrap();
    let pinned = [OrderKey::from(&key(8)), OrderKey::from(&key(9))];
    assert_eq!(verify::<Event>(&message, &topic(1), &pinned).unwrap(), event());
}

#[test]
fn another_topic_or_another_key_is_refused() {
    let message = sign(&event(), &topic(1), &key(9)).unwrap();
    let pinned = [OrderKey::from(&key(9))];
    assert_eq!(verify::<Event>(&message, &topic(2), &pinned), Err(VerifyError::Signature));
    let verdict = Topic::new(topic(1).device, Channel::Verdict);
    assert_eq!(verify::<Event>(&message, &verdict, &pinned), Err(VerifyError::Signature));
    let others = [OrderKey::from(&key(8))];
    assert_eq!(verify::<Event>(&message, &topic(1), &others), Err(VerifyError::UnknownKey));
    assert_eq!(verify::<Event>(&message, &topic(1), &[]), Err(VerifyError::UnknownKey));
}

#[test]
fn size_and_nesting_are_bounded_before_anything_is_parsed() {
    let long = vec![0; limits::ORDER + 1];
    assert!(matches!(
        verify::<Event>(&long, &topic(1), &[]),
        Err(VerifyError::Payload(DecodeError::TooLong(_)))
    ));
    let deep = vec![0x81; 1000];
    assert_eq!(verify::<Event>(&deep, &topic(1), &[]), Err(VerifyError::Payload(DecodeError::TooDeep)));
}

#[test]
fn a_key_survives_its_encoding_and_a_wrong_point_is_none() {
    let known = OrderKey::from(&key(9));
    assert_eq!(OrderKey::from_sec1(&known.to_sec1()).unwrap(), known);
    assert_eq!(OrderKey::from_sec1(&[2; 33]).err(), None, "x = 0x0202… is on the curve by chance");
    assert!(OrderKey::from_sec1(&[4; 65]).is_err());
    assert!(OrderKey::from_sec1(&[]).is_err());
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(at in 0_usize..1000, bit in 0_u8..8) {
        let mut message = sign(&event(), &topic(1), &key(9)).unwrap();
        let at = at % message.len();
        message[at] ^= 1 << bit;
        prop_assert!(verify::<Event>(&message, &topic(1), &[OrderKey::from(&key(9))]).is_err());
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = verify::<Event>(&bytes, &topic(1), &[OrderKey::from(&key(9))]);
    }
}
