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
    fn a_grant_and_an_accepted_state_are_recorded_as_text() {
        let granted = pawl_proto::message::Access {
            scopes: vec![pawl_proto::Text::lossy("door")],
            audiences: vec![pawl_proto::Text::lossy("https://api.example")],
        };
        let old = pawl_proto::DeviceId::from_digest([1; 32]);
        let fact = Fact::granted(&granted, Some(old));
        assert_eq!(fact.kind(), "granted");
        let Fact::Granted { scopes, audiences, from } = fact else { panic!() };
        assert_eq!(
            (scopes, audiences, from),
            (vec!["door".to_owned()], vec!["https://api.example".to_owned()], Some(old.to_string()),)
        );
        let state = [(4, pawl_proto::PcrValue::Sha256([1; 32]))].into_iter().collect();
        let Fact::Accepted { pcrs, by } = Fact::accepted(&state, "an operator") else { panic!() };
        assert_eq!((pcrs, by.as_str()), (vec![format!("4={}", "01".repeat(32))], "an operator"));
    }

    #[test]
    fn every_kind_that_is_known_is_read_as_itself_or_not_at_all() {
        for kind in Fact::KINDS {
            let wrong = json!({"kind": kind, "detail": {"nothing": "of this"}});
            let read = serde_json::from_value::<Fact>(wrong);
            assert!(!matches!(read, Ok(Fact::Unknown(_))), "{kind}");
        }
    }

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
