//! HTTPS to the control plane.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pawl_e2e::rig::ControlPlane;
use pawl_proto::message::PairingRefusal;
use pawl_proto::{codec, limits};
use reqwest::StatusCode;
use reqwest::blocking::Client;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Progress;

pub(crate) struct Wire {
    client: Client,
    url: String,
}

impl Wire {
    pub(crate) fn to(control_plane: &ControlPlane) -> Self {
        Self::from_address(control_plane, Ipv4Addr::LOCALHOST)
    }

    /// The same from another address of this machine.
    pub(crate) fn from_address(control_plane: &ControlPlane, address: Ipv4Addr) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(control_plane.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client =
            Client::builder().tls_backend_preconfigured(tls).local_address(IpAddr::from(address)).no_proxy();
        let client = client.build().unwrap();
        Self { client, url: control_plane.url() }
    }

    pub(super) fn post<T: Serialize, A: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        message: &T,
    ) -> Result<A, PairingRefusal> {
        self.send(path, message).map(|(_, body)| codec::decode(&body, limits::MESSAGE).unwrap())
    }

    /// The answer to a step of a session.
    pub(super) fn progress<T: Serialize>(&self, path: &str, message: &T) -> Result<Progress, PairingRefusal> {
        let (status, body) = self.send(path, message)?;
        Ok(match status.as_u16() {
            202 => Progress::Waiting(Box::new(codec::decode(&body, limits::MESSAGE).unwrap())),
            _ => Progress::Approved(Box::new(codec::decode(&body, limits::MESSAGE).unwrap())),
        })
    }

    /// A form with a DPoP proof; the HTTP status, and the JSON of the answer.
    pub(crate) fn post_form(&self, path: &str, form: String, proof: &str) -> (u16, serde_json::Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", proof)
            .body(form)
            .send()
            .unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().unwrap()).unwrap())
    }

    /// Any bytes; the HTTP status alone.
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> u16 {
        let response = self.client.post(format!("{}{path}", self.url)).body(body.to_vec()).send().unwrap();
        response.status().as_u16()
    }

    /// JSON; the HTTP status, and the JSON of the answer.
    pub(crate) fn post_json(&self, path: &str, question: &serde_json::Value) -> (u16, serde_json::Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(question.to_string())
            .send()
            .unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().unwrap()).unwrap())
    }

    fn send<T: Serialize>(&self, path: &str, message: &T) -> Result<(StatusCode, Vec<u8>), PairingRefusal> {
        let response = self
            .client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/cbor")
            .body(codec::encode(message).unwrap())
            .send()
            .unwrap();
        let status = response.status();
        let body = response.bytes().unwrap().to_vec();
        if status.is_success() {
            Ok((status, body))
        } else {
            Err(codec::decode(&body, limits::MESSAGE).unwrap())
        }
    }
}
