use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::keys::Identity;

/// Connections at once; whoever comes later waits in the kernel's queue.
const CONNECTIONS: usize = 512;
/// For the TLS handshake, and again for the head of each request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A device makes a handful of requests; nothing keeps a connection longer.
const CONNECTION: Duration = Duration::from_secs(180);

/// Serves `router` over TLS 1.3 until `stop` resolves; running requests are given `grace`.
///
/// # Errors
/// [`ServeError`] when the certificate cannot be used or the address is taken.
pub async fn run(
    address: SocketAddr,
    identity: &Identity,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), ServeError> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(identity)?));
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    tracing::info!(%address, "HTTPS");
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let serve = async {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(acceptor.clone(), stream, router.clone());
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(CONNECTION, connection).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: give the connections time to end.
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
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(grace, connections.acquire_many(all)).await;
    Ok(())
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, router: Router) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
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

/// An HTTPS server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file cannot be read.
    #[error("HTTPS: cannot read its certificate or key: {0}")]
    Pem(#[from] pem::Error),
    /// Certificate and key do not fit.
    #[error("HTTPS: {0}")]
    Tls(#[from] rustls::Error),
    /// The address is taken or not ours.
    #[error("HTTPS: cannot listen on {address}: {source}; change `listen` in the configuration")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}
