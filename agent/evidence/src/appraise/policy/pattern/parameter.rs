use std::ops::Range;

/// One parameter of a kernel command line, with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// The parameter's bytes in the line.
    pub(super) at: Range<usize>,
    /// Whether it has the form `name=…`.
    pub(super) has_value: bool,
}

/// Splits a line into parameters as Linux does (`parse_args` and `next_arg` of kernel/params.c and
/// lib/cmdline.c). Parameters after `--` are arguments of init; they are split the same way.
pub(super) fn parameters(line: &[u8]) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut next = 0;
    while let Some(start) = position(line, next, |byte| !is_space(byte)) {
        let parameter = parameter(line, start);
        // The next byte is white space.
        next = parameter.at.end.saturating_add(1);
        parameters.push(parameter);
    }
    parameters
}

fn parameter(line: &[u8], start: usize) -> Parameter {
    let rest = line.get(start..).unwrap_or_default();
    // A leading quote begins a quoted name; the kernel strips it.
    let name = rest.strip_prefix(b"\"").unwrap_or(rest);
    let mut in_quotes = name.len() < rest.len();
    let mut has_value = false;
    let mut len = name.len();
    for (position, byte) in name.iter().enumerate() {
        if is_space(*byte) && !in_quotes {
            len = position;
            break;
        }
        // A leading `=` belongs to the name.
        has_value |= *byte == b'=' && position > 0;
        in_quotes ^= *byte == b'"';
    }
    let quote = rest.len().saturating_sub(name.len());
    let end = start.saturating_add(quote).saturating_add(len);
    Parameter { at: start..end, has_value }
}

/// `isspace` of lib/ctype.c: Latin-1, whose no-break space is the last byte of many UTF-8 characters.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

fn position(line: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
    let found = line.get(from..)?.iter().position(|byte| is(*byte))?;
    from.checked_add(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &[u8]) -> Vec<(String, bool)> {
        let shown = |parameter: Parameter| {
            (String::from_utf8_lossy(&line[parameter.at]).into_owned(), parameter.has_value)
        };
        parameters(line).into_iter().map(shown).collect()
    }

    #[test]
    fn a_line_is_cut_where_the_kernel_cuts_it() {
        let owned = |parameters: &[(&str, bool)]| -> Vec<(String, bool)> {
            parameters.iter().map(|(text, has_value)| ((*text).to_owned(), *has_value)).collect()
        };
        assert_eq!(
            cut(b"  a  b=c\t-- d "),
            owned(&[("a", false), ("b=c", true), ("--", false), ("d", false)])
        );
        assert_eq!(cut(b"a=\"b c\" d"), owned(&[("a=\"b c\"", true), ("d", false)]));
        assert_eq!(cut(b"\"a b=c d\" e"), owned(&[("\"a b=c d\"", true), ("e", false)]));
        assert_eq!(cut(b"a=\" b c=d"), owned(&[("a=\" b c=d", true)]));
        assert_eq!(cut(b"=a =b=c \"=d"), owned(&[("=a", false), ("=b=c", true), ("\"=d", false)]));
        assert_eq!(cut(b"a\x0bb\xa0c"), owned(&[("a", false), ("b", false), ("c", false)]));
        assert_eq!(cut(b" \" "), owned(&[("\" ", false)]));
        assert_eq!(cut(b""), []);
    }
}
