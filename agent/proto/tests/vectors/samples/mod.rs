//! One message of each kind with every field, and some with as few as may be. TPM structures and certificates are
//! placeholder bytes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use p256::ecdsa::SigningKey;
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::codec::Version;
use pawl_proto::message::*;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link, RecordBytes};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{
    Blob, Channel, DeviceId, Digest, Epoch, EventId, Nonce, PairingId, PcrBank, PcrValue, SessionId, Text,
    Topic,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

mod all;

pub(super) use all::samples;

type ReadBack = Box<dyn Fn(&[u8])>;

/// A message and the contents of its vector file.
pub(super) struct Vector {
    pub(super) name: &'static str,
    pub(super) rule: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The COSE_Sign1 message, of an order.
    pub(super) signed: Option<Vec<u8>>,
    /// Checks that these bytes are the message.
    pub(super) read_back: ReadBack,
}

impl Vector {
    pub(super) fn file(&self) -> String {
        format!("{}.json", self.name)
    }
}

fn vector<T>(name: &'static str, rule: &'static str, message: T) -> Vector
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let bytes = pawl_proto::encode(&message).unwrap();
    let read_back = move |bytes: &[u8]| {
        let read: T = pawl_proto::decode(bytes, bytes.len()).unwrap();
        assert_eq!(read, message);
        assert_eq!(pawl_proto::encode(&read).unwrap(), bytes);
    };
    Vector { name, rule, bytes, signed: None, read_back: Box::new(read_back) }
}

fn order<T>(name: &'static str, channel: Channel, message: T) -> Vector
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let cose = signed::sign(&message, &Topic::new(device(), channel), &order_key()).unwrap();
    Vector { signed: Some(cose), ..vector(name, channel.as_str(), message) }
}

/// The key that signs every order in the vectors. It is public.
pub(super) fn order_key() -> SigningKey {
    SigningKey::from_slice(&[9; 32]).unwrap()
}

