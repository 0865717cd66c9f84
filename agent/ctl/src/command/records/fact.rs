//! Describes the facts of a device's records.

use pawl_proto::message::{Cause, ShortText};
use pawl_proto::record::DeviceFact;

use crate::output;

/// Returns the kind of the fact, and its detail.
pub(super) fn words(fact: &DeviceFact) -> (&str, String) {
    let detail = match fact {
        DeviceFact::Began { device } => format!("chain of device {device}"),
        DeviceFact::Opened { session, origin, action, statement } => {
            format!("{action} in session {session} from {origin}; statement {statement}")
        }
        DeviceFact::Approved { session, by } => format!("session {session} {}", approvers(by)),
        DeviceFact::Refused { session: Some(session), code } => {
            format!("session {session}: {code}")
        }
        DeviceFact::Refused { session: None, code } => code.to_string(),
        DeviceFact::Paired { pairing, scopes } => {
            format!("pairing {pairing} with the scopes: {}", output::words(scopes))
        }
        DeviceFact::Verdict { sequence, result, evidence, lease } => {
            let result =
                result.map_or_else(|| "no attestation result".to_owned(), |result| result.to_string());
            let evidence = evidence.map(|digest| format!("; evidence {digest}")).unwrap_or_default();
            let lease = match lease {
                Some(clock) => format!("lease until TPM clock {}", output::span(clock / 1000)),
                None => "no lease".to_owned(),
            };
            format!("{sequence}: {result}; {lease}{evidence}")
        }
        DeviceFact::Token { name, expires } => {
            format!("{name}, expires {}", output::utc(*expires))
        }
        DeviceFact::Assurance { session, action, digest } => {
            format!("{action} in session {session}; signed {digest}")
        }
        DeviceFact::Wiped { cause, event, receipt } => {
            let event = event.map(|event| format!(", event {event}")).unwrap_or_default();
            let receipt = receipt.map(|digest| format!("; receipt {digest}")).unwrap_or_default();
            format!("by {}{event}{receipt}", cause_words(cause))
        }
        DeviceFact::Missed { count } => format!("{count} records could not be written"),
        DeviceFact::Ignored { event, order } => {
            format!("order {event}: {order}, unknown to this version of pawld")
        }
        DeviceFact::Unknown(_) => "record of a newer version".to_owned(),
        _ => String::new(),
    };
    (fact.kind(), detail)
}

fn approvers(by: &[ShortText]) -> String {
    if by.is_empty() {
        return "automatically (no approver required)".to_owned();
    }
    let names: Vec<_> = by.iter().map(ShortText::as_str).collect();
    format!("by {}", names.join(" and "))
}

fn cause_words(cause: &Cause) -> &str {
    match cause {
        Cause::Revoke => "a revocation",
        Cause::Repair => "a re-pair",
        Cause::Wipe => "a command on the device",
        Cause::Recovery => "recovery: the TPM counter was ahead of the disk",
        _ => cause.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::{Scope, TrustTier};
    use pawl_proto::{Digest, EventId, PairingId, SessionId};

    use super::*;

    fn text(text: &str) -> ShortText {
        ShortText::new(text).unwrap()
    }

    #[test]
    fn every_fact_has_its_words() {
        let session = SessionId::from_random([0x11; 16]);
        let digest = Digest([0x22; 32]);
        let (id, hash) = ("11".repeat(16), "22".repeat(32));
        let scopes = vec![Scope::new("a").unwrap(), Scope::new("b").unwrap()];
        for (fact, kind, detail) in [
            (
                DeviceFact::Began { device: "abcdefghijklmnopqrstuvwxyz234567".parse().unwrap() },
                "began",
                "chain of device abcdefghijklmnopqrstuvwxyz234567".to_owned(),
            ),
            (
                DeviceFact::Opened {
                    session,
                    origin: text("uid 0"),
                    action: text("re-pair"),
                    statement: digest,
                },
                "opened",
                format!("re-pair in session {id} from uid 0; statement {hash}"),
            ),
            (
                DeviceFact::Approved { session, by: vec![text("alice"), text("bob")] },
                "approved",
                format!("session {id} by alice and bob"),
            ),
            (
                DeviceFact::Approved { session, by: Vec::new() },
                "approved",
                format!("session {id} automatically (no approver required)"),
            ),
            (
                DeviceFact::Refused { session: Some(session), code: text("declined") },
                "refused",
                format!("session {id}: declined"),
            ),
            (DeviceFact::Refused { session: None, code: text("busy") }, "refused", "busy".to_owned()),
            (
                DeviceFact::Paired { pairing: PairingId::from_random([0x11; 16]), scopes },
                "paired",
                format!("pairing {id} with the scopes: a b"),
            ),
            (
                DeviceFact::Verdict {
                    sequence: 3,
                    result: Some(TrustTier::Affirming),
                    evidence: Some(digest),
                    lease: Some(90_000),
                },
                "verdict",
                format!("3: affirming; lease until TPM clock 1 min 30 s; evidence {hash}"),
            ),
            (
                DeviceFact::Verdict { sequence: 4, result: None, evidence: None, lease: None },
                "verdict",
                "4: no attestation result; no lease".to_owned(),
            ),
            (
                DeviceFact::Token { name: text("telemetry"), expires: 0 },
                "token",
                "telemetry, expires 1970-01-01 00:00:00 UTC".to_owned(),
            ),
            (
                DeviceFact::Assurance { session, action: text("update"), digest },
                "assurance",
                format!("update in session {id}; signed {hash}"),
            ),
            (
                DeviceFact::Wiped {
                    cause: Cause::Repair,
                    event: Some(EventId::from_random([0x11; 16])),
                    receipt: Some(digest),
                },
                "wiped",
                format!("by a re-pair, event {id}; receipt {hash}"),
            ),
            (DeviceFact::Missed { count: 2 }, "missed", "2 records could not be written".to_owned()),
        ] {
            assert_eq!(words(&fact), (kind, detail));
        }
    }
}
