//! Verdicts of earlier versions, which devices have kept on their disks, are read by later ones.

use std::collections::BTreeMap;

use pawl_proto::bounded::SignatureBytes;
use pawl_proto::codec::{Version, decode, encode};
use pawl_proto::message::{Area, Entitlement, Lease, Standing, TrustTier, Verdict};
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId, PcrBank, limits};

fn verdict() -> Verdict {
    Verdict {
        version: Version,
        device: DeviceId::from_digest([1; 32]),
        pairing: PairingId::from_random([2; 16]),
        epoch: Epoch(7),
        sequence: 3,
        time: 1_700_000_000,
        answers: Some(Digest([4; 32])),
        entitlement: Entitlement {
            standing: Standing::Active,
            scopes: vec![pawl_proto::Text::lossy("telemetry")],
            audiences: vec![pawl_proto::Text::lossy("https://control.example:8443")],
        },
        result: Some(TrustTier::Affirming),
        areas: BTreeMap::new(),
        reasons: Vec::new(),
        policy: None,
        nonce: Nonce([5; 32]),
        whole: false,
        nvpcrs: Vec::new(),
        interval: 300,
        records: 6,
        lease: Some(lease(1)),
        ahead: Vec::new(),
    }
}

fn lease(seed: u8) -> Lease {
    Lease {
        bank: PcrBank::Sha256,
        pcrs: vec![0, 2, 4, 7, 8, 9, 12, 14],
        pcr_digest: Digest([seed; 32]),
        reset_count: u32::MAX,
        clock: u64::MAX,
        signature: SignatureBytes([seed; 64]),
    }
}

fn has(bytes: &[u8], key: &str) -> bool {
    bytes.windows(key.len()).any(|window| window == key.as_bytes())
}

#[test]
fn what_a_verdict_does_not_say_has_no_entry() {
    let bytes = encode(&verdict()).unwrap();
    for later in ["areas", "policy", "ahead"] {
        assert!(!has(&bytes, later), "{later}");
    }
    assert_eq!(decode::<Verdict>(&bytes, limits::ORDER).unwrap(), verdict());
}

/// Versions before the sha384 bank signed leases without this field: one in a device's last verdict is over sha256.
#[test]
fn a_lease_without_a_bank_is_over_the_sha256_bank() {
    let sha256 = encode(&verdict()).unwrap();
    assert!(!has(&sha256, "bank"), "an earlier version encodes it otherwise");
    assert_eq!(decode::<Verdict>(&sha256, limits::ORDER).unwrap().lease.unwrap().bank, PcrBank::Sha256);

    let over_sha384 = Verdict { lease: Some(Lease { bank: PcrBank::Sha384, ..lease(1) }), ..verdict() };
    let sha384 = encode(&over_sha384).unwrap();
    assert!(has(&sha384, "bank"));
    assert_eq!(decode::<Verdict>(&sha384, limits::ORDER).unwrap(), over_sha384);
}

#[test]
fn the_largest_verdict_is_short_enough_to_be_sent() {
    let text = pawl_proto::Text::new("x".repeat(limits::TEXT)).unwrap();
    let areas = [Area::Hardware, Area::Firmware, Area::Boot, Area::Runtime, Area::Freshness];
    let full = Verdict {
        entitlement: Entitlement {
            standing: Standing::Suspended,
            scopes: vec![pawl_proto::Text::new("s".repeat(64)).unwrap(); limits::SCOPES],
            audiences: vec![pawl_proto::Text::new("a".repeat(limits::AUDIENCE)).unwrap(); limits::AUDIENCES],
        },
        areas: areas.map(|area| (area, TrustTier::Contraindicated)).into(),
        reasons: vec![text; limits::REASONS],
        policy: Some(Digest([9; 32])),
        nvpcrs: vec![0x01ff_ffff; limits::NVPCRS],
        ahead: (0..limits::LEASES_AHEAD).map(|_| lease(8)).collect(),
        ..verdict()
    };
    // What signs it adds some hundred bytes.
    let bytes = encode(&full).unwrap();
    assert!(bytes.len() < limits::ORDER - 1024, "{} bytes", bytes.len());
    assert_eq!(decode::<Verdict>(&bytes, limits::ORDER).unwrap(), full);
}
