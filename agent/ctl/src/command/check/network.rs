//! Checks the connections to the control plane and to the broker.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, header};
use pawl_config::Config;
use pawl_local_api::LocalStatus;
use pawl_proto::BaseUrl;
use rustls::RootCertStore;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::http;

use super::endpoint::{self, Endpoint, TlsFault};
use super::finding::Finding;

const HEALTH_LIMIT: usize = 16 * 1024;

/// Checks DNS, TCP, TLS and HTTPS of the control plane, and returns the `Date` header of its answer.
///
/// `floor` is the daemon's lower bound of the current time in seconds since 1970, if it has one.
pub(super) async fn control_plane(
    config: &Config,
    floor: Option<u64>,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let url = &config.control_plane.url;
    let endpoint = Endpoint { host: url.host().to_owned(), port: url.port() };
    let stream = reach(&endpoint, ["dns", "tcp"], findings).await?;
    let authorities = trusted("tls", config, findings)?;
    match endpoint.handshake(stream, authorities, floor).await {
        Ok(stream) => {
            findings.push(Finding::ok(
                "tls",
                format!("{endpoint} has a certificate issued by the configured CA"),
            ));
            health(url, stream, findings).await
        }
        Err(fault) => {
            findings.push(Finding::failed("tls", format!("{endpoint}: {fault}"), remedy(&fault)));
            None
        }
    }
}

/// Checks DNS, TCP and TLS of the broker, as far as possible without the device's link key.
pub(super) async fn broker(
    status: Option<&LocalStatus>,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) {
    const CHECK: &str = "broker";
    let Some(broker) = status.map(|status| &status.broker) else {
        return findings.push(Finding::skipped(CHECK, "unknown while pawld is not running"));
    };
    let Some(address) = &broker.address else {
        return findings.push(Finding::skipped(CHECK, "unknown until the device is paired"));
    };
    findings.push(match (&broker.error, broker.connected) {
        (_, true) => Finding::ok(CHECK, format!("pawld is connected to {address}")),
        (error, false) => Finding::failed(
            CHECK,
            format!("pawld is not connected to {address}: {}", error.as_deref().unwrap_or("cause unknown")),
            "see the lines below; if they are all ok, see the broker's log",
        ),
    });
    let (Some(endpoint), Some(config)) = (Endpoint::parse(address), config) else { return };
    let Some(stream) = reach(&endpoint, ["broker-dns", "broker-tcp"], findings).await else { return };
    let Some(authorities) = trusted("broker-tls", config, findings) else { return };
    let floor = status.and_then(|status| status.time_floor);
    let handshake = endpoint.handshake(stream, authorities, floor).await;
    findings.push(match handshake.map(drop) {
        Ok(()) => {
            Finding::ok("broker-tls", format!("{endpoint} has a certificate issued by the configured CA"))
        }
        Err(fault @ TlsFault::UnknownIssuer) => Finding::warning(
            "broker-tls",
            format!("{endpoint}: {fault}"),
            "fine only if the broker uses a different CA, which the control plane names at pairing",
        ),
        Err(fault) => Finding::failed("broker-tls", format!("{endpoint}: {fault}"), remedy(&fault)),
    });
}

/// Checks DNS and TCP, with a finding for each. Returns the connection.
async fn reach(
    endpoint: &Endpoint,
    checks: [&'static str; 2],
    findings: &mut Vec<Finding>,
) -> Option<TcpStream> {
    let [dns, tcp] = checks;
    let addresses = endpoint.resolve().await;
    findings.push(match &addresses {
        _ if endpoint.is_address() => {
            Finding::skipped(dns, format!("{} is an IP address; no name to resolve", endpoint.host))
        }
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            Finding::ok(dns, format!("{} is {}", endpoint.host, addresses.join(", ")))
        }
        Err(error) => Finding::failed(
            dns,
            format!("cannot resolve {}: {error}", endpoint.host),
            "check the spelling, the network cable, and the name server: resolvectl status",
        ),
    });
    let stream = endpoint.connect(&addresses.ok()?).await;
    findings.push(match &stream {
        Ok(_) => Finding::ok(tcp, format!("{endpoint} answers")),
        Err(error) => Finding::failed(
            tcp,
            format!("{endpoint} does not answer: {error}"),
            format!("check that the server runs, and that firewalls allow TCP port {}", endpoint.port),
        ),
    });
    stream.ok()
}

fn trusted(check: &'static str, config: &Config, findings: &mut Vec<Finding>) -> Option<RootCertStore> {
    let authorities = endpoint::authorities(&config.control_plane.ca);
    if authorities.is_err() {
        findings.push(Finding::skipped(check, "no CA certificate to verify it with"));
    }
    authorities.ok()
}

async fn health(url: &BaseUrl, stream: TlsStream<TcpStream>, findings: &mut Vec<Finding>) -> Option<String> {
    const CHECK: &str = "control-plane";
    let host = url.to_string();
    let request = Request::get("/v1/health")
        .header(header::HOST, host.trim_start_matches("https://"))
        .body(Full::new(Bytes::new()));
    let answer = match request {
        Ok(request) => http::exchange(stream, request, HEALTH_LIMIT).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (finding, date) = match answer {
        Ok(answer) if answer.status.is_success() => {
            (Finding::ok(CHECK, format!("control plane {url} is healthy")), answer.date)
        }
        Ok(answer) => (
            Finding::failed(
                CHECK,
                format!("{url} answers {}", answer.status),
                "check control_plane.url, and the control plane's log",
            ),
            answer.date,
        ),
        Err(error) => {
            (Finding::failed(CHECK, format!("{url}: {error}"), "check the control plane's log"), None)
        }
    };
    findings.push(finding);
    date
}

fn remedy(fault: &TlsFault) -> &'static str {
    match fault {
        TlsFault::UnknownIssuer => {
            "if this is the right server, put the CA that issued its certificate into control_plane.ca"
        }
        TlsFault::Name => {
            "use the host name in the server's certificate, or have a certificate issued for this name"
        }
        TlsFault::Period => "set this device's clock, or have the server's certificate renewed",
        TlsFault::Other(_) => "check that a TLS 1.3 server listens there, and that no proxy intercepts TLS",
    }
}

#[cfg(test)]
mod tests;
