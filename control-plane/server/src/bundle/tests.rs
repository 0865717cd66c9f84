use std::sync::Arc;

use pawl_proto::message::{EventKind, PairingRequest, ShortText};

use super::{Bundle, Chain, Check, Contents, check, collect};
use crate::control_plane::ControlPlane;
use crate::orders;
use crate::pairing;
use pawl_verifier::record::Fact;

use crate::testing::{ActionAttempt, Device, Records, Rig, authorization, decode_verdict};

/// Returns a device with a record of each kind that `check` verifies.
async fn eventful() -> (Rig, Device) {
    let (rig, persons) =
        Rig::approved_by("pair = 1\n[[action]]\nname = \"restart\"\napprovals = 0\n", &["alice"]);
    let mut device = Device::enrolled(&rig.plane).await;
    let mut records = Records::of(2, 1);
    device.audit = Some(records.after(0));
    let (asked, waiting) = device.ask_persons(&rig.plane, device.request()).await;
    let approval = persons[0].sign(&waiting.statement);
    let approved = asked.approve(&rig.plane, approval).await.unwrap().approved();
    let proof = device.proof(asked.id, &approved);
    let grant = pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
    let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
    assert_eq!(verdict.records, 2, "the proof's report brings records");

    records.grow(3, 1);
    device.audit = Some(records.after(2));
    let report = device.report(verdict.nonce, verdict.answers);
    let message = pawl_proto::encode(&report).unwrap();
    crate::posture::receive(&rig.plane, device.id(), message).await.unwrap();

    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    authorization(&rig.plane, &offer, &[7; 32]).await.unwrap();

    let reason = ShortText::lossy("sold");
    let ordered = orders::order(&rig.plane, device.id(), EventKind::Revoke, reason).await.unwrap();
    let receipt = device.wipe(Some(&ordered.event));
    orders::receive_receipt(&rig.plane, None, receipt).await.unwrap();
    (rig, device)
}

async fn contents(plane: &Arc<ControlPlane>, device: &Device) -> Contents {
    let (plane_in_tx, id) = (Arc::clone(plane), device.id());
    plane.store.transaction(move |tx| collect(&plane_in_tx, tx, id)).await.unwrap()
}

async fn bundle(plane: &Arc<ControlPlane>, device: &Device) -> Vec<u8> {
    let authority = plane.keys.authority.certificate();
    let contents = contents(plane, device).await;
    Bundle::sign(contents, &plane.keys.audit, authority).unwrap().write().unwrap()
}

#[tokio::test]
async fn a_bundle_with_every_kind_of_record_is_verified() {
    let (rig, device) = eventful().await;
    let bytes = bundle(&rig.plane, &device).await;
    let contents = Bundle::read(&bytes).unwrap().verify(rig.plane.keys.authority.certificate()).unwrap();
    let checked = check(&contents);
    assert_eq!(checked.failures, []);
    assert_eq!((checked.pairings, checked.quotes, checked.leases), (1, 2, 2));
    assert_eq!((checked.receipts, checked.approvals, checked.assurances), (1, 1, 1));
    assert_eq!((checked.device_records, checked.unchecked), (5, 0));
    assert!(checked.approvers[0].starts_with("alice namespaces=\"pawl-approval@v1\" ssh-ed25519 "));
}

/// A newer control plane wrote the record, and an older program checks it.
#[tokio::test]
async fn a_fact_of_a_newer_version_is_counted_and_its_chain_checked() {
    let (rig, device) = eventful().await;
    let newer = |kind: &str| -> Result<Fact, _> {
        serde_json::from_value(serde_json::json!({"kind": kind, "detail": {"moons": 2}}))
    };
    let (id, fact) = (device.id(), newer("moon-phase").unwrap());
    rig.plane.store.transaction(move |tx| tx.record(id, 9, fact)).await.unwrap();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await;
    let records = records.unwrap_or_else(|error: crate::store::ChainError| panic!("{error}"));
    let (last, link) = records.last().unwrap();
    assert_eq!(last.fact.kind(), "moon-phase");
    assert_eq!(pawl_proto::encode(last).unwrap(), link.body);
    let mut contents = contents(&rig.plane, &device).await;
    let checked = check(&contents);
    assert_eq!((checked.failures.as_slice(), checked.unchecked), ([].as_slice(), 1));
    *contents.records.last_mut().unwrap().body.0.last_mut().unwrap() ^= 1;
    assert_eq!(check(&contents).failures[0].check, Check::Chain);
    assert!(newer("verdict").is_err(), "a known fact with another detail is taken for an unknown one");
}

