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
    /// Enrols and pairs a device under a policy that needs no approval. Returns it with its first verdict.
    pub(crate) async fn paired(rig: &Rig) -> (Self, Verdict) {
        let device = Device::enrolled(&rig.plane).await;
        let request = device.request();
        Self::pair(rig, device, request).await
    }

    /// Pairs a device with this request. Returns it with its first verdict.
    pub(crate) async fn pair(rig: &Rig, mut device: Device, request: PairingRequest) -> (Self, Verdict) {
        let (asked, progress) = device.ask(&rig.plane, request).await.unwrap();
        let proof = device.proof(asked.id, &progress.approved());
        let grant = pairing::prove(&rig.plane, asked.id, proof).await.unwrap();
        let verdict = decode_verdict(&rig.plane, device.id(), grant.verdict.as_bytes());
        let (nonce, base) = (verdict.nonce, verdict.answers);
        (Self { device, nonce, base, plane: Arc::clone(&rig.plane) }, verdict)
    }

    /// Returns an encoded whole report.
    pub(crate) fn message(&mut self) -> Vec<u8> {
        pawl_proto::encode(&self.device.report(self.nonce, None)).unwrap()
    }

    /// Sends a whole report, and returns the verdict on it.
    pub(crate) async fn report(&mut self) -> Verdict {
        self.base = None;
        self.steady().await
    }

    /// Sends a whole report with the nonce of the last verdict, and returns the verdict on it, if there is one.
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

    /// Sends a report that builds on the last one, and returns the verdict on it. Uses the nonce of a verdict that came
    /// in between.
    pub(crate) async fn steady(&mut self) -> Verdict {
        if let Some(newer) = self.device.next_verdict(&self.plane).await {
            self.nonce = newer.nonce;
        }
        let report = self.device.report(self.nonce, self.base);
        let message = pawl_proto::encode(&report).unwrap();
        posture::receive(&self.plane, self.device.id(), message).await.unwrap();
        let verdict = self.device.next_verdict(&self.plane).await.unwrap();
        (self.nonce, self.base) = (verdict.nonce, verdict.answers.filter(|_| !verdict.whole));
        verdict
    }
}
