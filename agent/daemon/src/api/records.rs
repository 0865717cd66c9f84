//! `GET /v1/records[?after=SEQUENCE]`: the device's assurance records, a page at a time.

use super::Api;
use super::answer::{Answer, parameter};
use super::peer::Peer;
use crate::problem::problem;

/// The records of one answer.
const PAGE: usize = 256;

impl Api {
    pub(super) async fn records(&self, peer: Peer, query: &str) -> Answer {
        if let Err(problem) = peer.must_administrate() {
            return Answer::forbidden(&problem);
        }
        let after = match parameter(query, "after").map(|after| after.parse()) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => return Answer::bad_request("after is the sequence of a record, a number"),
        };
        // The records are one device's: without the TPM's word nobody knows which.
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
