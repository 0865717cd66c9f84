use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use pawl_proto::message::{
    ApprovalStep, GivenApproval, PairingApproved, PairingOffer, PairingRequest, SessionProof, SshSignature,
    StatementBytes, Waiting,
};
use pawl_proto::{Blob, PairingId, SessionId, Text};

use super::device::Device;
use crate::control_plane::ControlPlane;
use crate::pairing::{self, Progress};
use crate::refusal::RequestError;

/// A device's end of a session for a pairing.
#[derive(Clone, Debug)]
pub(crate) struct OpenedSession {
    pub(crate) id: SessionId,
    /// The secret that opened it.
    pub(crate) secret: Vec<u8>,
}

impl Device {
    /// Returns the proof that answers an offer for [`Device::request`].
    pub(crate) fn session_proof(&mut self, offer: &PairingOffer) -> SessionProof {
        let secret = self.tpm.activate(&offer.credential).unwrap_or_default();
        let (counter_attest, counter_signature) = self.tpm.certify_counter(&offer.nonce.0);
        let pairing = self.pairing.replace(PairingId::from(offer.session));
        let report = self.report(offer.nonce, None);
        // The old pairing lasts until the new one is granted.
        self.pairing = pairing;
        let request = self.request();
        SessionProof {
            version: Default::default(),
            request,
            expires: offer.expires,
            secret: Blob::new(secret).unwrap(),
            counter_attest,
            counter_signature,
            report,
        }
    }

    /// Opens a session.
    pub(crate) async fn ask(
        &mut self,
        plane: &Arc<ControlPlane>,
        request: PairingRequest,
    ) -> Result<(OpenedSession, Progress), RequestError> {
        let offer = pairing::offer(plane, request.clone()).await?;
        let proof = SessionProof { request, ..self.session_proof(&offer) };
        let asked = OpenedSession { id: offer.session, secret: proof.secret.as_bytes().to_vec() };
        Ok((asked, pairing::open(plane, offer.session, proof, self.network).await?))
    }

    /// Opens a session that a person must approve.
    pub(crate) async fn ask_persons(
        &mut self,
        plane: &Arc<ControlPlane>,
        request: PairingRequest,
    ) -> (OpenedSession, Waiting) {
        let (asked, progress) = self.ask(plane, request).await.unwrap();
        (asked, progress.waits())
    }
}

impl OpenedSession {
    pub(crate) async fn step(
        &self,
        plane: &Arc<ControlPlane>,
        approval: Option<GivenApproval>,
        confirmation: Option<&str>,
    ) -> Result<Progress, RequestError> {
        let step = ApprovalStep {
            version: Default::default(),
            secret: Blob::new(self.secret.clone()).unwrap(),
            approval,
            confirmation: confirmation.map(|typed| Text::new(typed).unwrap()),
        };
        pairing::step(plane, self.id, step).await
    }

    pub(crate) async fn poll(&self, plane: &Arc<ControlPlane>) -> Result<Progress, RequestError> {
        self.step(plane, None, None).await
    }

    pub(crate) async fn approve(
        &self,
        plane: &Arc<ControlPlane>,
        approval: GivenApproval,
    ) -> Result<Progress, RequestError> {
        self.step(plane, Some(approval), None).await
    }
}

impl Progress {
    pub(crate) fn waits(self) -> Waiting {
        match self {
            Self::Waiting(waiting) => *waiting,
            Self::Approved(approved) => panic!("approved: {approved:?}"),
        }
    }

    pub(crate) fn approved(self) -> PairingApproved {
        match self {
            Self::Approved(approved) => *approved,
            Self::Waiting(waiting) => panic!("waits: {waiting:?}"),
        }
    }
}

/// A person with an SSH key, who signs with ssh-keygen.
pub(crate) struct Approver {
    key: PathBuf,
    name: String,
}

impl Approver {
    /// Creates a key in `dir`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let key = dir.join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        Self { key, name: name.to_owned() }
    }

    /// Returns their line in a list of approvers.
    pub(crate) fn line(&self, options: &str) -> String {
        let public = std::fs::read_to_string(self.key.with_extension("pub")).unwrap();
        format!("{} {options} {public}", self.name)
    }

    /// Returns the path of the private key.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    pub(crate) fn sign(&self, statement: &StatementBytes) -> GivenApproval {
        self.sign_for(statement, "pawl-approval@v1")
    }

    pub(crate) fn sign_for(&self, statement: &StatementBytes, namespace: &str) -> GivenApproval {
        let message = self.key.with_extension("message");
        let signature = self.key.with_extension("message.sig");
        let _ = std::fs::remove_file(&signature);
        std::fs::write(&message, statement.to_be_signed()).unwrap();
        let signed = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", namespace, "-f"])
            .args([&self.key, &message])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(signed.success());
        let signature = SshSignature::new(std::fs::read(&signature).unwrap()).unwrap();
        GivenApproval { statement: statement.clone(), signature }
    }
}
