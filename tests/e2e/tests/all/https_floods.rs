//! Strangers who flood the control plane's HTTPS port: devices pair and report meanwhile.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, DeviceOptions, Terms, wait};
use pawl_proto::DeviceId;
use pawl_proto::message::{PairingRequest, RefusalCode, SessionProof};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Impostor, Wire};

/// Far above what a pairing takes, far below what the deadlines of the attackers' connections add.
const AT_ONCE: Duration = Duration::from_secs(20);

/// The default of `limits.connections_per_address`.
const PLACES_OF_AN_ADDRESS: usize = 128;
/// More than what the control plane has open besides, with the connections that it is closing. A flood has at least 560.
const OTHER_FILES: usize = 250;

#[test]
fn a_device_pairs_while_idle_connections_flood_https() {
    let rig = Rig::for_test().unwrap();
    // Without a limit, the connections would use up its descriptors.
    rig.control_plane.limit_open_files(1024).unwrap();
    // Some send nothing, some have done the handshake: both wait for nothing.
    let flood = |_: usize| TcpStream::connect((Ipv4Addr::LOCALHOST, rig.control_plane.port())).ok();
    assert_pairs_during(&rig, 1100, flood);
}

#[test]
fn a_device_pairs_while_unfinished_bodies_flood_https() {
    let rig = Rig::for_test().unwrap();
    let tls = tls(&rig);
    let flood = |_: usize| {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, rig.control_plane.port())).ok()?;
        tcp.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(&tls), name).unwrap(), tcp);
        let head = "POST /v1/pairings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\nbegun";
        stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).ok()?;
        Some(stream)
    };
    assert_pairs_during(&rig, 560, flood);
}

#[test]
fn requests_in_the_name_of_a_device_do_not_keep_it_out() {
    let rig = Rig::for_test().unwrap();
    let device = rig.device("device", DeviceOptions::default()).unwrap();
    let stranger = Impostor::on(&rig, &device.tpm);
    rig.control_plane.enrol(&stranger.ek_sha256(), "device").unwrap();
    let own = stranger.ask(&stranger.request()).unwrap();
    // Without the TPM: what anybody can send who knows its public keys.
    let asked = (0..60).filter(|_| stranger.ask(&stranger.request()).is_ok()).count();
    assert!(asked > 0);
    assert_eq!(rig.control_plane.operator(&["sessions"]).unwrap(), serde_json::json!([]));
    let guess =
        SessionProof { secret: pawl_proto::Blob::new(vec![0; 32]).unwrap(), ..stranger.session_proof(&own) };
    let before = rig.control_plane.records(stranger.device().as_str()).unwrap();
    for _ in 0..20 {
        assert_eq!(stranger.open(own.session, &guess).unwrap_err().code, RefusalCode::Proof);
    }
    assert_eq!(rig.control_plane.records(stranger.device().as_str()).unwrap(), before);
    stranger.open(own.session, &stranger.session_proof(&own)).unwrap().approved();
}

#[test]
fn strangers_that_ask_for_a_place_fill_neither_the_list_nor_the_records_of_its_device() {
    let approvals = ApprovalTerms::persons(1);
    let terms = Terms { approvals, vendor_cas: false, ..Terms::default() };
    let rig = Rig::for_test_with(&terms).unwrap();
    rig.approver("alice").unwrap();
    let victim = rig.paired_device("victim", DeviceOptions::default()).unwrap();
    let victim = victim.status().unwrap().device;
    let before = rig.control_plane.records(victim.as_str()).unwrap().len();
    let other = rig.device("stranger", DeviceOptions::default()).unwrap();
    let stranger = Impostor::on(&rig, &other.tpm);

    let mut waiting = 0;
    for _ in 0..20 {
        let request = PairingRequest { replaces: Some(victim), ..stranger.request() };
        let Ok(offer) = stranger.ask(&request) else { continue };
        let proof = SessionProof { request, ..stranger.session_proof(&offer) };
        waiting += usize::from(stranger.open(offer.session, &proof).is_ok());
    }
    assert!(waiting > 0, "nothing was attacked");
    let sessions = rig.control_plane.operator(&["sessions"]).unwrap();
    let of_stranger = |session: &&serde_json::Value| session["device"] == stranger.device().as_str();
    assert_eq!(sessions.as_array().unwrap().iter().filter(of_stranger).count(), 1, "{sessions:#}");
    assert_eq!(rig.control_plane.records(victim.as_str()).unwrap().len(), before);
}

