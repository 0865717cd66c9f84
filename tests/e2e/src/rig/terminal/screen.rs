//! What stands on a terminal in the end, after all that was written over.

/// The lines of a terminal that is high enough. It knows what our programs write: text, carriage
/// returns, the erasing of a line, and colours, which it does not show (ECMA-48).
#[derive(Default)]
pub(super) struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// What is seen after all of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut screen = Self { lines: vec![Vec::new()], ..Self::default() };
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\u{1b}' => screen.control(characters.find(char::is_ascii_alphabetic)),
                character => screen.put(character),
            }
        }
        screen
    }

    fn down(&mut self) {
        self.row += 1;
        if self.lines.len() == self.row {
            self.lines.push(Vec::new());
        }
    }

    fn control(&mut self, function: Option<char>) {
        if function == Some('K')
            && let Some(line) = self.lines.get_mut(self.row)
        {
            line.truncate(self.column);
        }
    }

    fn put(&mut self, character: char) {
        let Some(line) = self.lines.get_mut(self.row) else { return };
        match line.get_mut(self.column) {
            Some(place) => *place = character,
            None => {
                line.resize(self.column, ' ');
                line.push(character);
            }
        }
        self.column += 1;
    }
}

impl std::fmt::Display for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            let line: String = line.iter().collect();
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_over_is_gone() {
        let bytes = "one\r\nwaiting; 10 min\r\u{1b}[Kwaiting; 9 min\r\u{1b}[K\u{1b}[1;32mtwo\u{1b}[0m\r\n";
        assert_eq!(Screen::of(bytes.as_bytes()).to_string(), "one\ntwo\n\n");
    }

    #[test]
    fn a_shorter_text_leaves_the_rest_of_a_longer_one() {
        assert_eq!(Screen::of(b"longer\rshort").to_string(), "shortr\n");
    }
}