#[tokio::test]
async fn any_altered_byte_is_found() {
    let (rig, device) = eventful().await;
    let good = bundle(&rig.plane, &device).await;
    let authority = rig.plane.keys.authority.certificate();
    let is_valid = |bytes: &[u8]| Bundle::read(bytes).is_ok_and(|bundle| bundle.verify(authority).is_ok());
    assert!(is_valid(&good));
    // Altering each byte would take minutes in a debug build; a prime step reaches every kind of member.
    for place in (0..good.len()).step_by(211).chain([0, good.len() - 2, good.len() - 1]) {
        for flipped in [0x01, 0x20] {
            let mut bytes = good.clone();
            bytes[place] ^= flipped;
            assert!(!is_valid(&bytes), "byte {place} of {}", good.len());
        }
    }
    assert!(!is_valid(&[&good[..], b" "].concat()));
    assert!(!is_valid(&good[..good.len() - 1]));
}

#[tokio::test]
async fn the_signature_shows_that_records_were_dropped() {
    let (rig, device) = eventful().await;
    let bundle = Bundle::read(&bundle(&rig.plane, &device).await).unwrap();
    let authority = rig.plane.keys.authority.certificate();
    let last = bundle.contents.records.len() - 1;
    for place in [0, last / 2, last] {
        let mut cut = bundle.clone();
        cut.contents.records.remove(place);
        assert!(cut.verify(authority).is_err(), "record {place}");
    }
    let mut cut = bundle.clone();
    cut.contents.device_records.pop();
    assert!(cut.verify(authority).is_err());
}

#[tokio::test]
async fn a_bundle_of_another_authority_is_not_believed() {
    let (rig, device) = eventful().await;
    let bytes = bundle(&rig.plane, &device).await;
    let other = Rig::new();
    let error = Bundle::read(&bytes).unwrap().verify(other.plane.keys.authority.certificate()).unwrap_err();
    assert!(error.to_string().contains("this authority"), "{error}");
    // An audit key of another authority, with this authority's certificate beside it.
    let authority = rig.plane.keys.authority.certificate();
    let contents = contents(&rig.plane, &device).await;
    let forged = Bundle::sign(contents, &other.plane.keys.audit, authority).unwrap();
    assert!(forged.verify(authority).is_err());
}

/// An operator who has the database and the audit key, but no other key, could forge such records.
#[tokio::test]
async fn each_kind_of_record_is_checked_against_its_evidence() {
    let (rig, device) = eventful().await;
    let good = contents(&rig.plane, &device).await;
    let cases = [
        ("verdict", "quote", Check::Quote),
        ("verdict", "evidence", Check::Quote),
        ("verdict", "resets", Check::Quote),
        ("lease", "signature", Check::Lease),
        ("lease", "clock", Check::Lease),
        ("lease", "reset_count", Check::Lease),
        ("receipt", "attest", Check::Receipt),
        ("receipt", "ended", Check::Receipt),
        ("receipt", "reason", Check::Receipt),
        ("approved", "signature", Check::Approval),
        ("approved", "statement", Check::Approval),
        ("approved", "principal", Check::Approval),
        ("approved", "origin", Check::Approval),
        ("paired", "attestation_key", Check::Quote),
        ("paired", "policy_ref", Check::Lease),
        ("assurance", "subject", Check::Assurance),
        ("assurance", "epoch", Check::Assurance),
    ];
    for (kind, member, expected) in cases {
        let mut forged = good.clone();
        assert!(forge(&mut forged, kind, member), "{kind}.{member}");
        let failures = check(&forged).failures;
        assert!(failures.iter().any(|failure| failure.check == expected), "{kind}.{member}: {failures:?}");
        assert!(
            failures.iter().all(|failure| failure.check != Check::Chain),
            "the forged chain is consistent"
        );
    }
}

