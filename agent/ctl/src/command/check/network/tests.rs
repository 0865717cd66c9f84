//! Checks against healthy and faulty servers on the loopback interface.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use pawl_config::Config;
use pawl_local_api::LocalStatus;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::super::finding::{Finding, Outcome};

/// A CA for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the configuration of a server with a certificate for `name` that is valid until the year `until`.
    fn server(&self, name: &str, until: i32) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }

    /// Returns the configuration of a device that trusts this CA and whose control plane is at `port`.
    fn device(&self, directory: &Path, port: u16) -> Config {
        let (file, ca) = (directory.join("pawl.toml"), directory.join("ca.pem"));
        fs::write(&ca, self.0.pem()).unwrap();
        let ca = ca.display();
        fs::write(&file, format!("[control_plane]\nurl = \"https://127.0.0.1:{port}\"\nca = \"{ca}\"\n"))
            .unwrap();
        Config::load(&file, std::iter::empty()).unwrap()
    }
}

/// Serves the same answer on a free port until the runtime ends.
fn serve(config: ServerConfig, answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that refuses the certificate closes the connection.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

const HEALTHY: &str = "HTTP/1.1 200 OK\r\ndate: Sun, 01 Mar 2026 12:00:00 GMT\r\ncontent-length: 0\r\n\r\n";

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn results(findings: &[Finding]) -> Vec<(&'static str, Outcome)> {
    findings.iter().map(|finding| (finding.check, finding.result)).collect()
}

/// Returns the findings of a device that trusts `pinned` about a control plane that serves `config`.
fn control_plane(
    pinned: &Authority,
    config: ServerConfig,
    answer: &'static str,
) -> (Vec<Finding>, Option<String>) {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let device = pinned.device(directory.path(), serve(config, answer));
        let mut findings = Vec::new();
        let date = super::control_plane(&device, None, &mut findings).await;
        (findings, date)
    })
}

#[test]
fn a_healthy_control_plane_passes_every_check() {
    let authority = Authority::new();
    let (findings, date) = control_plane(&authority, authority.server("127.0.0.1", 2096), HEALTHY);
    assert_eq!(
        results(&findings),
        [
            ("dns", Outcome::Skipped),
            ("tcp", Outcome::Ok),
            ("tls", Outcome::Ok),
            ("control-plane", Outcome::Ok)
        ]
    );
    assert_eq!(date.as_deref(), Some("Sun, 01 Mar 2026 12:00:00 GMT"));
}

#[test]
fn an_error_from_the_control_plane_fails() {
    let authority = Authority::new();
    for answer in ["HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", "220 mail.example\r\n"] {
        let (findings, _) = control_plane(&authority, authority.server("127.0.0.1", 2096), answer);
        assert_eq!(results(&findings)[3], ("control-plane", Outcome::Failed));
    }
}

#[test]
fn each_fault_of_a_certificate_has_its_remedy() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (server, remedy) in [
        (theirs.server("127.0.0.1", 2096), "into control_plane.ca"),
        (ours.server("control.example", 2096), "host name in the server's certificate"),
        (ours.server("127.0.0.1", 2001), "clock"),
    ] {
        let (findings, date) = control_plane(&ours, server, HEALTHY);
        let last = findings.last().unwrap();
        assert_eq!((last.check, last.result), ("tls", Outcome::Failed));
        assert!(last.remedy.as_ref().unwrap().contains(remedy), "{remedy}: {last:?}");
        assert_eq!(date, None);
    }
}

#[test]
fn checks_stop_at_the_first_fault() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let device = Authority::new().device(directory.path(), free);
    let mut findings = Vec::new();
    assert_eq!(run(super::control_plane(&device, None, &mut findings)), None);
    assert_eq!(results(&findings), [("dns", Outcome::Skipped), ("tcp", Outcome::Failed)]);
    assert!(findings[1].remedy.as_ref().unwrap().contains(&free.to_string()));
}

fn status(address: Option<String>) -> LocalStatus {
    let broker = serde_json::json!({"connected": false, "address": address, "error": "refused"});
    serde_json::from_value(serde_json::json!({
        "version": "0", "state": "lapsed", "device": "abcdefghijklmnopqrstuvwxyz234567", "ek_sha256": "",
        "ek_kind": "", "ek_certificates": 0, "pcr_banks": ["sha256"], "tokens": [], "broker": broker, "receipt_waiting": false, "finding": "nothing-changed", "refused": {}
    }))
    .unwrap()
}

#[test]
fn a_broker_is_examined_as_far_as_its_certificate() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (server, tls) in
        [(ours.server("127.0.0.1", 2096), Outcome::Ok), (theirs.server("127.0.0.1", 2096), Outcome::Warning)]
    {
        let findings = run(async {
            let directory = tempfile::tempdir().unwrap();
            let status = status(Some(format!("127.0.0.1:{}", serve(server, ""))));
            let mut findings = Vec::new();
            super::broker(Some(&status), Some(&ours.device(directory.path(), 1)), &mut findings).await;
            findings
        });
        let expected = [
            ("broker", Outcome::Failed),
            ("broker-dns", Outcome::Skipped),
            ("broker-tcp", Outcome::Ok),
            ("broker-tls", tls),
        ];
        assert_eq!(results(&findings), expected);
    }
}

#[test]
fn without_a_pairing_the_broker_is_skipped() {
    for status in [None, Some(status(None))] {
        let mut findings = Vec::new();
        run(super::broker(status.as_ref(), None, &mut findings));
        assert_eq!(results(&findings), [("broker", Outcome::Skipped)]);
    }
}
