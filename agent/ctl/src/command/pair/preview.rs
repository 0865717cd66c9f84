//! The preview that `pair` and `re-pair` show before they request a session: pawld's finding, the pairing that will end, the request.

use pawl_local_api::{LocalStatus, PairRequest, PairingStatus};
use pawl_proto::message::{DeviceState, Finding};
use pawl_proto::{DeviceId, Epoch};
use serde::Serialize;

use super::Way;
use crate::output::{FieldList, Style, Tone, words};

/// pawld's finding, printed for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename = "found")]
pub(super) struct Found<'a> {
    finding: Finding,
    device: &'a DeviceId,
    former: &'a Option<DeviceId>,
    epoch: Option<Epoch>,
    /// The pairing that will end.
    pairing: Option<&'a PairingStatus>,
}

impl<'a> Found<'a> {
    pub(super) fn on(status: &'a LocalStatus) -> Self {
        Self {
            finding: status.finding,
            device: &status.device,
            former: &status.former,
            epoch: status.counter,
            pairing: living(status),
        }
    }
}

/// Returns the live pairing of this device, with or without a lease.
pub(super) fn living(status: &LocalStatus) -> Option<&PairingStatus> {
    let lives = matches!(status.state, DeviceState::Entitled | DeviceState::Lapsed);
    status.pairing.as_ref().filter(|_| lives)
}

/// Describes the daemon's finding.
pub(in crate::command) fn sentence(status: &LocalStatus) -> String {
    match (status.finding, &status.former) {
        (Finding::NothingChanged, _) => "same TPM, same disk".to_owned(),
        (Finding::NewDisk, _) => {
            "same TPM, new disk: this TPM was paired before, but the disk holds no pairing".to_owned()
        }
        (Finding::NewTpm, Some(former)) => {
            format!("new TPM, old disk: the pairing on this disk belongs to device {former}")
        }
        (Finding::NewTpm, None) => {
            "new TPM, old disk: the pairing on this disk belongs to another device".to_owned()
        }
        (Finding::BothNew, _) => "new TPM, new disk: neither was paired before".to_owned(),
        (other, _) => format!("{other} (unknown to this version of pawlctl)"),
    }
}

/// Formats the preview for people.
pub(super) fn show(status: &LocalStatus, request: &PairRequest, way: Way, style: Style) -> String {
    let mut fields = FieldList::new(style);
    fields.headline(Tone::Doubtful, &format!("{} device {}", way.verb(), status.device));
    fields.line("found", &sentence(status));
    if let (Finding::NewTpm, Some(former), None) = (status.finding, &status.former, &request.replaces) {
        fields.line("", &format!("to replace that device: pawlctl re-pair --replaces {former}"));
    }
    let mut label = "ends";
    for ending in endings(status, request) {
        fields.line(label, &ending);
        label = "";
    }
    fields.line("new", &requested(request));
    fields.line("reason", request.reason.as_str());
    fields.into_text()
}

fn endings(status: &LocalStatus, request: &PairRequest) -> Vec<String> {
    let mut endings = Vec::new();
    if let Some(pairing) = living(status) {
        let scopes = words(&pairing.scopes);
        let of = format!("pairing {} of epoch {} with {}", pairing.id, pairing.epoch, pairing.control_plane);
        endings.push(format!("{of}, with its keys and scopes: {scopes}"));
        if !status.tokens.is_empty() {
            endings.push(format!("tokens in the vault: {}", status.tokens.len()));
        }
    }
    if let Some(replaced) = &request.replaces {
        endings.push(format!("the pairing of device {replaced}, if it has one"));
    }
    if endings.is_empty() {
        endings.push("no pairing that this device knows of".to_owned());
    } else {
        endings.push("all of this ends at the approval, not before".to_owned());
    }
    endings
}

fn requested(request: &PairRequest) -> String {
    if request.scopes.is_empty() {
        "pairing with the scopes in this device's configuration".to_owned()
    } else {
        format!("pairing with the scopes: {}", words(&request.scopes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::*;
    use pawl_proto::message::{Scope, ShortText};

    fn former() -> DeviceId {
        "abcdefghijklmnopqrstuvwxyz234566".parse().unwrap()
    }

    fn shown(status: &LocalStatus, request: &PairRequest) -> String {
        show(status, request, Way::Again, Style::never())
    }

    #[test]
    fn a_live_pairing_is_shown_as_ending() {
        let request = PairRequest {
            reason: ShortText::new("new board").unwrap(),
            scopes: vec![Scope::new("a").unwrap(), Scope::new("b").unwrap()],
            ..PairRequest::default()
        };
        let expected = "\
re-pairing device abcdefghijklmnopqrstuvwxyz234567
  found     same TPM, same disk
  ends      pairing 01010101010101010101010101010101 of epoch 7 with Example fleet, with its keys and scopes: telemetry
            all of this ends at the approval, not before
  new       pairing with the scopes: a b
  reason    new board
";
        assert_eq!(shown(&status(DeviceState::Entitled, None), &request), expected);
    }

    #[test]
    fn a_new_disk_ends_nothing() {
        let mut status = status(DeviceState::Unpaired, None);
        status.finding = Finding::NewDisk;
        let expected = "\
re-pairing device abcdefghijklmnopqrstuvwxyz234567
  found     same TPM, new disk: this TPM was paired before, but the disk holds no pairing
  ends      no pairing that this device knows of
  new       pairing with the scopes in this device's configuration
";
        assert_eq!(shown(&status, &PairRequest::default()), expected);
    }

    #[test]
    fn a_new_tpm_is_offered_to_replace_the_former_device() {
        let mut status = status(DeviceState::Unpaired, None);
        (status.finding, status.former) = (Finding::NewTpm, Some(former()));
        let offer = format!("            to replace that device: pawlctl re-pair --replaces {}\n", former());
        assert!(shown(&status, &PairRequest::default()).contains(&offer));

        let request = PairRequest { replaces: Some(former()), ..PairRequest::default() };
        let text = shown(&status, &request);
        assert!(!text.contains(&offer));
        let ends = format!(
            "  ends      the pairing of device {}, if it has one\n            all of this ends at the approval, not before\n",
            former()
        );
        assert!(text.contains(&ends), "{text}");
    }

    #[test]
    fn every_finding_has_its_words() {
        let mut status = status(DeviceState::Unpaired, None);
        let mut all = std::collections::BTreeSet::new();
        for finding in [Finding::NothingChanged, Finding::NewDisk, Finding::NewTpm, Finding::BothNew] {
            status.finding = finding;
            all.insert(sentence(&status));
        }
        assert_eq!(all.len(), 4);
    }
}
