use pawl_evidence::appraise::HighWater;
use pawl_proto::message::{
    Certificate, EventKind, Finding, HostFacts, PairingRequest, RefusalCode, Report, SessionProof, ShortText,
    Standing, TpmStructure,
};
use pawl_proto::{Blob, DeviceId, Epoch, Nonce, SessionId};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::*;
use crate::testing::SoftTpm;

const NOW: u64 = 1_700_000_000;

/// Returns the request of a device with this finding.
pub(crate) fn request(finding: Finding) -> PairingRequest {
    PairingRequest { finding, ..request_of(&SoftTpm::new()) }
}

fn request_of(tpm: &SoftTpm) -> PairingRequest {
    PairingRequest {
        version: Default::default(),
        device: DeviceId::from_digest(tpm.ek_sha256().0),
        endorsement_key: TpmStructure::new(tpm.ek.clone()).unwrap(),
        endorsement_certificates: Vec::<Certificate>::new(),
        attestation_key: TpmStructure::new(tpm.ak_public()).unwrap(),
        counter: TpmStructure::new(tpm.counter.as_bytes().to_vec()).unwrap(),
        epoch: Epoch(tpm.epoch),
        host: HostFacts::default(),
        nonce: Nonce([1; 32]),
        origin: ShortText::lossy("uid 0; tty1"),
        finding: Finding::BothNew,
        former: None,
        replaces: None,
        attended: true,
        reason: ShortText::lossy("first installation"),
        scopes: Vec::new(),
        audiences: Vec::new(),
    }
}

#[test]
fn an_offer_binds_the_request_the_session_and_its_expiry() {
    let tpm = SoftTpm::new();
    let key = OfferKey::new(Zeroizing::new([7; 64]));
    let (request, id) = (request_of(&tpm), SessionId::from_random([5; 16]));
    let claim = Claim::parse(&request).unwrap();
    let offer = key.offer(&claim, &request, id, NOW, &mut OsRng).unwrap();
    let report = Report {
        version: Default::default(),
        evidence: Blob::default(),
        attest: TpmStructure::default(),
        signature: TpmStructure::default(),
        nvpcrs: Vec::new(),
    };
    let proof = SessionProof {
        version: Default::default(),
        request,
        expires: offer.expires,
        secret: Blob::new(tpm.activate(&offer.credential).unwrap()).unwrap(),
        counter_attest: TpmStructure::default(),
        counter_signature: TpmStructure::default(),
        report,
    };
    assert!(key.open(id, &proof, None, NOW).is_ok());
    assert!(key.open(id, &proof, None, NOW + OFFER_SECONDS - 1).is_ok());

    let refused = |id, proof: &SessionProof, now| key.open(id, proof, None, now).is_err();
    assert!(refused(id, &proof, NOW + OFFER_SECONDS), "it has expired");
    assert!(refused(SessionId::from_random([9; 16]), &proof, NOW));
    assert!(refused(id, &SessionProof { expires: proof.expires - 1, ..proof.clone() }, NOW));
    let mut other = proof.request.clone();
    other.attended = !other.attended;
    assert!(refused(id, &SessionProof { request: other, ..proof.clone() }, NOW));
    let other = OfferKey::new(Zeroizing::new([8; 64]));
    assert!(other.open(id, &proof, None, NOW).is_err(), "another control plane's offer");
}

