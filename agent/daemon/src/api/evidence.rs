//! `GET /v1/evidence?nonce=HEX`: a fresh quote and the logs, for another verifier; `GET /v1/records[?after=SEQUENCE]`:
//! the audit records, a page at a time.

use std::io;

use pawl_evidence::tpm::Public;
use pawl_local_api::EvidenceExport;
use pawl_proto::Digest;

use super::Api;
use super::answer::{Answer, parameter};
use super::peer::Peer;
use crate::posture::{self, QuoteError};
use crate::problem::problem;
use crate::random;

impl Api {
    pub(super) async fn evidence(&self, peer: Peer, query: &str) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let nonce = match parameter(query, "nonce").map(|nonce| parse(&nonce)) {
            None => Digest(random::bytes()),
            Some(Some(nonce)) => nonce,
            Some(None) => return Answer::bad_request("the nonce must be 64 hexadecimal digits"),
        };
        match self.export(nonce).await {
            Ok(export) => Answer::ok(&export),
            Err(error) => {
                let remedy = match &error {
                    QuoteError::Tpm(error) => error.remedy(),
                    _ => "ask again; if it fails again, see the log: journalctl -u pawld",
                };
                Answer::unavailable(&problem("no-evidence", error.to_string(), remedy))
            }
        }
    }

    async fn export(&self, nonce: Digest) -> Result<EvidenceExport, QuoteError> {
        let identity = self.shared.identity().await?;
        let public = Public::unmarshal(&identity.ak_public).map_err(|_| QuoteError::Malformed)?;
        let ak_pem = public.to_spki_pem().map_err(|_| QuoteError::Malformed)?;
        let (attestation, pcrs) = posture::quote_stable(&self.shared.tpm, nonce).await?;
        let mut notes = Vec::new();
        let mut log = |name: &str, contents: io::Result<Vec<u8>>| match contents {
            Ok(contents) => Some(hex::encode(&contents)),
            Err(error) => {
                notes.push(format!("no {name}: {error}"));
                None
            }
        };
        let logs = self.shared.logs.clone();
        let read = tokio::task::spawn_blocking(move || {
            (logs.export_boot(), logs.export_measure(), logs.export_ima())
        })
        .await;
        let (boot_log, measure_log, ima_log) = read.map_err(|_| QuoteError::Logs)?;
        let (boot_log, ima_log) = (log("boot log", boot_log), log("IMA log", ima_log));
        let measure_log = log("systemd measurement log", measure_log);
        Ok(EvidenceExport {
            attest: hex::encode(&attestation.attest),
            signature: hex::encode(&attestation.signature),
            ak_pem,
            pcrs: pcrs.into_iter().map(|(index, value)| (index, value.to_string())).collect(),
            nonce: nonce.to_string(),
            boot_log,
            measure_log,
            ima_log,
            notes,
        })
    }

    pub(super) async fn records(&self, peer: Peer, query: &str) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let after = match parameter(query, "after").map(|after| after.parse()) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => return Answer::bad_request("after must be the number of a record"),
        };
        // The records belong to one device. Only the TPM's endorsement key identifies the device.
        if let Err(error) = self.shared.identity().await {
            return Answer::unavailable(&problem("tpm", error.to_string(), error.remedy()));
        }
        match self.shared.audit.page(after, PAGE).await {
            Ok(page) => Answer::ok(&page),
            Err(error) => {
                let remedy = "see the log: journalctl -u pawld";
                Answer::unavailable(&problem("no-records", error.to_string(), remedy))
            }
        }
    }
}

/// Parses the caller's nonce, which goes into the quote unchanged. The caller cannot use such a quote for a report: there the quote
/// contains the SHA-256 of the evidence, and the caller would have to find a preimage.
fn parse(text: &str) -> Option<Digest> {
    let mut nonce = [0; 32];
    hex::decode_to_slice(text, &mut nonce).ok()?;
    Some(Digest(nonce))
}

/// Limit of the records in one answer.
const PAGE: usize = 256;