#[tokio::test]
async fn a_quote_by_a_key_outside_the_endorsement_hierarchy_is_found() {
    use pawl_proto::record::Link;
    use pawl_verifier::record::{Fact, Record};

    let (rig, mut device) = eventful().await;
    let mut forged = contents(&rig.plane, &device).await;
    device.tpm.hierarchy = crate::testing::OWNER;
    let mut previous = Link::START;
    for entry in &mut forged.records {
        let mut record: Record = pawl_proto::decode(&entry.body.0, 1 << 20).unwrap();
        if let Fact::Verdict { evidence, quote, signature, at, .. } = &mut record.fact {
            let (attest, signed) = device.tpm.quote(&hex::decode(evidence).unwrap());
            (*quote, *signature) = (hex::encode(attest.as_bytes()), hex::encode(signed.as_bytes()));
            *at = None;
        }
        let link = Link::forge(previous, &record).unwrap();
        previous = link.digest;
        *entry = super::Entry::new(link);
    }
    let failures = check(&forged).failures;
    let quotes: Vec<_> = failures.iter().filter(|failure| failure.check == Check::Quote).collect();
    assert_eq!(quotes.len(), 2, "{failures:?}");
    assert!(quotes.iter().all(|failure| failure.problem.contains("endorsement hierarchy")), "{quotes:?}");
}

/// Alters one member of the first record of this kind that has it, and computes the chain again. Returns whether there
/// was such a record.
fn forge(contents: &mut Contents, kind: &str, member: &str) -> bool {
    use pawl_proto::record::Link;
    use serde_json::Value;

    fn alter(value: &mut Value, member: &str) -> bool {
        match value {
            Value::Object(members) => match members.get_mut(member) {
                Some(Value::String(text)) => {
                    let middle = text.len() / 2;
                    let other = if text.as_bytes()[middle] == b'1' { "2" } else { "1" };
                    text.replace_range(middle..=middle, other);
                    true
                }
                Some(Value::Number(number)) => {
                    *members.get_mut(member).unwrap() = Value::from(number.as_u64().unwrap() + 1);
                    true
                }
                _ => members.values_mut().any(|value| alter(value, member)),
            },
            Value::Array(items) => items.iter_mut().any(|item| alter(item, member)),
            _ => false,
        }
    }

    let mut altered = false;
    let mut previous = Link::START;
    for entry in &mut contents.records {
        let record: pawl_verifier::record::Record = pawl_proto::decode(&entry.body.0, 1 << 20).unwrap();
        let mut value = serde_json::to_value(record).unwrap();
        if !altered && value["kind"] == kind {
            altered = alter(&mut value["detail"], member);
        }
        let record: pawl_verifier::record::Record = serde_json::from_value(value).unwrap();
        let link = Link::forge(previous, &record).unwrap();
        previous = link.digest;
        *entry = super::Entry::new(link);
    }
    altered
}

#[tokio::test]
async fn the_check_names_an_altered_record() {
    let (rig, device) = eventful().await;
    let good = contents(&rig.plane, &device).await;
    for place in 0..good.records.len() {
        let mut altered = good.clone();
        *altered.records[place].body.0.last_mut().unwrap() ^= 1;
        let failures = check(&altered).failures;
        let (chain, sequence) = (failures[0].chain, failures[0].sequence);
        assert_eq!((chain, sequence), (Chain::ControlPlane, place as u64 + 1), "{failures:?}");
    }
    let mut cut = good.clone();
    cut.records.remove(3);
    assert_eq!(check(&cut).failures[0].check, Check::Chain);
    let mut other = good.clone();
    other.device = Device::new().id();
    assert_eq!(check(&other).failures[0].check, Check::Chain);
}

