use std::sync::Arc;

use pawl_proto::message::{PairingRequest, Verdict};
use pawl_proto::{Digest, Nonce};

use super::Rig;
use super::device::{Device, decode_verdict};
use crate::control_plane::ControlPlane;
use crate::{pairing, posture};

/// A paired device that reports as the daemon would.
pub(crate) struct Reporting {
    pub(crate) device: Device,
    nonce: Nonce,
    base: Option<Digest>,
    plane: Arc<ControlPlane>,
}

impl Reporting {
    /// A device that somebody enrolled, paired if nobody has to approve; with its first verdict.
    pub(crate) async fn paired(rig: &Rig) -> (Self, Verdict) {
        let device = Device::enrolled(&rig.plane).await;
        let request = device.request();
        Self::pair(rig, device, request).await
    }

    /// A device that pairs on this request.
    pub(crate) async fn pair(rig: &Rig, mut device: Device, request: PairingRequest) -> (Self, Verdict) {
        let (asked, progress) = device.ask(&rig.plane, request).await.unwrap();
        let proof = device.proof(asked.id, &progress.approved());
        let grant = pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
        let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
        let (nonce, base) = (verdict.nonce, verdict.answers);
        (Self { device, nonce, base, plane: Arc::clone(&rig.plane) }, verdict)
    }

    /// A whole report, encoded.
    pub(crate) fn message(&mut self) -> Vec<u8> {
        pawl_proto::encode(&self.device.report(self.nonce, None)).unwrap()
    }

    /// A whole report, and the verdict on it.
    pub(crate) async fn report(&mut self) -> Verdict {
        self.base = None;
        self.steady().await
    }

    /// A whole report, and the verdict on it, if there is one. It repeats the nonce of the last verdict.
    pub(crate) async fn try_report(&mut self) -> Option<Verdict> {
        let report = self.device.report(self.nonce, None);
        let before = self.device.next_verdict(&self.plane).await.map(|verdict| verdict.sequence);
        let message = pawl_proto::encode(&report).unwrap();
        posture::receive(&self.plane, self.device.id(), message).await.unwrap();
        let verdict = self.device.next_verdict(&self.plane).await?;
        if before == Some(verdict.sequence) {
            return None;
        }
        self.nonce = verdict.nonce;
        Some(verdict)
    }

    /// A report that builds on the last one, and the verdict on it. What was said in between is heard
    /// first.
    pub(crate) async fn steady(&mut self) -> Verdict {
        if let Some(told) = self.device.next_verdict(&self.plane).await {
            self.nonce = told.nonce;
        }
        let report = self.device.report(self.nonce, self.base);
        let message = pawl_proto::encode(&report).unwrap();
        posture::receive(&self.plane, self.device.id(), message).await.unwrap();
        let verdict = self.device.next_verdict(&self.plane).await.unwrap();
        (self.nonce, self.base) = (verdict.nonce, verdict.answers.filter(|_| !verdict.whole));
        verdict
    }
}
