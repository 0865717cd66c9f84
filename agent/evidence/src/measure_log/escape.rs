/// Reverses the C escapes of systemd in the text of a record; `None` if systemd would not have written them.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { escaped(&mut bytes)? } else { byte });
    }
    Some(plain)
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        same @ (b'\\' | b'"' | b'\'') => same,
        b'x' => number(&[bytes.next()?, bytes.next()?], 16)?,
        first @ b'0'..=b'3' => number(&[first, bytes.next()?, bytes.next()?], 8)?,
        _ => return None,
    })
}

fn number(digits: &[u8], radix: u32) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u8::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn c_escapes_become_the_bytes_that_were_measured() {
        for (text, bytes) in [
            ("plain", &b"plain"[..]),
            (r#"two\nlines, \"quoted\", a back\\slash"#, b"two\nlines, \"quoted\", a back\\slash"),
            (r"\303\251", "é".as_bytes()),
            (r"\000\001\377\x7f", &[0, 1, 0xff, 0x7f]),
        ] {
            assert_eq!(unescape(text).as_deref(), Some(bytes), "{text}");
        }
        for broken in [r"\", r"\q", r"\08", r"\400", r"\+12", r"\x+1", r"\x1"] {
            assert_eq!(unescape(broken), None, "{broken}");
        }
    }
}
