//! The grant: one transaction that ends every earlier pairing of the device.

use std::sync::Arc;

use pawl_evidence::endorsement::EkTemplate;
use pawl_proto::message::{
    Appraisal, Broker, Certificate, PairingGrant, PairingProof, RefusalCode, ShortText, Standing, Verdict,
};
use pawl_proto::signed::OrderKey;
use pawl_proto::{Blob, Nonce};

use super::offers::Offer;
use super::proof::{self, Proven};
use super::request::{check_enrolled, check_epoch};
use super::{PairingError, Refusal};
use crate::control_plane::ControlPlane;
use crate::posture::{self, Judgement};
use crate::record::Fact;
use crate::store::{AcceptedState, HighWater, Pairing, PairingState, Tx};

pub(super) async fn grant(
    plane: &Arc<ControlPlane>,
    offer: Offer,
    proof: PairingProof,
) -> Result<PairingGrant, PairingError> {
    let proven = proof::check(&offer, &plane.keys.signing.lease.name(), &proof)?;
    let chain = link_chain(plane, &offer, &proven, proof.link_request.as_bytes())?;
    remember_state(plane, &offer, &proven).await?;
    let plane_in_tx = Arc::clone(plane);
    let report_length = proof.report.evidence.as_bytes().len();
    let (grant, verdict) = plane
        .store
        .transaction(move |tx| {
            let (verdict, message) = record_pairing(&plane_in_tx, tx, &offer, &proven, report_length)?;
            Ok::<_, PairingError>((message_of(&plane_in_tx, &offer, chain, message)?, verdict))
        })
        .await?;
    tracing::info!(
        device = %grant.device, pairing = %grant.pairing, epoch = %grant.epoch, endorsement = %grant.endorsement,
        verdict = ?verdict.result, "paired"
    );
    Ok(grant)
}

fn record_pairing(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    offer: &Offer,
    proven: &Proven,
    report_length: usize,
) -> Result<(Verdict, Vec<u8>), PairingError> {
    let now = plane.clock.now();
    let claim = &offer.claim;
    let (device, epoch) = (claim.device, claim.epoch);
    let ak_name = claim.attestation_key.name();
    // Again, since all this may have changed after the offer was made.
    check_enrolled(tx, device, claim.ek_sha256)?;
    check_epoch(tx, device, ak_name.as_bytes(), epoch)?;
    let highest = tx.high_water(ak_name.as_bytes())?;
    if !posture::raise_high_water(tx, ak_name.as_bytes(), epoch, proven.quote.clock())? {
        let message = "the TPM went back in time: an older state of it was restored, or it was cleared";
        return Err(Refusal::new(RefusalCode::WentBackwards, message).into());
    }
    let complete = posture::Complete::new(&proven.evidence, proven.quoted.digest, None, proven.quote.pcrs())
        .map_err(|error| Refusal::new(RefusalCode::Proof, error))?;
    let judgement = judge(plane, tx, offer, proven, &complete, highest)?;
    let pairing = Pairing {
        id: offer.id,
        device,
        epoch,
        state: PairingState::Live,
        paired_at: now,
        ended_at: None,
        scopes: offer.scopes.clone(),
        attestation_key: claim.attestation_key.public().as_bytes().to_vec(),
        counter: claim.counter.as_bytes().to_vec(),
        device_key: proven.device_key.as_bytes().to_vec(),
        policy_ref: offer.policy_ref,
        nonce: Nonce(crate::random::bytes()),
        base: None,
        reported: None,
    };
    // TPM2_NV_Certify has just shown where the counter stands: what lived below it is dead.
    tx.end_pairings_below(device, epoch, now)?;
    tx.settle_below(device, epoch)?;
    tx.add_pairing(&pairing)?;
    tx.set_endorsement(device, ek_kind(claim.template), &claim.endorsement)?;
    let host = proven.evidence.host.as_ref().unwrap_or(&offer.host);
    tx.set_boot_log(pairing.id, complete.boot_log.as_deref())?;
    tx.take_report(pairing.id, &complete.base, report_length, true, Some(host), now)?;
    let fact = Fact::Paired {
        pairing: pairing.id.to_string(),
        epoch: epoch.0,
        endorsement: claim.endorsement.clone(),
        scopes: offer.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        attestation_key: ak_name.to_string(),
        reason: offer.reason.as_str().to_owned(),
    };
    tx.record(device, now, fact)?;

    let draft = judgement.into_draft(plane, Standing::Active, None, proven.quoted.digest);
    let (verdict, message) = draft.issue(plane, tx, &pairing)?;
    posture::record_verdict(tx, &verdict, &proven.quoted)?;
    // The device gets it with the grant.
    tx.verdict_published(device, verdict.sequence)?;
    Ok((verdict, message))
}

