//! Values of a newer peer are kept by their names: the message is not malformed, and encodes to the same bytes.
#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use pawl_proto::codec::Version;
use pawl_proto::message::{
    Area, Cause, DeviceState, EventKind, Finding, Receipt, RefusalCode, Standing, TrustTier,
};
use pawl_proto::open::Word;
use pawl_proto::record::{DeviceFact, DeviceRecord};
use pawl_proto::{DecodeError, DeviceId, Epoch, PairingId, Text, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_cbor::Value;

const LIMIT: usize = 1024;

/// Checks the names of an enum: those that it knows, and one that it does not.
fn check<T>(known: &[T])
where
    T: Copy + PartialEq + std::fmt::Debug + std::fmt::Display + Serialize + DeserializeOwned + From<Word>,
{
    for value in known {
        let bytes = encode(value).unwrap();
        assert_eq!(decode::<T>(&bytes, LIMIT).unwrap(), *value);
        assert_eq!(decode::<String>(&bytes, LIMIT).unwrap(), value.to_string());
        assert_eq!(T::from(value.to_string().parse().unwrap()), *value);
    }
    let newer = encode(&"of-tomorrow-2").unwrap();
    let unknown: T = decode(&newer, LIMIT).unwrap();
    assert!(!known.contains(&unknown));
    assert_eq!(unknown.to_string(), "of-tomorrow-2");
    assert_eq!(encode(&unknown).unwrap(), newer);
    let json = serde_json::to_string(&unknown).unwrap();
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), unknown);
    for name in ["", "Revoke", "re voke", "revoke\n", "a_b", &"a".repeat(33)] {
        assert!(
            matches!(decode::<T>(&encode(&name).unwrap(), LIMIT), Err(DecodeError::Malformed(_))),
            "{name:?}"
        );
    }
}

#[test]
fn an_unknown_name_is_kept_and_a_text_that_is_no_name_is_malformed() {
    check(EventKind::KNOWN);
    check(Finding::KNOWN);
    check(RefusalCode::KNOWN);
    check(Cause::KNOWN);
    check(DeviceState::KNOWN);
    check(Standing::KNOWN);
    check(TrustTier::KNOWN);
    check(Area::KNOWN);
}

#[test]
fn an_unknown_result_is_worse_than_every_known_one() {
    let unknown = TrustTier::from("uncertain".parse::<Word>().unwrap());
    assert!(TrustTier::KNOWN.iter().all(|known| *known < unknown));
}

#[test]
fn a_receipt_with_an_unknown_cause_is_read() {
    let receipt = Receipt {
        version: Version,
        device: DeviceId::from_digest([1; 32]),
        pairing: PairingId::from_random([2; 16]),
        ended: Epoch(3),
        epoch: Epoch(4),
        event: None,
        cause: "tamper-switch".parse::<Word>().unwrap().into(),
        reason: Text::default(),
        time: 5,
    };
    let bytes = encode(&receipt).unwrap();
    assert_eq!(decode::<Receipt>(&bytes, LIMIT).unwrap(), receipt);
}

fn record(fact: Value) -> Vec<u8> {
    let text = |text: &str| Value::Text(text.to_owned());
    let entries = [
        (text("version"), Value::Integer(1)),
        (text("sequence"), Value::Integer(1)),
        (text("time"), Value::Integer(5)),
        (text("fact"), fact),
    ];
    encode(&Value::Map(entries.into())).unwrap()
}

fn fact(kind: &str, detail: Option<Value>) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let detail = detail.map(|detail| (text("detail"), detail));
    Value::Map([(text("kind"), text(kind))].into_iter().chain(detail).collect())
}

#[test]
fn a_record_with_an_unknown_fact_is_kept_byte_for_byte() {
    let odd = Value::Map([(Value::Bytes(vec![1, 2]), Value::Array(vec![Value::Integer(-3)]))].into());
    for detail in [None, Some(odd)] {
        let bytes = record(fact("moon-phase", detail.clone()));
        let read: DeviceRecord = decode(&bytes, LIMIT).unwrap();
        assert_eq!(read.fact.kind(), "moon-phase");
        assert!(matches!(read.fact, DeviceFact::Unknown(_)));
        assert_eq!(encode(&read).unwrap(), bytes);
        // JSON has no byte strings and no such keys.
        let json = serde_json::to_value(&read.fact).unwrap();
        let shown = detail.map(|_| "a1420102812".to_owned() + "2");
        assert_eq!(json.get("detail").and_then(|detail| detail.as_str()), shown.as_deref());
    }
}

#[test]
fn a_known_fact_with_another_detail_is_malformed() {
    for detail in [None, Some(Value::Integer(1)), Some(Value::Map([].into()))] {
        let bytes = record(fact("missed", detail));
        assert!(matches!(decode::<DeviceRecord>(&bytes, LIMIT), Err(DecodeError::Malformed(_))));
    }
    let known: DeviceRecord = decode(
        &record(fact("missed", Some(Value::Map([(Value::Text("count".into()), Value::Integer(2))].into())))),
        LIMIT,
    )
    .unwrap();
    assert_eq!(known.fact, DeviceFact::Missed { count: 2 });
}