#[test]
fn a_device_is_enrolled_or_vouched_for_by_a_person() {
    let claim = Claim::parse(&request(Finding::BothNew)).unwrap();
    let enrolled = EnrolledDevice {
        ek_sha256: claim.ek_sha256,
        standing: Standing::Active,
        standing_reason: None,
        without_certificate: false,
    };
    let other = Some(DeviceId::from_digest([6; 32]));
    let check = |device: Option<&EnrolledDevice>, vendor: &VendorCheck, replaces, approvers| {
        check_enrolled(device, &claim, vendor, replaces, approvers).map_err(|refusal| refusal.code)
    };
    let (open, none) = (VendorCheck::Unconfigured, VendorCheck::Uncertified("no certificate".to_owned()));
    assert_eq!(check(Some(&enrolled), &open, None, false), Ok(Enrolment::Before));
    assert_eq!(check(None, &open, None, true), Err(RefusalCode::NotEnrolled));
    assert_eq!(check(None, &open, other, false), Err(RefusalCode::NotEnrolled));
    assert_eq!(check(None, &open, other, true), Ok(Enrolment::ByApproval));
    assert_eq!(check(None, &none, other, true), Err(RefusalCode::EndorsementKey));
    assert_eq!(check(Some(&enrolled), &none, None, false), Err(RefusalCode::EndorsementKey));
    let exempt = EnrolledDevice { without_certificate: true, ..enrolled.clone() };
    assert_eq!(check(Some(&exempt), &none, None, false), Ok(Enrolment::Before));
    let suspended = EnrolledDevice { standing: Standing::Suspended, ..enrolled };
    assert_eq!(check(Some(&suspended), &open, None, false), Err(RefusalCode::Suspended));
}

#[test]
fn a_replacement_always_needs_a_person() {
    let policy = ApprovalPolicy { pair: 0, re_pair: 0, after_repair: 0, seconds: 600 };
    assert_eq!(policy.required(None, false).needed, 0);
    assert_eq!(policy.required(None, true).needed, 1);
    assert!(policy.required(None, true).check_attended(false).is_err());
}

#[test]
fn a_repair_that_an_operator_ordered_has_a_policy_of_its_own() {
    let policy = ApprovalPolicy { pair: 0, re_pair: 2, after_repair: 1, seconds: 600 };
    let mut pairing = crate::receipt::tests::pairing(&SoftTpm::new());
    let order = |by_operator| Some(LastOrder { kind: EventKind::Repair, by_operator });
    assert_eq!(policy.required(Some((&pairing, order(true))), false).needed, 2, "it is still live");
    pairing.state = PairingState::Revoking;
    assert_eq!(policy.required(Some((&pairing, order(true))), false).needed, 1);
    assert_eq!(policy.required(Some((&pairing, order(false))), false).needed, 2);
    assert_eq!(policy.required(Some((&pairing, None)), false).needed, 2);
}

#[test]
fn an_epoch_without_a_pairing_needs_no_increment() {
    let seen = |epoch| Some(HighWater { epoch, reset_count: 0, clock_ms: 0, clock_max_ms: 0 });
    assert_eq!(epoch_above(Epoch(7), None, None), Epoch(6));
    assert_eq!(epoch_above(Epoch(7), Some(Epoch(6)), seen(7)), Epoch(6));
    assert_eq!(epoch_above(Epoch(7), Some(Epoch(7)), seen(7)), Epoch(7));
    assert_eq!(epoch_above(Epoch(7), Some(Epoch(6)), seen(9)), Epoch(9));
    assert!(check_epoch(Epoch(7), Some(Epoch(6)), Epoch(6)).is_ok());
    assert!(check_epoch(Epoch(7), Some(Epoch(7)), Epoch(6)).is_err());
    assert!(check_epoch(Epoch(7), None, Epoch(7)).is_err());
}

#[test]
fn a_malformed_request_or_one_with_foreign_keys_is_refused() {
    type Change = fn(&mut PairingRequest);
    let code = |change: Change| {
        let mut request = request(Finding::BothNew);
        change(&mut request);
        Claim::parse(&request).err().map(|refusal| refusal.code)
    };
    let certificate = || Certificate::new(vec![1]).unwrap();
    assert_eq!(code(|_| {}), None);
    for change in [
        (|r| r.endorsement_key = TpmStructure::default()) as Change,
        |r| r.device = DeviceId::from_digest([9; 32]),
        |r| r.scopes = vec![pawl_proto::Text::default(); 33],
        |r| r.audiences = vec![pawl_proto::Text::default(); 17],
        |r| r.attestation_key = TpmStructure::default(),
        |r| r.counter = TpmStructure::default(),
        |r| r.epoch = Epoch(u64::MAX),
    ] {
        assert_eq!(code(change), Some(RefusalCode::Malformed));
    }
    let mut many = request(Finding::BothNew);
    many.endorsement_certificates = vec![certificate(); 9];
    assert_eq!(Claim::parse(&many).err().unwrap().code, RefusalCode::Malformed);
    // A signing key in place of the endorsement key, and vice versa.
    let foreign: Change = |r| {
        r.endorsement_key = r.attestation_key.clone();
        r.device = DeviceId::from_endorsement_key(r.endorsement_key.as_bytes());
    };
    assert_eq!(code(foreign), Some(RefusalCode::EndorsementKey));
    assert_eq!(code(|r| r.attestation_key = r.endorsement_key.clone()), Some(RefusalCode::Proof));
}

