//! Who acts on assurances: somebody with the fleet's certificate, who knows what to expect.

use pawl_e2e::Rig;
use pawl_evidence::assurance::{self, Assurance, AssuranceError, Expected};
use pawl_local_api::{ActionRequest, ActionStatus};
use pawl_proto::message::ShortText;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::impostor::Wire;

pub(crate) struct Receiver {
    ca: Vec<u8>,
    wire: Wire,
}

impl Receiver {
    pub(crate) fn of(rig: &Rig) -> Self {
        let ca = CertificateDer::from_pem_file(rig.control_plane.ca()).unwrap().to_vec();
        Self { ca, wire: Wire::to(&rig.control_plane) }
    }

    /// Off line, with the certificate alone.
    pub(crate) fn check(
        &self,
        assurance: &str,
        wanted: &ActionRequest,
        device: Option<&str>,
    ) -> Result<Assurance, AssuranceError> {
        let digest = hex::decode(&wanted.digest).unwrap().try_into().unwrap();
        let expected = Expected {
            device,
            action: wanted.action.as_str(),
            resource: wanted.resource.as_str(),
            digest: &digest,
            session: wanted.session.as_str(),
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assurance::verify(assurance, &self.ca, now, &expected)
    }

    /// With the control plane's word.
    pub(crate) fn ask(
        &self,
        assurance: &str,
        wanted: &ActionRequest,
        device: Option<&str>,
        consume: bool,
    ) -> Value {
        let question = json!({
            "assurance": assurance, "action": wanted.action, "resource": wanted.resource,
            "digest": wanted.digest, "session": wanted.session, "device": device, "consume": consume,
        });
        let (status, answer) = self.wire.post_json("/v1/assurances/verify", &question);
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

/// What a workload asks before it writes firmware.
pub(crate) fn update(version: &str) -> ActionRequest {
    ActionRequest {
        action: ShortText::lossy("firmware-update"),
        resource: ShortText::lossy("/dev/mtd0"),
        digest: hex::encode(Sha256::digest(version)),
        session: ShortText::lossy(&format!("update {version}")),
        reason: ShortText::lossy("the pump stalls"),
    }
}

/// The assurance, where there is one.
pub(crate) fn assured(status: ActionStatus) -> String {
    status.assurance.unwrap_or_else(|| panic!("no assurance: {:?}, {:?}", status.problem, status.waiting))
}
