//! Tests the link with a broker that withholds an acknowledgement. Mosquitto cannot be made to do that.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pawl_proto::codec::Version;
use pawl_proto::message::DeviceState;
use pawl_proto::{Epoch, Text};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::time::timeout;

use super::*;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;

/// The parts of an MQTT 5 broker that the link needs. It does not acknowledge the first message.
struct MuteBroker {
    port: u16,
    certificate: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
}

impl MuteBroker {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let (connections, published) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = ServerConnection::new(Arc::clone(&config)).unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let published = Arc::clone(&published);
                std::thread::spawn(move || serve(StreamOwned::new(server, stream), &published));
            }
        });
        Self { port, certificate, connections }
    }

    fn endpoint(&self) -> Endpoint {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let device = DeviceId::from_digest([1; 32]);
        let authority = self.certificate.to_vec().try_into().unwrap();
        let broker = Broker { host: Text::lossy("localhost"), port: self.port, authority };
        let last_will =
            Status { version: Version, device, online: false, state: DeviceState::Lapsed, epoch: Epoch(1) };
        Endpoint { device, broker, tls, last_will }
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    published: &AtomicUsize,
) -> std::io::Result<()> {
    loop {
        let (kind, body) = packet(&mut stream)?;
        match kind {
            CONNECT => stream.write_all(&[0x20, 3, 0, 0, 0])?,
            SUBSCRIBE => stream.write_all(&[0x90, 5, body[0], body[1], 0, 1, 1])?,
            PUBLISH => {
                let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let id = &body[2 + length..4 + length];
                if published.fetch_add(1, Ordering::Relaxed) > 0 {
                    stream.write_all(&[0x40, 2, id[0], id[1]])?;
                }
            }
            _ => {}
        }
        stream.flush()?;
    }
}

/// Reads a packet. Returns its type, and the bytes after its fixed header.
fn packet(from: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    let (kind, mut length) = (byte[0] >> 4, 0);
    for shift in [0, 7, 14, 21] {
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((kind, body))
}

#[tokio::test]
async fn a_parcel_without_acknowledgement_is_sent_again_on_a_new_connection() {
    let broker = MuteBroker::start();
    let (events, mut received) = mpsc::channel(16);
    let link = Link::start(broker.endpoint(), events).unwrap();
    let kind = ParcelKind::Receipt(Epoch(7));
    link.publish(Parcel { kind, payload: b"receipt".to_vec() });
    let delivered = async {
        let mut losses = 0;
        loop {
            match received.recv().await {
                Some(LinkEvent::Delivered(delivered)) => return (delivered, losses),
                Some(LinkEvent::Lost(_)) => losses += 1,
                Some(_) => {}
                None => panic!("the link has ended"),
            }
        }
    };
    let (delivered, losses) = timeout(Duration::from_secs(20), delivered).await.unwrap();
    assert_eq!((delivered, losses), (kind, 1));
    assert_eq!(broker.connections.load(Ordering::Relaxed), 2);
}
