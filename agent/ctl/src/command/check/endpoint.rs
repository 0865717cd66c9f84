//! Checks the connection to one server, step by step: name, TCP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Time for each step. A slower network is unusable.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// Parses `host:port`, with an IPv6 address in brackets.
    pub(super) fn parse(address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Some(Self { host: bare.unwrap_or(host).to_owned(), port: port.parse().ok()? })
    }

    /// Returns whether the host is an IP address, which needs no name server.
    pub(super) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// Resolves the host name.
    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = within(lookup_host((self.host.as_str(), self.port))).await?.collect();
        if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
    }

    /// Connects to the first of the addresses that answers.
    pub(super) async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match within(TcpStream::connect(address)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Does a TLS 1.3 handshake that trusts only `authorities`. It succeeds even if the server then requires a client certificate
    /// (RFC 8446, section 4.4.2.4). If the wall clock is behind `floor`, certificates must be valid at `floor`, as in the daemon.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        authorities: RootCertStore,
        floor: Option<u64>,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let name = ServerName::try_from(self.host.clone())?;
        let time = Arc::new(NotBefore(UnixTime::since_unix_epoch(Duration::from_secs(floor.unwrap_or(0)))));
        let config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), time)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.map_err(TlsFault::from)
    }
}

/// The wall clock, but at least this time.
#[derive(Debug)]
struct NotBefore(UnixTime);

impl TimeProvider for NotBefore {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::now().max(self.0))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Why the TLS handshake failed. Each variant has its own remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("its certificate was not issued by the configured CA")]
    UnknownIssuer,
    #[error("its certificate is for another host name")]
    Name,
    #[error("its certificate has expired or is not valid yet")]
    Period,
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for TlsFault {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => error.clone().into(),
            None => Self::Other(error.to_string()),
        }
    }
}

impl From<rustls::Error> for TlsFault {
    fn from(error: rustls::Error) -> Self {
        use CertificateError as Fault;
        match &error {
            rustls::Error::InvalidCertificate(fault) => match fault {
                Fault::UnknownIssuer | Fault::BadSignature => Self::UnknownIssuer,
                Fault::NotValidForName | Fault::NotValidForNameContext { .. } => Self::Name,
                Fault::Expired
                | Fault::ExpiredContext { .. }
                | Fault::NotValidYet
                | Fault::NotValidYetContext { .. } => Self::Period,
                _ => Self::Other(error.to_string()),
            },
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<InvalidDnsNameError> for TlsFault {
    fn from(_: InvalidDnsNameError) -> Self {
        Self::Other("the server's name is neither a host name nor an IP address".to_owned())
    }
}

/// Reads the trusted certificates from a PEM file.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, AuthoritiesError> {
    let failed = |what: String| AuthoritiesError { path: path.display().to_string(), what };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        store.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if store.is_empty() { Err(failed("the file contains no certificate".to_owned())) } else { Ok(store) }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read a CA certificate from {path}: {what}")]
pub(super) struct AuthoritiesError {
    path: String,
    what: String,
}
