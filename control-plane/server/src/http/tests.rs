//! Tests of the answers' status codes and headers.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request as ClientRequest};
use hyper_util::rt::TokioIo;
use pawl_proto::limits;
use pawl_proto::message::{ApprovalStep, PairingOffer, PairingRefusal, RefusalCode, Waiting};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{Device, Rig};

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Bytes,
}

impl Answer {
    fn refused(&self) -> RefusalCode {
        pawl_proto::decode::<PairingRefusal>(&self.body, limits::MESSAGE).unwrap().code
    }
}

async fn serve(plane: &Arc<ControlPlane>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(Arc::clone(plane));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn send(address: std::net::SocketAddr, method: Method, path: &str, body: Vec<u8>) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = ClientRequest::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let headers = response.headers().iter();
    Answer {
        status: response.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: response.into_body().collect().await.unwrap().to_bytes(),
    }
}

async fn post(address: std::net::SocketAddr, path: &str, message: &impl Serialize) -> Answer {
    send(address, Method::POST, path, pawl_proto::encode(message).unwrap()).await
}

#[tokio::test]
async fn the_status_code_shows_the_state_of_a_session() {
    let (rig, persons) = Rig::approved_by("", &["ann"]);
    let address = serve(&rig.plane).await;
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();

    let offered = post(address, "/v1/pairings", &device.request()).await;
    assert_eq!((offered.status, offered.headers["content-type"].as_str()), (200, "application/cbor"));
    let offer: PairingOffer = pawl_proto::decode(&offered.body, limits::MESSAGE).unwrap();
    let (at, proof) = (format!("/v1/pairings/{}", offer.session), device.session_proof(&offer));
    let opened = post(address, &format!("{at}/session"), &proof).await;
    assert_eq!((opened.status, opened.headers["retry-after"].as_str()), (202, "2"));
    let waiting: Waiting = pawl_proto::decode(&opened.body, limits::MESSAGE).unwrap();

    let mut step = ApprovalStep {
        version: Default::default(),
        secret: proof.secret.clone(),
        approval: None,
        confirmation: None,
    };
    assert_eq!(post(address, &format!("{at}/approval"), &step).await.status, 202);
    step.approval = Some(rig.person("stranger").sign(&waiting.statement));
    let refused = post(address, &format!("{at}/approval"), &step).await;
    assert_eq!((refused.status, refused.refused()), (403, RefusalCode::ApprovalRefused));
    step.approval = Some(persons[0].sign(&waiting.statement));
    assert_eq!(post(address, &format!("{at}/approval"), &step).await.status, 200);
    assert_eq!(post(address, &format!("{at}/session"), &proof).await.status, 200, "the proof is sent again");

    let nowhere = format!("/v1/pairings/{}/approval", "00".repeat(16));
    let unknown = post(address, &nowhere, &step).await;
    assert_eq!((unknown.status, unknown.refused()), (410, RefusalCode::Stale));
    let malformed = send(address, Method::POST, &format!("{at}/approval"), b"no".to_vec()).await;
    assert_eq!((malformed.status, malformed.refused()), (400, RefusalCode::Malformed));
    let misnamed = post(address, "/v1/pairings/x/approval", &step).await;
    assert_eq!((misnamed.status, misnamed.refused()), (400, RefusalCode::Malformed));
}

#[tokio::test]
async fn the_page_of_approvals_runs_and_loads_nothing() {
    let rig = Rig::new();
    let page = send(serve(&rig.plane).await, Method::GET, "/approve", Vec::new()).await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(text.contains("pawl-control-plane approve --code"), "{text}");
    assert!(!text.contains("<script") && !text.contains("src="), "{text}");
}
