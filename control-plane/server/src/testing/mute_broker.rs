//! A broker that withholds acknowledgements and refuses subscriptions, which mosquitto does not do on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::control_plane::ControlPlane;

/// Implements as much of MQTT 5 as the control plane needs to connect, subscribe and publish. It acknowledges every
/// message except the first one on the withheld topic.
pub(crate) struct MuteBroker {
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    topics: Mutex<Vec<String>>,
    withheld: Mutex<Option<String>>,
    refuses: AtomicBool,
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const PINGREQ: u8 = 12;

impl MuteBroker {
    /// Listens where `plane` expects its broker, and acknowledges the first message on `withheld` only when it is sent
    /// again.
    pub(crate) async fn start(plane: &ControlPlane, withheld: String) -> Self {
        let files = plane.config.state_dir.join("broker");
        let chain = CertificateDer::pem_file_iter(files.join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(files.join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", plane.config.broker.port)).await.unwrap();
        let seen = Arc::new(Seen { withheld: Mutex::new(Some(withheld)), ..Seen::default() });
        let broker = Self { seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = serve(stream, &seen).await;
                    }
                });
            }
        });
        broker
    }

    /// Sets whether it refuses subscriptions from now on.
    pub(crate) fn refuse_subscriptions(&self, refuses: bool) {
        self.seen.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Returns the number of the control plane's own connections, without those that check the broker.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Returns how many messages were published on this topic.
    pub(crate) fn published(&self, topic: &str) -> usize {
        self.seen.topics.lock().unwrap().iter().filter(|seen| *seen == topic).count()
    }
}

async fn serve(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    seen: &Seen,
) -> std::io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    loop {
        let (kind, body) = packet(&mut from).await?;
        let id_at = |at: usize| [body[at], body[at + 1]];
        match kind {
            CONNECT => {
                let keep_alive_and_flags = 10;
                // The properties follow, then the client id.
                let properties = usize::from(body[keep_alive_and_flags]);
                let client_id = &body[keep_alive_and_flags + 1 + properties + 2..];
                if client_id.starts_with(crate::keys::BROKER_USER.as_bytes()) {
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                }
                to.write_all(&[0x20, 3, 0, 0, 0]).await?;
            }
            SUBSCRIBE => {
                let [high, low] = id_at(0);
                // Granted QoS 1, or not authorized (MQTT 5.0, section 3.9.3).
                let reason = if seen.refuses.load(Ordering::Relaxed) { 0x87 } else { 1 };
                to.write_all(&[0x90, 4, high, low, 0, reason]).await?;
            }
            PUBLISH => {
                let length = usize::from(u16::from_be_bytes(id_at(0)));
                let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
                let [high, low] = id_at(2 + length);
                let is_withheld =
                    seen.withheld.lock().unwrap().take_if(|withheld| *withheld == topic).is_some();
                seen.topics.lock().unwrap().push(topic);
                if !is_withheld {
                    to.write_all(&[0x40, 2, high, low]).await?;
                }
            }
            PINGREQ => to.write_all(&[0xd0, 0]).await?,
            _ => {}
        }
        to.flush().await?;
    }
}

/// Reads a packet. Returns its kind and the bytes after the fixed header.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await? >> 4;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = from.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}