/// Keeps what the device runs, also if it is refused for it: an operator may accept it.
async fn remember_state(plane: &ControlPlane, offer: &Offer, proven: &Proven) -> Result<(), PairingError> {
    let device = offer.claim.device;
    match posture::boot_state(&plane.config.lease.pcrs, &proven.quote) {
        Some(state) => Ok(plane.store.transaction(move |tx| tx.set_reported_state(device, &state)).await?),
        None => Err(Refusal::new(RefusalCode::Posture, "a PCR that leases name was not quoted").into()),
    }
}

/// Appraises the first report. The boot state of a device that has none accepted becomes its
/// accepted one: who enrolled it vouches for what it runs now.
fn judge(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    offer: &Offer,
    proven: &Proven,
    complete: &posture::Complete,
    highest: Option<HighWater>,
) -> Result<Judgement, PairingError> {
    let device = offer.claim.device;
    let mut accepted = tx.boot_states(device)?;
    if accepted.is_empty()
        && let Some(pcrs) = tx.reported_state(device)?
    {
        let now = plane.clock.now();
        let name = "the first pairing".to_owned();
        tx.accept_boot_state(device, &name, &pcrs, now)?;
        tx.record(device, now, posture::accepted_fact(&pcrs, &name))?;
        accepted.push(AcceptedState { name, pcrs });
    }
    let judgement = posture::judge(plane, &proven.quote, complete, offer.claim.epoch, accepted, highest);
    if judgement.result == Appraisal::Contraindicated {
        let reasons = judgement.reasons.join("; ");
        return Err(Refusal::new(RefusalCode::Posture, reasons).into());
    }
    Ok(judgement)
}

fn link_chain(
    plane: &ControlPlane,
    offer: &Offer,
    proven: &Proven,
    request: &[u8],
) -> Result<Vec<Certificate>, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::Proof, error);
    let leaf = plane
        .keys
        .authority
        .link_certificate(offer.claim.device.as_str(), &proven.link_key, request)
        .map_err(|error| refuse(&error))?;
    let chain = [leaf.to_vec(), plane.keys.authority.certificate().to_vec()];
    chain.into_iter().map(|der| Certificate::new(der).map_err(|error| refuse(&error))).collect()
}

fn message_of(
    plane: &ControlPlane,
    offer: &Offer,
    link_certificates: Vec<Certificate>,
    verdict: Vec<u8>,
) -> Result<PairingGrant, Refusal> {
    let too_long = |error| Refusal::new(RefusalCode::Malformed, error);
    let authority = plane.keys.authority.certificate().to_vec();
    Ok(PairingGrant {
        version: Default::default(),
        pairing: offer.id,
        device: offer.claim.device,
        epoch: offer.claim.epoch,
        control_plane: plane.config.name.clone(),
        endorsement: ShortText::lossy(&offer.claim.endorsement),
        link_certificates,
        broker: Broker {
            host: ShortText::lossy(&plane.config.broker.host),
            port: plane.config.broker.port,
            authority: Certificate::new(authority).map_err(too_long)?,
        },
        scopes: offer.scopes.clone(),
        order_keys: vec![OrderKey::from(&plane.keys.signing.order)],
        verdict: Blob::new(verdict).map_err(too_long)?,
    })
}

/// As the device names it too.
fn ek_kind(template: EkTemplate) -> &'static str {
    match template {
        EkTemplate::Rsa2048 => "rsa-2048",
        EkTemplate::EccP256 => "ecc-p256",
        EkTemplate::EccP384 => "ecc-p384",
    }
}
