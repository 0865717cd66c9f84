//! The code for an approver elsewhere: as text, and as a QR code where it can be drawn.

use pawl_proto::local::WaitingStatus;

use crate::output::{Drawing, Style, Tone, plain};

/// What the code's surroundings allow, and what can be done beside it.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) style: Style,
    /// The width that a drawing may have; none where none is wanted or none can be shown.
    pub(super) columns: Option<usize>,
    /// The command with which somebody approves here instead.
    pub(super) here: String,
}

impl Board {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> WaitingStatus {
        WaitingStatus {
            user_code: "BCDF-GHJK-LMNP".to_owned(),
            url: "https://control.example/approve".to_owned(),
            needed: 1,
            approved: Vec::new(),
            unconfirmed: 0,
            tries_left: 5,
            expires: 0,
            refused: None,
        }
    }

    fn board(columns: Option<usize>) -> Board {
        Board { style: Style::never(), columns, here: "pawlctl re-pair --attach --sign-with KEY".to_owned() }
    }

    #[test]
    fn code_and_address_stand_on_lines_of_their_own() {
        let expected = "
  Give the approver this code:

    BCDF-GHJK-LMNP

  The approver enters it at
    https://control.example/approve
  or approves here with an SSH key:
    pawlctl re-pair --attach --sign-with KEY
";
        assert_eq!(board(None).show(&waiting()), expected);
    }

    #[test]
    fn the_drawing_holds_address_and_code_where_there_is_room() {
        let drawing = Drawing::of("https://control.example/approve#BCDF-GHJK-LMNP").unwrap();
        let (wide, narrow) = (drawing.columns(), drawing.columns() - 1);
        assert!(board(Some(wide)).show(&waiting()).contains(&drawing.lines(Style::never())));
        assert_eq!(board(Some(narrow)).show(&waiting()), board(None).show(&waiting()));
    }
}