pub(super) fn device() -> DeviceId {
    DeviceId::from_digest([1; 32])
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

fn bytes<const MAX: usize>(text: &str) -> Blob<MAX> {
    Blob::new(text.as_bytes().to_vec()).unwrap()
}

fn encoded<const MAX: usize>(message: &impl Serialize) -> Blob<MAX> {
    Blob::new(pawl_proto::encode(message).unwrap()).unwrap()
}

fn unknown<T: From<pawl_proto::open::Word>>(name: &str) -> T {
    name.parse::<pawl_proto::open::Word>().unwrap().into()
}

const TIME: u64 = 1_800_000_000;

fn pairing() -> PairingId {
    PairingId::from_random([2; 16])
}

fn session() -> SessionId {
    SessionId::from(pairing())
}

fn event_id() -> EventId {
    EventId::from_random([3; 16])
}

fn event(kind: EventKind) -> Event {
    Event {
        version: Version,
        id: event_id(),
        kind,
        device: device(),
        epoch: Epoch(7),
        sequence: 300,
        time: TIME,
        reason: text("left in a taxi"),
    }
}

fn lease(bank: PcrBank) -> Lease {
    Lease {
        bank,
        pcrs: vec![0, 2, 4, 7, 8, 9, 12, 14],
        pcr_digest: Digest([4; 32]),
        reset_count: 12,
        clock: 86_400_000,
        signature: SignatureBytes([5; 64]),
    }
}

fn verdict() -> Verdict {
    Verdict {
        version: Version,
        device: device(),
        pairing: pairing(),
        epoch: Epoch(7),
        sequence: 42,
        time: TIME,
        answers: Some(Digest([6; 32])),
        entitlement: Entitlement {
            standing: Standing::Active,
            scopes: vec![text("telemetry")],
            audiences: vec![text("https://api.example")],
        },
        result: Some(TrustTier::Warning),
        areas: BTreeMap::from([(Area::Hardware, TrustTier::Affirming), (Area::Boot, TrustTier::Warning)]),
        reasons: vec![text("boot (boot.images, line 29): a kernel that is near its end")],
        policy: Some(Digest([7; 32])),
        nonce: Nonce([8; 32]),
        whole: false,
        nvpcrs: vec![0x01d1_0200],
        interval: 900,
        records: 17,
        lease: Some(lease(PcrBank::Sha256)),
        ahead: vec![lease(PcrBank::Sha384)],
    }
}

fn short_verdict() -> Verdict {
    Verdict {
        answers: None,
        entitlement: Entitlement { standing: Standing::Suspended, scopes: Vec::new(), audiences: Vec::new() },
        result: None,
        areas: BTreeMap::new(),
        reasons: Vec::new(),
        policy: None,
        whole: true,
        nvpcrs: Vec::new(),
        interval: 0,
        lease: None,
        ahead: Vec::new(),
        ..verdict()
    }
}

fn host() -> HostFacts {
    HostFacts {
        hostname: text("gate-17"),
        architecture: text("aarch64"),
        kernel: text("6.12.57"),
        system: text("Debian GNU/Linux 13 (trixie)"),
        product: text("Example Board"),
        agent: text("0.1.0"),
    }
}

fn record(fact: DeviceFact) -> DeviceRecord {
    DeviceRecord {
        version: Version,
        sequence: 1,
        time: TIME,
        clock: Some(1_234_567),
        resets: Some(3),
        epoch: Some(Epoch(7)),
        fact,
    }
}

fn health() -> HostHealth {
    HostHealth {
        uptime: 86_400,
        load: 42,
        memory: 512,
        swap: 0,
        state: Some(1_024),
        root: Some(2_048),
        cpu: Some(51),
    }
}

fn evidence() -> Evidence {
    let link = Link::forge(Link::START, &record(DeviceFact::Began { device: device() })).unwrap();
    Evidence {
        version: Version,
        device: device(),
        pairing: pairing(),
        epoch: Epoch(7),
        nonce: Nonce([8; 32]),
        since: Some(Digest([9; 32])),
        boot_id: text("1b4e28ba-2fa1-41d2-883f-0016d3cca427"),
        run: Some(Nonce([10; 32])),
        pcrs: BTreeMap::from([(0, PcrValue::Sha256([11; 32])), (10, PcrValue::Sha256([12; 32]))]),
        boot_log: Some(BootLog { digest: Digest([13; 32]), bytes: Some(bytes("boot log")) }),
        measure_log: Some(MeasureLog { offset: 0, size: 11, bytes: bytes("measure log") }),
        nvpcrs: Some(vec![0x01d1_0200]),
        ima_log: Some(ImaLog { offset: 4096, size: 8192, bytes: bytes("IMA log") }),
        host: Some(host()),
        health: Some(health()),
        audit: Some(Audit {
            first: 1,
            previous: Link::START,
            records: vec![RecordBytes::new(link.body).unwrap()],
            head: link.digest,
            pending: 2,
        }),
    }
}

fn short_evidence() -> Evidence {
    Evidence {
        since: None,
        run: None,
        pcrs: BTreeMap::new(),
        boot_log: None,
        measure_log: None,
        nvpcrs: None,
        ima_log: None,
        host: None,
        health: None,
        audit: None,
        ..evidence()
    }
}

fn report() -> Report {
    Report {
        version: Version,
        evidence: encoded(&evidence()),
        attest: bytes("TPMS_ATTEST of the quote"),
        signature: bytes("TPMT_SIGNATURE of the quote"),
        nvpcrs: vec![CertifiedNvPcr {
            public: bytes("TPMS_NV_PUBLIC"),
            attest: bytes("TPMS_ATTEST of TPM2_NV_Certify"),
            signature: bytes("TPMT_SIGNATURE of it"),
        }],
    }
}

fn receipt(cause: Cause) -> Receipt {
    Receipt {
        version: Version,
        device: device(),
        pairing: pairing(),
        ended: Epoch(7),
        epoch: Epoch(8),
        event: Some(event_id()),
        cause,
        reason: text("left in a taxi"),
        time: TIME,
    }
}

fn request() -> PairingRequest {
    PairingRequest {
        version: Version,
        device: device(),
        endorsement_key: bytes("TPMT_PUBLIC of the endorsement key"),
        endorsement_certificates: vec![bytes("a certificate")],
        attestation_key: bytes("TPMT_PUBLIC of the attestation key"),
        counter: bytes("TPMS_NV_PUBLIC of the counter"),
        epoch: Epoch(6),
        host: host(),
        nonce: Nonce([14; 32]),
        origin: text("uid 0; ssh 192.0.2.7"),
        finding: Finding::NewTpm,
        former: Some(DeviceId::from_digest([15; 32])),
        replaces: Some(DeviceId::from_digest([15; 32])),
        attended: true,
        reason: text("new board"),
        scopes: vec![text("telemetry")],
        audiences: vec![text("https://api.example")],
    }
}

fn credential() -> Credential {
    Credential {
        id_object: bytes("TPM2B_ID_OBJECT, contents"),
        secret: bytes("TPM2B_ENCRYPTED_SECRET, contents"),
    }
}

fn statement() -> Statement {
    Statement {
        version: Version,
        session: session(),
        device: device(),
        nonce: Nonce([14; 32]),
        origin: text("uid 0; ssh 192.0.2.7"),
        action: text("firmware-update"),
        resource: Some(text("/dev/mtd0")),
        subject: Some(Digest([16; 32])),
        context: Some(text("job 12")),
        reason: text("new board"),
        scopes: vec![text("telemetry")],
        audiences: vec![text("https://api.example")],
        granted: Some(Access {
            scopes: vec![text("telemetry")],
            audiences: vec![text("https://api.example")],
        }),
        replaces: Some(DeviceId::from_digest([15; 32])),
        endorsement: Some(text("certificate of Example TPMs")),
        epoch: Epoch(6),
        evidence: Digest([17; 32]),
        boot: Digest([18; 32]),
        time: TIME,
        expires: TIME + 600,
    }
}

fn statement_bytes() -> StatementBytes {
    StatementBytes::of(&statement()).unwrap()
}

fn ending() -> Ending {
    Ending { pairing: pairing(), epoch: Epoch(6), paired_at: TIME - 86_400, scopes: vec![text("telemetry")] }
}

fn waiting() -> Waiting {
    Waiting {
        version: Version,
        statement: statement_bytes(),
        approval: Approval {
            user_code: text("BCDF-GHJK"),
            url: text("https://control.example:8443/approve"),
        },
        needed: 2,
        approved: vec![text("alice@example.com")],
        unconfirmed: 1,
        tries_left: 5,
        expires_in: 600,
        retry_after: 2,
        known: StatementContext {
            label: Some(text("gate 17")),
            ends: Some(ending()),
            replaced: Some(ending()),
        },
    }
}
