use pawl_proto::message::{Access, Audience, PairingRequest, RefusalCode, Scope, Standing};

use super::*;
use crate::orders::{self, AccessChanged};
use crate::pairing;
use crate::refusal::RequestError;
use crate::testing::{Device, Reporting, Rig, decode_verdict};
use pawl_verifier::record::Fact;

const OWN: &str = "https://localhost:8443";

fn access(scopes: &[&str], audiences: &[&str]) -> Access {
    Access {
        scopes: scopes.iter().map(|scope| Scope::lossy(scope)).collect(),
        audiences: audiences.iter().map(|audience| Audience::lossy(audience)).collect(),
    }
}

fn add(scopes: &[&str], audiences: &[&str]) -> AccessChange {
    AccessChange { add: access(scopes, audiences), ..AccessChange::default() }
}

fn remove(scopes: &[&str], audiences: &[&str]) -> AccessChange {
    AccessChange { remove: access(scopes, audiences), ..AccessChange::default() }
}

async fn entitle(rig: &Rig, device: &Device, change: AccessChange) -> AccessChanged {
    orders::entitle(&rig.plane, device.id(), change).await.unwrap()
}

/// Returns a request for these scopes, and for one audience that is granted and one that is not.
fn asking(device: &Device, scopes: &[&str]) -> PairingRequest {
    let Access { scopes, audiences } = access(scopes, &["https://api.example", "https://other.example"]);
    PairingRequest { scopes, audiences, ..device.request() }
}

#[test]
fn an_invalid_scope_or_audience_is_named() {
    let scopes = |text: &str| parse(&[text.to_owned()], &[]);
    let audiences = |text: &str| parse(&[], &[text.to_owned()]);
    for text in ["", "a b", "\"", "\\", "ä", &"a".repeat(65)] {
        assert_eq!(scopes(text), Err(AccessError::Scope(text.to_owned())));
    }
    let long = format!("https://api.example/{}", "a".repeat(256));
    for text in ["", "api.example", "https:", "https://api.example#a", "https://api example", "1:a", &long] {
        assert_eq!(audiences(text), Err(AccessError::Audience(text.to_owned())));
    }
    assert!(scopes("a:b/c").is_ok() && audiences("urn:example:api").is_ok());
}

