//! Security events: log entries about the trust in the device.
//!
//! Each has its own `MESSAGE_ID` in the journal, under which `systemd/catalog/pawl.catalog` has the explanation and the remedy
//! (`journalctl -x`), and the fields `PAWL_EVENT`, `PAWL_DEVICE` and `PAWL_EPOCH`.

use std::fmt;
use std::sync::OnceLock;

use pawl_proto::message::{Cause, DeviceState};
use pawl_proto::{DeviceId, Epoch};
use tracing::Level;

/// The `tracing` target of security events.
pub(crate) const TARGET: &str = "pawld::security";

/// A kind of event: its name for programs, and its id in the journal's catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityEvent {
    name: &'static str,
    message_id: &'static str,
    level: Level,
}

/// Declares the events, and a list of them to compare with the catalog.
macro_rules! events {
    ($($(#[$doc:meta])+ $constant:ident $level:ident $name:literal $message_id:literal)+) => {
        impl SecurityEvent {
            $(
                $(#[$doc])+
                pub(crate) const $constant: Self =
                    Self { name: $name, message_id: $message_id, level: Level::$level };
            )+

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$constant),+];
        }
    };
}

events! {
    /// A pairing was created.
    PAIRED INFO "paired" "94db9025e5444c68a772101b6e49c8d0"
    /// The TPM accepted a lease: workloads get tokens.
    ENTITLED INFO "entitled" "97884c073bca4c56b8c56d774d04c1c4"
    /// The lease expired before a verdict renewed it.
    LEASE_EXPIRED WARN "lease-expired" "19ecdbbba13a49689725a388a88f7da9"
    /// The TPM does not accept the lease.
    LEASE_REFUSED WARN "lease-refused" "71ffd0e7586c4e639fda2fcc289183be"
    /// The control plane does not accept what the device runs.
    DRIFTED WARN "drifted" "8097ee2bf1a249f680f8caf5906dd6a9"
    /// The operator suspended the device.
    SUSPENDED WARN "suspended" "3830efd62ba849c1abcade5cc4a388f9"
    /// The control plane ended the pairing.
    REVOKED WARN "revoked" "9a63f48838b347289f28d0c71bd614e4"
    /// The pairing was ended on the device.
    WIPED WARN "wiped" "3fbd2bc624bd499890d273f1ab8f0c5d"
    /// The TPM refuses to end the epoch.
    COUNTER_OWED ERROR "revoked-counter-owed" "2ccff8e3c3234c2aa0a9da8ab521cddc"
    /// The control plane has the receipt of an ended epoch.
    RECEIPT_TAKEN INFO "receipt-taken" "0a6a6dbbf83c46e58227c678e1414cf1"
    /// A message of the broker was not an order of the control plane for this pairing.
    ORDER_REFUSED WARN "order-refused" "f6f33927a38d4bb3af51273d4907a197"
    /// The control plane gave an order that only a newer version of this daemon knows.
    ORDER_UNKNOWN WARN "order-unknown" "fa3a4c0ad57a4660a985cbb317e5b5d4"
    /// The control plane's verdict has a value that only a newer version of this daemon knows.
    UNKNOWN_VERDICT WARN "unknown-verdict" "05b23e8ae3824339a812687d787923e8"
    /// A new pairing was approved.
    PAIRING_APPROVED INFO "pairing-approved" "f05b3c29617c48f797ffbaab51736b0c"
    /// A pairing failed or was refused.
    PAIRING_REFUSED WARN "pairing-refused" "e4e2c8e105b34273beb73475fe6cb6cd"
    /// The operator requires a person at the device to request the pairing.
    TECHNICIAN_WANTED WARN "technician-wanted" "e0e77a1184014cb3b50d667654c00d25"
    /// The TPM signed for a protected action.
    ASSURANCE_MADE INFO "assurance-made" "cfedebb15c534bdfbadd7d4495332259"
    /// A protected action was refused.
    ACTION_REFUSED WARN "action-refused" "5927fc3c7c504afc9421cb3a47e61236"
    /// The audit records failed verification.
    RECORDS_DAMAGED ERROR "records-damaged" "11ab39ef174944e090c489d1c329bad6"
    /// The pairing on the disk belongs to a device with another TPM.
    MOVED_DISK ERROR "moved-disk" "7ad8ea2e0885443488519474b3a2668f"
    /// The counter does not fit the pairing.
    TPM_REPLACED ERROR "tpm-replaced" "76a1de9a89fb4ab592fa7fa632aece0c"
    /// A file of the pairing is damaged or missing.
    STATE_DAMAGED ERROR "state-damaged" "21b778478f1d4a7aa5c4ed13fe0b5e98"
    /// The counter was removed from the TPM.
    DEPROVISIONED WARN "deprovisioned" "48b21d7a1dc442fba143938bea2d5d4b"
}

static DEVICE: OnceLock<DeviceId> = OnceLock::new();

/// Sets the device for the field `PAWL_DEVICE`.
pub(crate) fn identify(device: DeviceId) {
    // A process has one TPM: later values are identical.
    let _ = DEVICE.set(device);
}

impl SecurityEvent {
    /// Returns the event for a wipe of this cause.
    pub(crate) fn of_wipe(cause: Cause) -> Self {
        if cause == Cause::Wipe { Self::WIPED } else { Self::REVOKED }
    }

    /// Returns the event for entering this state with this problem code; none if it needs no event or is logged elsewhere.
    pub(crate) fn of_state(state: DeviceState, problem: Option<&str>) -> Option<Self> {
        if state == DeviceState::Entitled {
            return Some(Self::ENTITLED);
        }
        Some(match problem? {
            "lease-expired" => Self::LEASE_EXPIRED,
            "lease-refused" => Self::LEASE_REFUSED,
            "drifted" => Self::DRIFTED,
            "suspended" => Self::SUSPENDED,
            "unknown-verdict" => Self::UNKNOWN_VERDICT,
            "revoked-counter-owed" => Self::COUNTER_OWED,
            "technician-wanted" => Self::TECHNICIAN_WANTED,
            "moved-disk" => Self::MOVED_DISK,
            "tpm-replaced" => Self::TPM_REPLACED,
            "state-damaged" => Self::STATE_DAMAGED,
            "deprovisioned" => Self::DEPROVISIONED,
            _ => return None,
        })
    }

    /// Logs the event, which concerns the pairing of `epoch`.
    pub(crate) fn log(self, epoch: Option<Epoch>, text: fmt::Arguments<'_>) {
        let epoch = epoch.map(|epoch| epoch.0);
        let device = DEVICE.get().map(DeviceId::as_str);
        // The level must be a constant at each call site.
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET, Level::$level, message_id = self.message_id, pawl_event = self.name,
                    pawl_device = device, pawl_epoch = epoch, "{text}"
                )
            };
        }
        match self.level {
            Level::ERROR => log!(ERROR),
            Level::WARN => log!(WARN),
            _ => log!(INFO),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const CATALOG: &str = include_str!("../../../../systemd/catalog/pawl.catalog");

    /// The texts of the catalog by their ids.
    fn catalog() -> BTreeMap<&'static str, &'static str> {
        let entries = CATALOG.split("\n-- ").skip(1);
        entries.map(|entry| entry.split_once('\n').unwrap()).collect()
    }

    #[test]
    fn the_catalog_has_an_entry_for_each_event_and_no_other() {
        let ids: Vec<_> = SecurityEvent::ALL.iter().map(|event| event.message_id).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ids.len(), "two events have one id");
        assert_eq!(catalog().keys().copied().collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn message_ids_are_32_lower_case_hexadecimal_digits() {
        for event in SecurityEvent::ALL {
            let digits = event.message_id.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
            assert!(digits && event.message_id.len() == 32, "{}", event.name);
        }
    }

    #[test]
    fn each_catalog_entry_has_a_subject_and_a_remedy() {
        for (id, text) in catalog() {
            let (head, body) = text.split_once("\n\n").unwrap();
            assert!(head.contains("Subject: ") && head.contains("Defined-By: Pawl"), "{id}");
            assert!(body.contains("To do: "), "{id}");
        }
    }

    #[test]
    fn a_problem_code_gives_the_event_of_the_same_name() {
        for event in SecurityEvent::ALL {
            if let Some(found) = SecurityEvent::of_state(DeviceState::Lapsed, Some(event.name)) {
                assert_eq!(found, *event);
            }
        }
        assert_eq!(SecurityEvent::of_state(DeviceState::Entitled, None), Some(SecurityEvent::ENTITLED));
        assert_eq!(SecurityEvent::of_state(DeviceState::Lapsed, Some("waiting")), None);
    }
}
