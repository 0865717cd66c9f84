//! Assurance records: what was decided about a device, on what ground, and by whom.
//!
//! They form a chain for each device ([`pawl_proto::record::Link`]). What a record rests on stands
//! in it: the quote of a verdict, the signatures of an approval, the TPM's word in a receipt. So
//! whoever holds the chain can check the decisions again, without this control plane.

mod approved;
mod device;
mod fact;
mod terms;

pub use approved::ApprovedBy;
pub use device::{ChainHead, RecordFinding};
pub use fact::{Fact, Record};
pub use terms::{Attested, LeaseSigned, TpmTime};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_an_earlier_version_is_read_as_it_was_written() {
        let written = json!({
            "device": "a".repeat(32), "sequence": 3, "time": 5, "kind": "lease",
            "detail": {"sequence": 1, "epoch": 7, "reset_count": 2, "clock": 9, "pcr_digest": "00"},
        });
        let body = pawl_proto::encode(&written).unwrap();
        let record: Record = pawl_proto::decode(&body, 1024).unwrap();
        assert!(matches!(record.fact, Fact::Lease { epoch: 7, signed: None, .. }), "{record:?}");
        assert_eq!(pawl_proto::encode(&record).unwrap(), body);
    }
}
