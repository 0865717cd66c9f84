//! What has changed while a session waits.

use pawl_proto::local::WaitingStatus;

use crate::output::plain;

/// A line for each thing that is new since `before`. `confirm` is the command that hands in a confirmation, for
/// where none can be typed.
pub(super) fn since(
    before: Option<&WaitingStatus>,
    now: &WaitingStatus,
    confirm: Option<&str>,
) -> Vec<String> {
    let mut news = Vec::new();
    let known = before.map_or(0, |before| before.approved.len());
    for (number, who) in now.approved.iter().enumerate().skip(known) {
        news.push(plain(&format!("approved by {who}: {} of {}", number + 1, now.needed)));
    }
    let again =
        before.is_none_or(|before| before.tries_left > now.tries_left || before.refused != now.refused);
    if let Some(why) = now.refused.as_ref().filter(|_| again) {
        news.push(plain(&format!("{why}; {}", tries(now.tries_left))));
    }
    if now.unconfirmed > before.map_or(0, |before| before.unconfirmed) {
        let how = confirm.map(|command| format!(": {command}")).unwrap_or_default();
        news.push(format!(
            "an approver elsewhere signed; type the confirmation code the approver reads to you{how}"
        ));
    }
    news
}

/// What a change is measured by. The end is reckoned anew with each look, and wavers by a second.
pub(crate) fn gist(waiting: &WaitingStatus) -> WaitingStatus {
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
    use super::*;

    fn waiting() -> WaitingStatus {
        WaitingStatus {
            user_code: String::new(),
            url: String::new(),
            needed: 2,
            approved: Vec::new(),
            unconfirmed: 0,
            tries_left: 5,
            expires: 0,
            refused: None,
        }
    }

    #[test]
    fn nothing_is_said_twice() {
        let first = WaitingStatus {
            approved: vec!["alice".to_owned()],
            unconfirmed: 1,
            tries_left: 4,
            refused: Some("another key".to_owned()),
            ..waiting()
        };
        let expected = [
            "approved by alice: 1 of 2",
            "another key; 4 tries left",
            "an approver elsewhere signed; type the confirmation code the approver reads to you: pawlctl x",
        ];
        assert_eq!(since(None, &first, Some("pawlctl x")), expected);
        assert_eq!(since(Some(&waiting()), &first, Some("pawlctl x")), expected);
        assert!(since(Some(&first), &first, None).is_empty());

        let second = WaitingStatus {
            approved: vec!["alice".to_owned(), "bob\u{1b}".to_owned()],
            unconfirmed: 0,
            tries_left: 1,
            ..first.clone()
        };
        let expected = ["approved by bob\u{fffd}: 2 of 2", "another key; 1 try left"];
        assert_eq!(since(Some(&first), &second, None), expected);
    }
}