#[tokio::test]
async fn the_devices_own_records_are_compared_with_the_recorded_heads() {
    let (rig, device) = eventful().await;
    let good = contents(&rig.plane, &device).await;

    let mut altered = good.clone();
    *altered.device_records[1].record.body.0.last_mut().unwrap() ^= 1;
    let failure = check(&altered).failures.remove(0);
    assert_eq!((failure.chain, failure.sequence, failure.check), (Chain::Device, 2, Check::Chain));

    let mut middle = good.clone();
    middle.device_records.remove(2);
    assert_eq!(check(&middle).failures[0].problem, "records before it are missing");

    let mut end = good.clone();
    end.device_records.pop();
    assert_eq!(check(&end).failures[0].check, Check::Head);

    let mut all = good.clone();
    all.device_records.clear();
    assert_eq!(check(&all).failures[0].check, Check::Head);
}

#[tokio::test]
async fn a_pairing_without_an_approval_is_found() {
    let (rig, device) = eventful().await;
    let mut forged = contents(&rig.plane, &device).await;
    let decode = |entry: &super::Entry| {
        pawl_proto::decode::<pawl_verifier::record::Record>(&entry.body.0, 1 << 20).unwrap()
    };
    let mut previous = pawl_proto::record::Link::START;
    let kept = forged.records.iter().map(decode);
    let kept = kept.filter(|record| !matches!(record.fact, pawl_verifier::record::Fact::Approved { .. }));
    let records: Vec<_> = (1..)
        .zip(kept)
        .map(|(sequence, record)| {
            let record = pawl_verifier::record::Record { sequence, ..record };
            let link = pawl_proto::record::Link::forge(previous, &record).unwrap();
            previous = link.digest;
            super::Entry::new(link)
        })
        .collect();
    forged.records = records;
    let checks: Vec<Check> = check(&forged).failures.iter().map(|failure| failure.check).collect();
    assert_eq!(checks, [Check::Pairing, Check::Assurance]);
}

#[tokio::test]
async fn records_of_an_earlier_version_are_counted_and_not_refused() {
    use serde_json::Value;

    fn strip(value: &mut Value) {
        let Value::Object(members) = value else { return };
        for new in ["counter", "policy_ref", "lease_key", "signed", "attested", "at", "records"] {
            members.remove(new);
        }
        members.values_mut().for_each(strip);
    }

    let (rig, device) = eventful().await;
    let mut old = contents(&rig.plane, &device).await;
    old.device_records.clear();
    let mut previous = pawl_proto::record::Link::START;
    for entry in &mut old.records {
        let record: pawl_verifier::record::Record = pawl_proto::decode(&entry.body.0, 1 << 20).unwrap();
        let mut value = serde_json::to_value(record).unwrap();
        strip(&mut value);
        let record: pawl_verifier::record::Record = serde_json::from_value(value).unwrap();
        let link = pawl_proto::record::Link::forge(previous, &record).unwrap();
        previous = link.digest;
        *entry = super::Entry::new(link);
    }
    let checked = check(&old);
    assert_eq!(checked.failures, []);
    assert_eq!((checked.quotes, checked.unchecked), (2, 4), "a pairing, two leases and a receipt");
}

#[tokio::test]
async fn both_chains_of_a_replacement_are_verified() {
    let (rig, persons) = Rig::approved_by("", &["alice"]);
    let mut old = Device::enrolled(&rig.plane).await;
    old.pair(&rig.plane).await.unwrap();
    let mut new = Device::new();
    let request = PairingRequest { replaces: Some(old.id()), ..new.request() };
    let (asked, waiting) = new.ask_persons(&rig.plane, request).await;
    let approval = persons[0].sign(&waiting.statement);
    let approved = asked.approve(&rig.plane, approval).await.unwrap().approved();
    let proof = new.proof(asked.id, &approved);
    pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
    for device in [&old, &new] {
        let checked = check(&contents(&rig.plane, device).await);
        assert_eq!(checked.failures, []);
        assert_eq!((checked.pairings, checked.approvals), (1, 1));
    }
}