#[test]
fn a_change_adds_removes_or_replaces() {
    let before = access(&["a", "b"], &[OWN]);
    let apply = |change: AccessChange| change.apply(&before).unwrap();
    assert_eq!(apply(AccessChange::default()), before);
    assert_eq!(apply(add(&["c", "a"], &[])), access(&["a", "b", "c"], &[OWN]));
    assert_eq!(apply(remove(&["a", "z"], &[OWN])), access(&["b"], &[]));
    let exactly = AccessChange { exactly: true, ..add(&["c"], &[]) };
    assert_eq!(apply(exactly), access(&["c"], &[]));
    let many: Vec<String> = (0..33).map(|number| format!("s{number:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(add(&many, &[]).apply(&Access::default()), Err(AccessError::TooManyScopes));
    assert_eq!(add(&[], &many[..17]).apply(&Access::default()), Err(AccessError::TooManyAudiences));
    assert!(add(&many[..32], &many[..16]).apply(&Access::default()).is_ok());
}

#[tokio::test]
async fn a_pairing_gets_what_it_asks_for_and_the_operator_grants() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    entitle(&rig, &device, add(&["door"], &[])).await;
    let request = asking(&device, &["admin", "telemetry"]);
    let (asked, progress) = device.ask(&rig.plane, request.clone()).await.unwrap();
    let approved = progress.approved();
    let statement = approved.statement.decode().unwrap();
    assert_eq!((statement.scopes, statement.audiences), (request.scopes, request.audiences));
    assert_eq!(statement.granted, Some(access(&["door", "telemetry"], &["https://api.example", OWN])));

    let proof = device.proof(asked.id, &approved);
    let grant = pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
    assert_eq!(grant.scopes, access(&["telemetry"], &[]).scopes);
    let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
    let entitlement = verdict.entitlement;
    assert_eq!(entitlement.standing, Standing::Active);
    let expected = access(&["telemetry"], &["https://api.example", OWN]);
    assert_eq!((entitlement.scopes, entitlement.audiences), (expected.scopes, expected.audiences));
    let id = device.id();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await.unwrap();
    let recorded = records.into_iter().find_map(|(record, _)| match record.fact {
        Fact::Paired { scopes, audiences, .. } => Some((scopes, audiences)),
        _ => None,
    });
    let audiences = vec!["https://api.example".to_owned(), OWN.to_owned()];
    assert_eq!(recorded, Some((vec!["telemetry".to_owned()], Some(audiences))));
}

#[tokio::test]
async fn a_verdict_carries_each_change_to_the_device_at_once() {
    let rig = Rig::new();
    let (reporting, first) = Reporting::paired(&rig).await;
    let device = &reporting.device;
    let next = async || device.next_verdict(&rig.plane).await.unwrap();
    assert_eq!(entitle(&rig, device, add(&["telemetry"], &[])).await.sequence, None, "nothing has changed");

    // The pairing did not request these, and the operator grants them anyway.
    let changed = entitle(&rig, device, add(&["admin"], &["https://other.example"])).await;
    let verdict = next().await;
    assert_eq!(changed.sequence, Some(verdict.sequence));
    assert!(verdict.sequence > first.sequence && verdict.result.is_none());
    assert_eq!(verdict.entitlement.scopes, access(&["admin", "telemetry"], &[]).scopes);
    assert!(verdict.entitlement.lacking(["admin"], "https://other.example").is_none());

    entitle(&rig, device, remove(&["admin", "telemetry"], &["https://other.example"])).await;
    let verdict = next().await;
    assert!(verdict.entitlement.scopes.is_empty());
    assert_eq!(verdict.entitlement.audiences.len(), 2);
    // Every verdict contains the entitlement, also those on reports.
    let mut reporting = reporting;
    assert_eq!(reporting.steady().await.entitlement, verdict.entitlement);
    entitle(&rig, &reporting.device, AccessChange { exactly: true, ..AccessChange::default() }).await;
    let verdict = reporting.steady().await;
    assert_eq!(verdict.entitlement.audiences, access(&[], &[OWN]).audiences, "the default");
}

#[tokio::test]
async fn a_device_that_the_approval_enrols_inherits_the_grant_that_the_approvers_saw() {
    let (rig, persons) = Rig::approved_by("pair = 0", &["ann"]);
    let mut old = Device::enrolled(&rig.plane).await;
    old.pair(&rig.plane).await.unwrap();
    let replacing = |new: &Device| PairingRequest { replaces: Some(old.id()), ..asking(new, &["telemetry"]) };
    let mut new = Device::new();
    let request = replacing(&new);
    let (asked, waiting) = new.ask_persons(&rig.plane, request).await;
    let shown = waiting.statement.decode().unwrap().granted;
    assert_eq!(shown, Some(access(&["telemetry"], &["https://api.example", OWN])));
    // The operator has since granted the old device more than the approver saw.
    entitle(&rig, &old, add(&["admin"], &[])).await;
    let late = asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await;
    let Err(RequestError::Refused(refusal)) = late else { panic!("{late:?}") };
    assert_eq!(refusal.code, RefusalCode::Stale);

    let request = replacing(&new);
    let (asked, waiting) = new.ask_persons(&rig.plane, request).await;
    asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let id = new.id();
    let granted = rig.plane.store.transaction(move |tx| tx.granted(id)).await.unwrap();
    assert_eq!(granted, access(&["admin", "telemetry"], &["https://api.example", OWN]));
}

#[tokio::test]
async fn an_enrolled_device_keeps_its_own_grant_when_it_replaces_another() {
    let (rig, persons) = Rig::approved_by("pair = 0", &["ann"]);
    let mut old = Device::enrolled(&rig.plane).await;
    old.pair(&rig.plane).await.unwrap();
    entitle(&rig, &old, add(&["admin"], &[])).await;
    let mut new = Device::enrolled(&rig.plane).await;
    let request = PairingRequest { replaces: Some(old.id()), ..asking(&new, &["admin", "telemetry"]) };
    let (asked, waiting) = new.ask_persons(&rig.plane, request).await;
    let own = access(&["telemetry"], &["https://api.example", OWN]);
    assert_eq!(waiting.statement.decode().unwrap().granted, Some(own));
    let approved = asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let proof = new.proof(asked.id, &approved);
    let grant = pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
    assert_eq!(grant.scopes, access(&["telemetry"], &[]).scopes);
}
