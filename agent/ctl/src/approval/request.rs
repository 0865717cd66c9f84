//! Formats the request of a waiting session.

use pawl_proto::local::{Asked, WaitingStatus};
use pawl_proto::message::{Access, Ending, Scope};

use crate::output::{Sheet, Style, Tone, utc, words};

/// Formats the request as the control plane received it, and the pairings that it will end.
pub(super) fn show(asked: Option<&Asked>, waiting: &WaitingStatus, style: Style) -> String {
    let mut sheet = Sheet::new(style);
    sheet.headline(Tone::Doubtful, &format!("waiting for approval by {}", persons(waiting.needed)));
    if let Some(asked) = asked {
        sheet.line("action", &asked.action);
        sheet.line("origin", &asked.origin);
        sheet.line("reason", &asked.reason);
        sheet.line("scopes", &words(&asked.scopes));
        sheet.line("audiences", &words(&asked.audiences));
        if let Some(granted) = &asked.granted {
            sheet.line("granted", &access(granted));
            sheet.line("denied", &not_given(asked, granted));
        }
        sheet.line("replaces", &asked.replaces.as_ref().map(ToString::to_string).unwrap_or_default());
        let replaced =
            asked.known.replaced.as_ref().map(|last| format!("whose last pairing: {}", ending(last)));
        sheet.line("", &replaced.unwrap_or_default());
        sheet.line("EK", asked.endorsement.as_deref().unwrap_or_default());
        let label = asked.known.label.as_ref().map(ToString::to_string).unwrap_or_default();
        sheet.line("known as", &label);
        sheet.line("ends", &asked.known.ends.as_ref().map(ending).unwrap_or_default());
        sheet.line("lost", &lost(asked));
        sheet.line("digest", &asked.digest);
    }
    sheet.into_text()
}

/// Formats the scopes and audiences that the operator grants.
pub(super) fn access(granted: &Access) -> String {
    let scopes = if granted.scopes.is_empty() {
        "no scope".to_owned()
    } else {
        format!("scopes {}", words(&granted.scopes))
    };
    format!("{scopes}; audiences {}", words(&granted.audiences))
}

/// Formats the requested scopes and audiences that the operator does not grant. The pairing will not have them.
fn not_given(asked: &Asked, granted: &Access) -> String {
    let scopes = asked.scopes.iter().filter(|scope| !granted.scopes.contains(scope)).map(AsRef::as_ref);
    let audiences =
        asked.audiences.iter().filter(|audience| !granted.audiences.contains(audience)).map(AsRef::as_ref);
    let beyond: Vec<&str> = scopes.chain(audiences).collect();
    if beyond.is_empty() {
        return String::new();
    }
    format!("{} (the operator does not grant it)", beyond.join(" "))
}

pub(super) fn persons(number: u8) -> String {
    match number {
        1 => "1 person".to_owned(),
        number => format!("{number} persons"),
    }
}

fn ending(ending: &Ending) -> String {
    let scopes = words(&ending.scopes);
    let scopes = if scopes.is_empty() { String::new() } else { format!(", with the scopes {scopes}") };
    format!("pairing {} of epoch {}, made {}{scopes}", ending.pairing, ending.epoch, utc(ending.paired_at))
}

/// Formats the scopes of the ending pairings that the request does not include. The new pairing does not inherit them.
fn lost(asked: &Asked) -> String {
    let known = &asked.known;
    let mut lost: Vec<Scope> = Vec::new();
    for scope in [&known.ends, &known.replaced].into_iter().flatten().flat_map(|ending| &ending.scopes) {
        if !asked.scopes.contains(scope) && !lost.contains(scope) {
            lost.push(scope.clone());
        }
    }
    if lost.is_empty() {
        return String::new();
    }
    format!("{} (to keep them, press Ctrl-C and name every scope with --scope)", words(&lost))
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::{Audience, Known, ShortText};
    use pawl_proto::{Epoch, PairingId};

    use super::*;

    fn scopes(names: &[&str]) -> Vec<Scope> {
        names.iter().map(|name| Scope::new(*name).unwrap()).collect()
    }

    fn ending(id: u8, epoch: u64, names: &[&str]) -> Ending {
        let pairing = PairingId::from_random([id; 16]);
        Ending { pairing, epoch: Epoch(epoch), paired_at: 951_782_400, scopes: scopes(names) }
    }

    fn asked() -> Asked {
        Asked {
            statement: String::new(),
            digest: "ab".repeat(32),
            action: "re-pair".to_owned(),
            origin: "uid 0; ssh 192.0.2.7\u{1b}[2J".to_owned(),
            reason: "new TPM".to_owned(),
            scopes: scopes(&["telemetry"]),
            audiences: vec![Audience::new("https://api.example").unwrap()],
            granted: Some(Access {
                scopes: scopes(&["door", "telemetry"]),
                audiences: vec![Audience::new("https://control.example").unwrap()],
            }),
            replaces: Some("abcdefghijklmnopqrstuvwxyz234566".parse().unwrap()),
            endorsement: Some("no certificate; enrolled --without-certificate".to_owned()),
            known: Known {
                label: Some(ShortText::new("pump 4").unwrap()),
                ends: Some(ending(1, 7, &["telemetry", "updates"])),
                replaced: Some(ending(2, 3, &["updates", "door"])),
            },
        }
    }

    fn waiting(needed: u8) -> WaitingStatus {
        WaitingStatus {
            user_code: String::new(),
            url: String::new(),
            needed,
            approved: Vec::new(),
            unconfirmed: 0,
            tries_left: 5,
            expires: 0,
            refused: None,
        }
    }

    #[test]
    fn what_ends_and_what_is_lost_is_said() {
        let expected = format!(
            "waiting for approval by 2 persons
  action    re-pair
  origin    uid 0; ssh 192.0.2.7\u{fffd}[2J
  reason    new TPM
  scopes    telemetry
  audiences https://api.example
  granted   scopes door telemetry; audiences https://control.example
  denied    https://api.example (the operator does not grant it)
  replaces  abcdefghijklmnopqrstuvwxyz234566
            whose last pairing: pairing 02020202020202020202020202020202 of epoch 3, made 2000-02-29 00:00:00 UTC, with the scopes updates door
  EK        no certificate; enrolled --without-certificate
  known as  pump 4
  ends      pairing 01010101010101010101010101010101 of epoch 7, made 2000-02-29 00:00:00 UTC, with the scopes telemetry updates
  lost      updates door (to keep them, press Ctrl-C and name every scope with --scope)
  digest    {}
",
            "ab".repeat(32)
        );
        assert_eq!(show(Some(&asked()), &waiting(2), Style::never()), expected);
    }

    #[test]
    fn nothing_is_said_to_be_lost_where_nothing_is() {
        let mut asked = asked();
        asked.scopes = scopes(&["door", "updates", "telemetry"]);
        assert!(!show(Some(&asked), &waiting(1), Style::never()).contains("lost"));
        assert_eq!(show(None, &waiting(1), Style::never()), "waiting for approval by 1 person\n");
    }
}
