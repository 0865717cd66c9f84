use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pawl_approval::{NAMESPACE, Signature};
use pawl_proto::DeviceId;
use pawl_proto::record::Link;

use super::contents::{Contents, DeviceEntry, Entry, Format};
use super::text::Base64;
use crate::control_plane::ControlPlane;
use crate::store::{StoreError, Tx};
use pawl_verifier::record::{ApprovedBy, Fact, Record};

/// Everything that is kept about a device's records, as it is stored: whether it holds is for
/// [`super::check`] to say.
pub(crate) fn collect(plane: &ControlPlane, tx: &Tx<'_>, device: DeviceId) -> Result<Contents, StoreError> {
    let links = tx.record_links(device)?;
    let approvers =
        links.iter().flat_map(approvals).filter_map(|by| allowed_line(&by)).collect::<BTreeSet<_>>();
    let device_records = tx.device_records(device)?.into_iter().map(|row| DeviceEntry {
        chain: row.chain,
        sequence: row.sequence,
        pairing: row.pairing,
        received_at: row.received_at,
        record: Entry::new(row.link),
    });
    Ok(Contents {
        format: Format::First,
        control_plane: plane.config.url.to_string(),
        device,
        time: plane.clock.now(),
        attestation_keys: tx.attestation_keys(device)?.into_iter().map(Base64).collect(),
        lease_keys: vec![Base64(plane.keys.signing.lease.public().as_bytes().to_vec())],
        approvers: approvers.into_iter().collect(),
        checkpoint: tx.checkpoint(device)?,
        device_records: device_records.collect(),
        records: links.into_iter().map(Entry::new).collect(),
    })
}

fn approvals(link: &Link) -> Vec<ApprovedBy> {
    match pawl_proto::decode(&link.body, pawl_proto::limits::MESSAGE) {
        Ok(Record { fact: Fact::Approved { by, .. }, .. }) => by,
        _ => Vec::new(),
    }
}

/// An approver as a line of an `allowed_signers` file; none where the record holds no signature.
fn allowed_line(by: &ApprovedBy) -> Option<String> {
    let signature = Signature::parse(&by.signature).ok()?;
    let (principal, key) = (&by.principal, signature.key());
    let blob = BASE64_STANDARD.encode(key.blob());
    Some(format!("{principal} namespaces=\"{NAMESPACE}\" {} {blob}", key.algorithm()))
}
