//! Formats a waiting approval session: the request, the user code for an approver elsewhere, and the changes.

use pawl_local_api::{Asked, WaitingStatus};
use pawl_proto::message::{Access, Ending, Scope};

use crate::output::{Drawing, FieldList, Style, Tone, plain, utc, words};

/// Formats the request as the control plane received it, and the pairings that it will end.
pub(super) fn show(asked: Option<&Asked>, waiting: &WaitingStatus, style: Style) -> String {
    let mut fields = FieldList::new(style);
    fields.headline(Tone::Doubtful, &format!("waiting for approval by {}", persons(waiting.needed)));
    if let Some(asked) = asked {
        fields.line("action", &asked.action);
        fields.line("origin", &asked.origin);
        fields.line("reason", &asked.reason);
        fields.line("scopes", &words(&asked.scopes));
        fields.line("audiences", &words(&asked.audiences));
        if let Some(granted) = &asked.granted {
            fields.line("granted", &access(granted));
            fields.line("denied", &not_given(asked, granted));
        }
        fields.line("replaces", &asked.replaces.as_ref().map(ToString::to_string).unwrap_or_default());
        let replaced =
            asked.known.replaced.as_ref().map(|last| format!("whose last pairing: {}", ending(last)));
        fields.line("", &replaced.unwrap_or_default());
        fields.line("EK", asked.endorsement.as_deref().unwrap_or_default());
        let label = asked.known.label.as_ref().map(ToString::to_string).unwrap_or_default();
        fields.line("known as", &label);
        fields.line("ends", &asked.known.ends.as_ref().map(ending).unwrap_or_default());
        fields.line("lost", &lost(asked));
        fields.line("digest", &asked.digest);
    }
    fields.into_text()
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

/// How the user code is shown.
#[derive(Clone, Debug)]
pub(super) struct CodeDisplay {
    pub(super) style: Style,
    /// The width available for a QR code; `None` if it is declined or the terminal cannot show it.
    pub(super) columns: Option<usize>,
    /// The command that approves at this device instead.
    pub(super) here: String,
}

impl CodeDisplay {
    pub(super) fn show(&self, waiting: &WaitingStatus) -> String {
        let (code, url) = (plain(&waiting.user_code), plain(&waiting.url));
        let large = self.style.paint(Tone::Strong, &code);
        let drawing = self.drawing(&format!("{url}#{code}")).unwrap_or_default();
        format!(
            "\n  Give the approver this code:\n\n    {large}\n\n{drawing}  The approver enters it at\n    {url}\n  or approves here with an SSH key:\n    {}\n",
            self.here
        )
    }

    fn drawing(&self, text: &str) -> Option<String> {
        let columns = self.columns?;
        let drawing = Drawing::of(text).filter(|drawing| drawing.columns() <= columns)?;
        Some(format!("{}\n", drawing.lines(self.style)))
    }
}

/// Returns a line for each change since `before`. `confirm` is the command that submits a confirmation code, if there is no
/// keyboard to type it.
pub(super) fn changes(
    before: Option<&WaitingStatus>,
    now: &WaitingStatus,
    confirm: Option<&str>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let known = before.map_or(0, |before| before.approved.len());
    for (number, who) in now.approved.iter().enumerate().skip(known) {
        lines.push(plain(&format!("approved by {who}: {} of {}", number + 1, now.needed)));
    }
    let again =
        before.is_none_or(|before| before.tries_left > now.tries_left || before.refused != now.refused);
    if let Some(why) = now.refused.as_ref().filter(|_| again) {
        lines.push(plain(&format!("{why}; {}", tries(now.tries_left))));
    }
    if now.unconfirmed > before.map_or(0, |before| before.unconfirmed) {
        let how = confirm.map(|command| format!(": {command}")).unwrap_or_default();
        lines.push(format!(
            "an approver elsewhere signed; type the confirmation code the approver reads to you{how}"
        ));
    }
    lines
}

/// Returns the status without its expiry, for comparison: the daemon computes the expiry for each query, and it varies
/// by a second.
pub(crate) fn without_expiry(waiting: &WaitingStatus) -> WaitingStatus {
    WaitingStatus { expires: 0, ..waiting.clone() }
}

fn tries(left: u8) -> String {
    match left {
        0 => "no tries left".to_owned(),
        1 => "1 try left".to_owned(),
        left => format!("{left} tries left"),
    }
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::{Audience, ShortText, StatementContext};
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
            known: StatementContext {
                label: Some(ShortText::new("pump 4").unwrap()),
                ends: Some(ending(1, 7, &["telemetry", "updates"])),
                replaced: Some(ending(2, 3, &["updates", "door"])),
            },
        }
    }

    fn waiting(needed: u8) -> WaitingStatus {
        WaitingStatus {
            user_code: "BCDF-GHJK-LMNP".to_owned(),
            url: "https://control.example/approve".to_owned(),
            needed,
            approved: Vec::new(),
            unconfirmed: 0,
            tries_left: 5,
            expires: 0,
            refused: None,
        }
    }

    #[test]
    fn the_request_shows_the_ending_pairings_and_the_lost_scopes() {
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
    fn no_scope_is_shown_as_lost_if_all_are_requested() {
        let mut asked = asked();
        asked.scopes = scopes(&["door", "updates", "telemetry"]);
        assert!(!show(Some(&asked), &waiting(1), Style::never()).contains("lost"));
        assert_eq!(show(None, &waiting(1), Style::never()), "waiting for approval by 1 person\n");
    }

    fn display(columns: Option<usize>) -> CodeDisplay {
        CodeDisplay {
            style: Style::never(),
            columns,
            here: "pawlctl re-pair --attach --sign-with KEY".to_owned(),
        }
    }

    #[test]
    fn code_and_address_have_lines_of_their_own() {
        let expected = "
  Give the approver this code:

    BCDF-GHJK-LMNP

  The approver enters it at
    https://control.example/approve
  or approves here with an SSH key:
    pawlctl re-pair --attach --sign-with KEY
";
        assert_eq!(display(None).show(&waiting(1)), expected);
    }

    #[test]
    fn the_qr_code_is_drawn_if_the_terminal_is_wide_enough() {
        let drawing = Drawing::of("https://control.example/approve#BCDF-GHJK-LMNP").unwrap();
        let (wide, narrow) = (drawing.columns(), drawing.columns() - 1);
        assert!(display(Some(wide)).show(&waiting(1)).contains(&drawing.lines(Style::never())));
        assert_eq!(display(Some(narrow)).show(&waiting(1)), display(None).show(&waiting(1)));
    }

    #[test]
    fn each_change_is_shown_once() {
        let first = WaitingStatus {
            approved: vec!["alice".to_owned()],
            unconfirmed: 1,
            tries_left: 4,
            refused: Some("another key".to_owned()),
            ..waiting(2)
        };
        let expected = [
            "approved by alice: 1 of 2",
            "another key; 4 tries left",
            "an approver elsewhere signed; type the confirmation code the approver reads to you: pawlctl x",
        ];
        assert_eq!(changes(None, &first, Some("pawlctl x")), expected);
        assert_eq!(changes(Some(&waiting(2)), &first, Some("pawlctl x")), expected);
        assert!(changes(Some(&first), &first, None).is_empty());

        let second = WaitingStatus {
            approved: vec!["alice".to_owned(), "bob\u{1b}".to_owned()],
            unconfirmed: 0,
            tries_left: 1,
            ..first.clone()
        };
        let expected = ["approved by bob\u{fffd}: 2 of 2", "another key; 1 try left"];
        assert_eq!(changes(Some(&first), &second, None), expected);
    }
}
