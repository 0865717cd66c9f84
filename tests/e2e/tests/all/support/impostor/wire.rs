//! HTTPS to the control plane.

use std::sync::Arc;

use pawl_e2e::rig::ControlPlane;
use pawl_proto::message::PairingRefusal;
use pawl_proto::{codec, limits};
use reqwest::blocking::Client;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) struct Wire {
    client: Client,
    url: String,
}

impl Wire {
    pub(super) fn to(control_plane: &ControlPlane) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(control_plane.ca()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        Self { client, url: control_plane.url() }
    }

    pub(super) fn post<T: Serialize, A: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        message: &T,
    ) -> Result<A, PairingRefusal> {
        let response = self
            .client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/cbor")
            .body(codec::encode(message).unwrap())
            .send()
            .unwrap();
        let success = response.status().is_success();
        let body = response.bytes().unwrap();
        if success {
            Ok(codec::decode(&body, limits::MESSAGE).unwrap())
        } else {
            Err(codec::decode(&body, limits::MESSAGE).unwrap())
        }
    }
}
