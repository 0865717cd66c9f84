use pawl_proto::message::{Broker, Certificate, PairingGrant, RefusalCode, ShortText, Verdict};
use pawl_proto::signed::OrderKey;
use pawl_proto::{Blob, PairingId};

use super::grant::Open;
use crate::control_plane::ControlPlane;
use pawl_verifier::Refusal;
use pawl_verifier::pairing::{Claim, ProvenPairing};

/// The certificates of a link key, leaf first.
pub(super) struct LinkChain {
    pub(super) certificates: Vec<Certificate>,
    /// The leaf's serial number.
    pub(super) serial: Vec<u8>,
}

/// The link key's certificate and the authority's, for a key that signed the request.
pub(super) fn link_chain(
    plane: &ControlPlane,
    claim: &Claim,
    proven: &ProvenPairing,
    request: &[u8],
) -> Result<LinkChain, Refusal> {
    let refuse = |error: &dyn std::fmt::Display| Refusal::new(RefusalCode::Proof, error);
    let leaf = plane
        .keys
        .authority
        .link_certificate(claim.device.as_str(), &proven.link_key, request)
        .map_err(|error| refuse(&error))?;
    let chain = [leaf.der.to_vec(), plane.keys.authority.certificate().to_vec()];
    let certificates = chain.into_iter().map(|der| Certificate::new(der).map_err(|error| refuse(&error)));
    Ok(LinkChain { certificates: certificates.collect::<Result<_, _>>()?, serial: leaf.serial })
}

/// The grant as the device gets it.
pub(super) fn grant(
    plane: &ControlPlane,
    open: &Open,
    proven: &ProvenPairing,
    link_certificates: Vec<Certificate>,
    (verdict, message): (&Verdict, Vec<u8>),
) -> Result<PairingGrant, Refusal> {
    let too_long = |error| Refusal::new(RefusalCode::Malformed, error);
    let authority = plane.keys.authority.certificate().to_vec();
    Ok(PairingGrant {
        version: Default::default(),
        pairing: PairingId::from(open.session.id),
        device: open.claim.device,
        epoch: proven.epoch,
        control_plane: plane.config.name.clone(),
        endorsement: ShortText::lossy(&open.data.endorsement),
        link_certificates,
        broker: Broker {
            host: ShortText::lossy(&plane.config.broker.host),
            port: plane.config.broker.port,
            authority: Certificate::new(authority).map_err(too_long)?,
        },
        scopes: verdict.entitlement.scopes.clone(),
        order_keys: vec![OrderKey::from(&plane.keys.signing.order)],
        verdict: Blob::new(message).map_err(too_long)?,
    })
}
