//! The test vectors in `vectors/`: what the code writes, what it reads, and what `pawl.cddl` says, are the same.
//!
//! `PAWL_WRITE_VECTORS=1 cargo test -p pawl-proto --test vectors` writes the files again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says what it expects"
)]

mod cddl;
mod diagnostic;
mod samples;

use std::collections::BTreeSet;
use std::path::PathBuf;

use pawl_proto::message::{
    Area, Cause, DeviceState, Event, EventKind, Finding, RefusalCode, Standing, TrustTier, Verdict,
};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, Topic};
use serde_cbor::Value;
use serde_json::json;

use cddl::Schema;
use samples::{Vector, samples};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn file(vector: &Vector) -> serde_json::Value {
    let message: Value = serde_cbor::from_slice(&vector.bytes).unwrap();
    let mut file = json!({
        "rule": vector.rule,
        "cbor": hex::encode(&vector.bytes),
        "diagnostic": diagnostic::of(&message),
    });
    if let Some(cose) = &vector.signed {
        let key = samples::order_key();
        file["signed"] = json!({
            "topic": topic(vector).to_string(),
            "private_key": hex::encode(key.to_bytes()),
            "public_key": hex::encode(OrderKey::from(&key).to_sec1()),
            "cose_sign1": hex::encode(cose),
        });
    }
    file
}

fn topic(vector: &Vector) -> Topic {
    let channel = if vector.rule == "verdict" { Channel::Verdict } else { Channel::Event };
    Topic::new(samples::device(), channel)
}

#[test]
fn the_files_have_what_the_code_writes_and_the_code_reads_it_back() {
    let samples = samples();
    if std::env::var_os("PAWL_WRITE_VECTORS").is_some() {
        for vector in &samples {
            let text = format!("{}\n", serde_json::to_string_pretty(&file(vector)).unwrap());
            std::fs::write(directory().join(vector.file()), text).unwrap();
        }
    }
    for vector in &samples {
        let read = std::fs::read(directory().join(vector.file())).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&read).unwrap();
        assert_eq!(written, file(vector), "{}: see PROTOCOL.md, \"Test vectors\"", vector.name);
        (vector.read_back)(&vector.bytes);
    }
    let expected: BTreeSet<String> = samples.iter().map(Vector::file).collect();
    let found = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let found: BTreeSet<String> = found
        .map(|name| name.into_string().unwrap())
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_signatures_hold_for_their_topic_and_key_alone() {
    let samples = samples();
    let pinned = [OrderKey::from(&samples::order_key())];
    let other = Topic::new(samples::device(), Channel::Status);
    let mut count = 0;
    for vector in &samples {
        let Some(cose) = &vector.signed else { continue };
        count += 1;
        let encoded = match vector.rule {
            "verdict" => signed::verify::<Verdict>(cose, &topic(vector), &pinned)
                .map(|verdict| pawl_proto::encode(&verdict).unwrap()),
            _ => signed::verify::<Event>(cose, &topic(vector), &pinned)
                .map(|event| pawl_proto::encode(&event).unwrap()),
        };
        assert_eq!(encoded.as_ref(), Ok(&vector.bytes), "{}", vector.name);
        assert!(signed::verify::<Event>(cose, &other, &pinned).is_err());
        assert!(signed::verify::<Event>(cose, &topic(vector), &[]).is_err());
    }
    assert!(count >= 4, "{count} signed vectors");
}

#[test]
fn each_vector_fits_its_rule_and_together_they_use_every_rule_and_key() {
    let schema = Schema::read(include_str!("../../pawl.cddl"));
    let mut used = BTreeSet::new();
    for vector in samples() {
        let message = serde_cbor::from_slice(&vector.bytes).unwrap();
        schema
            .check(vector.rule, &message, &mut used)
            .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        if let Some(cose) = &vector.signed {
            let cose = serde_cbor::from_slice(cose).unwrap();
            schema
                .check("order", &cose, &mut used)
                .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        }
    }
    let unused: Vec<_> = schema.places().difference(&used).cloned().collect();
    assert!(unused.is_empty(), "no vector has {unused:?}");
}

#[test]
fn a_message_that_does_not_fit_its_rule_is_found() {
    let schema = Schema::read(include_str!("../../pawl.cddl"));
    let refresh = samples().into_iter().find(|vector| vector.name == "event-refresh").unwrap();
    let good: Value = serde_cbor::from_slice(&refresh.bytes).unwrap();
    let Value::Map(good) = good else { panic!("an event is a map") };
    let text = |text: &str| Value::Text(text.to_owned());
    for (key, value) in [
        ("kind", Value::Integer(3)),
        ("kind", text("Refresh")),
        ("device", text(&"1".repeat(32))),
        ("device", text("aa")),
        ("epoch", Value::Integer(-1)),
        ("version", Value::Integer(2)),
        ("reason", text(&"x".repeat(257))),
        ("colour", text("green")),
    ] {
        let mut changed = good.clone();
        changed.insert(text(key), value);
        assert!(schema.check("event", &Value::Map(changed), &mut BTreeSet::new()).is_err(), "{key}");
    }
    let mut missing = good;
    missing.remove(&text("id"));
    assert!(schema.check("event", &Value::Map(missing), &mut BTreeSet::new()).is_err());
}

#[test]
fn the_names_in_the_rules_are_those_of_the_code() {
    let schema = Schema::read(include_str!("../../pawl.cddl"));
    fn names<T: std::fmt::Display>(known: &[T]) -> Vec<String> {
        known.iter().map(ToString::to_string).collect()
    }
    for (rule, known) in [
        ("event-kind", names(EventKind::KNOWN)),
        ("trust-tier", names(TrustTier::KNOWN)),
        ("area", names(Area::KNOWN)),
        ("standing", names(Standing::KNOWN)),
        ("device-state", names(DeviceState::KNOWN)),
        ("cause", names(Cause::KNOWN)),
        ("finding", names(Finding::KNOWN)),
        ("refusal-code", names(RefusalCode::KNOWN)),
    ] {
        assert_eq!(schema.names(rule), known, "{rule}");
    }
}