#[test]
fn the_description_tells_how_the_endorsement_key_was_checked() {
    let claim = Claim::parse(&request(Finding::BothNew)).unwrap();
    let unconfigured = claim.check_vendor(None, &request(Finding::BothNew), NOW).unwrap();
    let certified = |stale_lists| VendorCheck::Certified { anchor: "root.pem".to_owned(), stale_lists };
    let uncertified = VendorCheck::Uncertified("no certificate".to_owned());
    for (check, enrolment, words) in [
        (&unconfigured, Enrolment::Before, "enrolled by hash"),
        (&unconfigured, Enrolment::ByApproval, "approved by hash"),
        (&certified(Vec::new()), Enrolment::Before, "certificate, CA root.pem"),
        (&certified(vec!["Example".to_owned()]), Enrolment::Before, "revocation list out of date: Example"),
        (&uncertified, Enrolment::Before, "without-certificate: no certificate"),
    ] {
        assert!(check.describe(enrolment).contains(words), "{}", check.describe(enrolment));
    }
    assert_eq!(certified(Vec::new()).anchor().as_deref(), Some("root.pem"));
    assert_eq!((unconfigured.anchor(), uncertified.anchor()), (None, None));
}

#[test]
fn a_device_can_replace_one_other_enrolled_device() {
    let (own, old) = (DeviceId::from_digest([1; 32]), DeviceId::from_digest([2; 32]));
    let replaced = ReplacedDevice { id: old, is_enrolled: true, replaced_by: None };
    assert!(check_replaced(own, None).is_ok());
    assert!(check_replaced(own, Some(replaced)).is_ok());
    assert!(check_replaced(own, Some(ReplacedDevice { replaced_by: Some(own), ..replaced })).is_ok());
    for wrong in [
        ReplacedDevice { id: own, ..replaced },
        ReplacedDevice { is_enrolled: false, ..replaced },
        ReplacedDevice { replaced_by: Some(DeviceId::from_digest([3; 32])), ..replaced },
    ] {
        assert_eq!(check_replaced(own, Some(wrong)).unwrap_err().code, RefusalCode::Malformed);
    }
}

#[test]
fn session_data_survives_encoding_and_decoding() {
    let nonce = Nonce([4; 32]);
    let data = |ca| PairingSession::new(request(Finding::NewTpm), "enrolled by hash".to_owned(), ca, nonce);
    let with_ca = data(Some("root.pem".to_owned()));
    assert_eq!(PairingSession::decode(&with_ca.encode().unwrap()).unwrap(), with_ca);
    assert!(PairingSession::decode(b"no session").is_err());
    assert!(
        matches!(with_ca.vendor_check(true), VendorCheck::Certified { anchor, .. } if anchor == "root.pem")
    );
    assert!(matches!(data(None).vendor_check(true), VendorCheck::Uncertified(_)));
    assert!(matches!(data(None).vendor_check(false), VendorCheck::Unconfigured));
    assert!(with_ca.claim().is_ok());
}

#[test]
fn a_device_that_changed_since_its_approval_is_refused() {
    let boot: crate::BootState = SoftTpm::new().pcrs.into_iter().collect();
    assert!(check_unchanged(&boot, crate::boot_digest(&boot)).is_ok());
    let changed = check_unchanged(&boot, pawl_proto::Digest([1; 32]));
    assert_eq!(changed.unwrap_err().code, RefusalCode::PostureChanged);
    use pawl_evidence::endorsement::EkTemplate::{EccP256, EccP384, Rsa2048};
    assert_eq!([Rsa2048, EccP256, EccP384].map(ek_kind), ["rsa-2048", "ecc-p256", "ecc-p384"]);
}
