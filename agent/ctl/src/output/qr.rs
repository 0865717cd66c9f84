//! Draws a QR code on a terminal, two modules in one character.

use qrcode::{Color, EcLevel, QrCode};

use super::Style;

/// The width of the light margin around the code, in modules. A camera needs it to find the code (ISO/IEC 18004, section 6.3.8).
const QUIET: usize = 4;

/// A QR code, to be drawn with half blocks.
pub(crate) struct Drawing {
    modules: Vec<Color>,
    width: usize,
}

impl Drawing {
    /// Returns the drawing of a text; `None` if the text is too long for a QR code.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        Some(Self { width: code.width(), modules: code.into_colors() })
    }

    /// Returns the width in characters, with the quiet zone.
    pub(crate) fn columns(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Returns the lines, dark on light if the terminal has colours. Otherwise the characters are the light modules, which is correct
    /// on the dark background of most terminals. Many cameras also read inverted codes.
    pub(crate) fn lines(&self, style: Style) -> String {
        let mut text = String::new();
        for row in (0..self.columns()).step_by(2) {
            let line: String = (0..self.columns())
                .map(|column| half_block(self.dark(column, row), self.dark(column, row + 1), style))
                .collect();
            text.push_str(&style.black_on_white(&line));
            text.push('\n');
        }
        text
    }

    /// Returns whether the module is dark. The quiet zone is light.
    fn dark(&self, column: usize, row: usize) -> bool {
        let inside = |position: usize| position.checked_sub(QUIET).filter(|position| *position < self.width);
        let module = inside(column)
            .zip(inside(row))
            .and_then(|(column, row)| self.modules.get(row * self.width + column));
        module.is_some_and(|module| *module == Color::Dark)
    }
}

/// Returns one character for the module above and the one below.
fn half_block(above_dark: bool, below_dark: bool, style: Style) -> char {
    let inked = |dark: bool| dark == style.is_coloured();
    match (inked(above_dark), inked(below_dark)) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "https://control.example/approve#BCDF-GHJK-LMNP";

    /// Returns the modules of a drawing row by row, with its quiet zone. `ink` is the colour that a block represents.
    fn read(drawing: &str, ink: Color) -> Vec<Vec<Color>> {
        let ground = !ink;
        let mut rows = Vec::new();
        for line in drawing.lines() {
            let halves = |character| match character {
                '█' => (ink, ink),
                '▀' => (ink, ground),
                '▄' => (ground, ink),
                ' ' => (ground, ground),
                other => panic!("{other:?}"),
            };
            let (above, below): (Vec<_>, Vec<_>) = line.chars().map(halves).unzip();
            rows.extend([above, below]);
        }
        rows
    }

    fn expected(code: &QrCode, height: usize) -> Vec<Vec<Color>> {
        let side = code.width() + 2 * QUIET;
        let module = |column: usize, row: usize| match (column.checked_sub(QUIET), row.checked_sub(QUIET)) {
            (Some(column), Some(row)) if column < code.width() && row < code.width() => code[(column, row)],
            _ => Color::Light,
        };
        (0..height).map(|row| (0..side).map(|column| module(column, row)).collect()).collect()
    }

    #[test]
    fn every_module_is_drawn_where_it_belongs() {
        let code = QrCode::with_error_correction_level(TEXT, EcLevel::M).unwrap();
        let drawing = Drawing::of(TEXT).unwrap();
        assert_eq!(drawing.columns(), code.width() + 8);

        let modules = read(&drawing.lines(Style::never()), Color::Light);
        assert_eq!(modules, expected(&code, modules.len()));

        let coloured = drawing.lines(Style::always());
        assert!(
            coloured.lines().all(|line| line.starts_with("\u{1b}[30;47m") && line.ends_with("\u{1b}[0m"))
        );
        let bare = coloured.replace("\u{1b}[30;47m", "").replace("\u{1b}[0m", "");
        assert_eq!(read(&bare, Color::Dark), expected(&code, modules.len()));
    }

    #[test]
    fn a_small_code_matches_its_reference() {
        let expected = include_str!("qr/pawl.txt");
        assert_eq!(Drawing::of("PAWL").unwrap().lines(Style::never()), expected);
    }

    #[test]
    fn a_text_that_is_too_long_has_no_drawing() {
        assert!(Drawing::of(&"x".repeat(3000)).is_none());
    }
}
