use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::connections::{Client, Connections, Network, Seat};
use crate::config::LimitsConfig;
use crate::keys::Identity;

/// Time for the TLS handshake, and again for the head of each request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest life of a connection: a device makes only a few requests on it.
const CONNECTION: Duration = Duration::from_secs(180);

/// Serves `router` over TLS 1.3 until `stop` resolves, then waits up to `grace` for running requests.
///
/// # Errors
/// [`ServeError`] when the certificate cannot be used or the address is taken.
pub async fn run(
    address: SocketAddr,
    identity: &Identity,
    limits: LimitsConfig,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), ServeError> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(identity)?));
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    tracing::info!(%address, "serving HTTPS");
    let connections = Connections::new(limits);
    let serve = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(seat) = connections.admit(Network::of(peer.ip())) else {
                        tracing::debug!(%peer, "connection refused: too many requests are being served");
                        continue;
                    };
                    tokio::spawn(connection(acceptor.clone(), stream, router.clone(), seat));
                }
                Err(error) => {
                    // Usually the process has no free file descriptor: give connections time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = serve => {}
        () = stop => {}
    }
    let _ = tokio::time::timeout(grace, connections.ended()).await;
    Ok(())
}

/// Serves one connection until it ends, reaches its longest life or is evicted.
async fn connection(acceptor: TlsAcceptor, stream: TcpStream, router: Router, seat: Seat) {
    tokio::select! {
        _ = tokio::time::timeout(CONNECTION, requests(acceptor, stream, router, seat.client())) => {}
        () = seat.evicted() => tracing::debug!("connection evicted"),
    }
}

async fn requests(acceptor: TlsAcceptor, stream: TcpStream, router: Router, client: Client) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        router.call(request)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn server_config(identity: &Identity) -> Result<ServerConfig, ServeError> {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(&identity.certificate)?.collect::<Result<_, pem::Error>>()?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)?;
    Ok(ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

/// Why the HTTPS server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file cannot be read.
    #[error("HTTPS: cannot read its certificate or key: {0}")]
    Pem(#[from] pem::Error),
    /// Certificate and key do not match.
    #[error("HTTPS: {0}")]
    Tls(#[from] rustls::Error),
    /// The address is in use or not of this host.
    #[error("HTTPS: cannot listen on {address}: {source}; change `listen` in the configuration")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
}