#[test]
fn an_address_that_floods_receipts_tokens_or_steps_is_refused_and_another_is_served() {
    const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const BUSY: u16 = 503;

    let rig = Rig::for_test().unwrap();
    let session = "00".repeat(16);
    let (approval, proof) =
        (format!("/v1/pairings/{session}/approval"), format!("/v1/pairings/{session}/proof"));
    let (action, paths) = (
        format!("/v1/actions/{session}/approval"),
        ["/v1/receipts", "/v1/token", "/v1/actions", approval.as_str(), proof.as_str()],
    );
    let stranger = Wire::from_address(&rig.control_plane, STRANGER);
    let paths = [&paths[..], &[action.as_str()]].concat();
    let mut busy = BTreeSet::new();
    for _ in 0..1000 {
        busy.extend(paths.iter().copied().filter(|path| stranger.post_bytes(path, b"junk") == BUSY));
        if busy.len() == paths.len() {
            break;
        }
    }
    assert_eq!(busy, paths.iter().copied().collect(), "the others are not limited");
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.token().unwrap();
}

/// Root on an enrolled device has its TPM and can open offers, and send proofs that do not hold, for as long as it likes.
#[test]
fn an_enrolled_device_whose_proofs_are_refused_adds_few_records() {
    const ATTEMPTS: usize = 50;

    let rig = Rig::for_test().unwrap();
    let device = rig.device("device", DeviceOptions::default()).unwrap();
    let impostor = Impostor::on(&rig, &device.tpm);
    rig.control_plane.enrol(&impostor.ek_sha256(), "device").unwrap();
    let records = || rig.control_plane.records(impostor.device().as_str()).unwrap().len();
    let before = records();
    let mut refusals = Vec::new();
    for _ in 0..ATTEMPTS {
        let offer = impostor.ask(&impostor.request()).unwrap();
        let honest = impostor.session_proof(&offer);
        let proof = SessionProof { counter_signature: pawl_proto::Blob::new(vec![1; 8]).unwrap(), ..honest };
        refusals.push(impostor.open(offer.session, &proof).unwrap_err().code);
    }
    let added = records() - before;
    assert!((1..=ATTEMPTS * 3 / 4).contains(&added), "{added} records of {ATTEMPTS} refused proofs");
    assert_eq!((refusals[0], refusals[ATTEMPTS - 1]), (RefusalCode::Proof, RefusalCode::Busy));
}

/// Opens connections by `connect` over and over, up to `count` at once, and pairs a device meanwhile.
fn assert_pairs_during<C: Send>(rig: &Rig, count: usize, connect: impl Fn(usize) -> Option<C> + Sync) {
    const THREADS: usize = 4;
    let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    let took = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while !over.load(Ordering::Relaxed) {
                    if held.len() >= count / THREADS {
                        held.pop_front();
                        // The flood continues at a rate that leaves processor time to the device.
                        thread::sleep(Duration::from_millis(20));
                    }
                    held.extend(connect(opened.fetch_add(1, Ordering::Relaxed)));
                }
            });
        }
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("the flood stands", wait::SOON, || {
                let opened = opened.load(Ordering::Relaxed);
                anyhow::ensure!(opened >= count, "{opened} connections");
                Ok(())
            })
            .unwrap();
            // Time does not show it: without a limit the deadlines of the flood's connections make room in the end.
            let open = rig.control_plane.open_files().unwrap();
            assert!(open < PLACES_OF_AN_ADDRESS + OTHER_FILES, "{open} files and connections are open");
            let start = Instant::now();
            let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
            let took = start.elapsed();
            let id = device.status().unwrap().device;
            assert_reports(rig, id);
            took
        }));
        over.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    println!("paired in {took:?} during {} connections", opened.load(Ordering::Relaxed));
    assert!(took < AT_ONCE, "pairing took {took:?}");
}

fn assert_reports(rig: &Rig, device: DeviceId) {
    let reports = || {
        let shown = rig.control_plane.show(device.as_str()).unwrap();
        shown["last_report"]["reports"].as_u64().unwrap()
    };
    let before = reports();
    rig.control_plane.refresh(device.as_str()).unwrap();
    wait::until("it reports", wait::SOON, || {
        anyhow::ensure!(reports() > before, "no report yet");
        Ok(())
    })
    .unwrap();
}

fn tls(rig: &Rig) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(rig.control_plane.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
