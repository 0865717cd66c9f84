//! Patterns for command lines: whatever fits one is cut into the same parameters, by the kernel and by others.

use std::sync::Arc;

use pawl_evidence::appraise::policy::{CommandLinePattern, Learnt, LoaderCommandPattern};
use pawl_evidence::appraise::{
    AttestationResult, BootLogRule, ImaProgress, ReferenceValues, TrustTier, appraise,
};
use pawl_evidence::eventlog::EventKind;
use pawl_evidence::tpm::PcrSelection;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::log::LogWriter;
use crate::support::quoted::{of_boot, quote_of};

const GOOD: &str = "/vmlinuz root=/dev/sda2 ro console=ttyS0 ima_policy=tcb";

#[test]
fn a_latin_1_space_and_a_quote_in_a_command_line_are_contraindicated() {
    let judged = |line: &str| judge(&["/vmlinuz root=* ro console=* ima_policy=tcb"], line);
    assert_eq!(judged(GOOD).tier, TrustTier::Warning, "{:#?}", judged(GOOD));
    for line in [
        // The last byte of this letter in UTF-8 is white space to the kernel: `init=` is a parameter.
        "/vmlinuz root=/dev/sda2 ro console=ttyS0\u{e0}init=/bin/sh ima_policy=tcb",
        // The quote takes `ima_policy=tcb` into the value.
        "/vmlinuz root=/dev/sda2 ro console=\" ima_policy=tcb",
        "/vmlinuz root=/dev/sda2 ro console=ttyS0 init=/bin/sh ima_policy=tcb",
    ] {
        let appraisal = judged(line);
        assert_eq!(appraisal.tier, TrustTier::Contraindicated, "{line}: {appraisal:#?}");
        let refused: Vec<_> =
            appraisal.reasons.iter().filter(|reason| reason.tier == TrustTier::Contraindicated).collect();
        let [reason] = refused[..] else { panic!("{line}: {refused:#?}") };
        assert_eq!(reason.rule, "boot.command-lines", "{line}");
    }
}

#[test]
fn a_refusal_says_what_no_wildcard_fits() {
    let reason = |line: &str| {
        let appraisal = judge(&["/vmlinuz root=*"], line);
        appraisal.reasons.into_iter().find(|reason| reason.rule == "boot.command-lines").unwrap().text
    };
    let text = reason("/vmlinuz root=\u{e0}");
    assert!(text.ends_with("no wildcard fits; a pattern without wildcards can)"), "{text}");
    let text = reason(&format!("/vmlinuz root={}", "x".repeat(1200)));
    assert!(text.contains("it has 1214 bytes, more than the 1012"), "{text}");
}

#[test]
fn a_wildcard_fits_no_quote_no_backslash_and_no_dollar() {
    let pattern = CommandLinePattern::new("console=*".to_owned()).unwrap();
    assert!(pattern.fits("console=ttyS0"));
    for line in ["console=\"ttyS0\"", "console='ttyS0'", "console=a\\b", "console=$a"] {
        assert!(!pattern.fits(line), "{line}");
    }
}

/// A learnt policy is without wildcards: any text fits itself, whatever is in it, and no other one does.
#[test]
fn a_learnt_command_line_of_any_bytes_fits_itself_alone() {
    for line in ["/vmlinuz a=\u{e0}\u{a0}b", "/vmlinuz console=\" ima_policy=tcb", "/vmlinuz a=* b=? c=\\"] {
        let policy =
            Learnt::from_boot(&log(line), None, quote_of(&log(line)).pcrs(), &PcrSelection::lease_default());
        let patterns = policy.unwrap().policy.boot.command_lines;
        let [pattern] = &patterns[..] else { panic!("{patterns:?}") };
        assert!(pattern.fits(line));
        assert!(!pattern.fits(&line.replace('*', "x").replace('\u{e0}', "e").replace('"', "")));
    }
}

/// A boot by GRUB that measures a command line, by a policy that was learnt from another and has these patterns.
fn judge(patterns: &[&str], line: &str) -> AttestationResult {
    let good = log(GOOD);
    let lease_selection = PcrSelection::lease_default();
    let mut policy = Learnt::from_boot(&good, None, quote_of(&good).pcrs(), &lease_selection).unwrap().policy;
    policy.boot.command_lines =
        patterns.iter().map(|text| CommandLinePattern::new((*text).to_owned()).unwrap()).collect();
    let log = log(line);
    let quote = quote_of(&log);
    let boot_log = Some(log.as_slice());
    let evidence = of_boot(&quote, boot_log, ImaProgress::Behind);
    let reference = ReferenceValues {
        lease_selection,
        policy: Some(Arc::new(policy)),
        boot_states: Vec::new(),
        boot_log: BootLogRule::Require,
        high_water: None,
    };
    appraise(&evidence, &reference)
}

fn log(line: &str) -> Vec<u8> {
    let text = [b"kernel_cmdline: ", line.as_bytes(), b"\0"].concat();
    let separators = (0..8).fold(LogWriter::new(), LogWriter::separator);
    separators
        .measured(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, b"GRUB", &[])
        .measured(8, EventKind::IPL, line.as_bytes(), &text)
        .measured(9, EventKind::IPL, b"the kernel", b"/vmlinuz\0")
        .bytes()
}

/// A name, and the literal parts of its value; between them stand wildcards. No part: no value.
type Written = (String, Vec<String>);

fn written() -> impl Strategy<Value = Vec<Written>> {
    let name = "(quiet|ro|--|root|console|init|ima_policy|a|dyndbg)";
    let value = vec("[a-z0-9,/=:-]{0,3}|\"|\" ", 1..4);
    vec((name, prop_oneof![1 => Just(Vec::new()), 3 => value]), 1..5)
}

/// The pattern, and the line that results when its wildcards become `fill`.
fn put_together(parameters: &[Written], fill: &[String]) -> (String, String) {
    let mut fill = fill.iter().cycle();
    let (mut pattern, mut line) = (Vec::new(), Vec::new());
    for (name, parts) in parameters {
        if parts.is_empty() {
            pattern.push(name.clone());
            line.push(name.clone());
            continue;
        }
        pattern.push(format!("{name}={}", parts.join("*")));
        let value = parts.iter().skip(1).fold(parts[0].clone(), |value, part| {
            format!("{value}{}{part}", fill.next().map(String::as_str).unwrap_or_default())
        });
        line.push(format!("{name}={value}"));
    }
    (pattern.join(" "), line.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 8 * ProptestConfig::default().cases,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_fits_a_pattern_has_its_parameters(
        parameters in written(),
        fill in vec(".{0,3}|[\"' \u{a0}\u{e0}=\\\\$\t\n-]{1,4}|[a-z]{1,3}|init=/bin/sh", 1..4),
        more in prop_oneof![3 => Just(String::new()), 1 => "[ \"=a-]{1,4}|.{1,3}"],
        at in any::<prop::sample::Index>(),
    ) {
        let (pattern, mut line) = put_together(&parameters, &fill);
        let places: Vec<usize> = line.char_indices().map(|(place, _)| place).collect();
        line.insert_str(*at.get(&places), &more);
        // Not every text is a pattern: a quote can put a wildcard where a name could be.
        let Ok(compiled) = CommandLinePattern::new(pattern.clone()) else { return Ok(()) };
        if !compiled.fits(&line) {
            return Ok(());
        }
        let expected = pattern.replace('*', "x");
        prop_assert_eq!(by_kernel(line.as_bytes()), by_kernel(expected.as_bytes()), "{} and {}", pattern, line);
        prop_assert_eq!(by_words(&line), by_words(&expected), "{} and {}", pattern, line);
        prop_assert_eq!(by_systemd(&line), by_systemd(&expected), "{} and {}", pattern, line);
    }

    /// The other property would hold of patterns that fit nothing, too.
    #[test]
    fn plain_characters_fit_wildcards(
        parameters in written(),
        fill in vec("[!#%&(-.0-9:-@A-Z^_`a-z|~{}/=]{0,4}", 1..4),
    ) {
        let (pattern, line) = put_together(&parameters, &fill);
        if let Ok(compiled) = CommandLinePattern::new(pattern.clone()) {
            prop_assert!(compiled.fits(&line), "{} and {}", pattern, line);
        }
    }

    #[test]
    fn what_fits_a_pattern_for_a_command_has_its_words(
        words in vec("[a-z]{1,3}|[a-z]{1,2}=[*]|--[a-z]=[*]|[*]|--[a-z*]{1,3}|/[a-z*]{1,3}", 1..4),
        fill in ".{0,3}|[\"' \u{a0};{}$=\\\\-]{1,3}|-[a-z]{1,3}|[a-z]{1,3}",
    ) {
        let pattern = format!("set {}", words.join(" "));
        let command = pattern.replace('*', &fill);
        let compiled = LoaderCommandPattern::new(pattern.clone()).unwrap();
        if command != pattern && compiled.fits(&command) {
            prop_assert_eq!(by_words(&command).len(), by_words(&pattern).len());
            let plain = |c: char| c.is_ascii_graphic() && !"\"'\\$;&|<>{}#".contains(c);
            prop_assert!(fill.trim_matches(' ').chars().all(plain), "{:?}", fill);
        }
    }
}

/// Name and whether there is a value, step by step as `next_arg` and `parse_args` of Linux 6.12 do it; behind `--`
/// stand arguments of init.
fn by_kernel(line: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let is_space = |byte: u8| matches!(byte, 9..=13 | 32 | 0xa0);
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        while rest.first().is_some_and(|byte| is_space(*byte)) {
            rest = &rest[1..];
        }
        if rest.is_empty() {
            return found;
        }
        let (mut in_quote, mut quoted) = (false, false);
        if rest[0] == b'"' {
            rest = &rest[1..];
            (in_quote, quoted) = (true, true);
        }
        let (mut i, mut equals) = (0, 0);
        while i < rest.len() {
            if is_space(rest[i]) && !in_quote {
                break;
            }
            if equals == 0 && rest[i] == b'=' {
                equals = i;
            }
            if rest[i] == b'"' {
                in_quote = !in_quote;
            }
            i += 1;
        }
        let mut name = &rest[..if equals == 0 { i } else { equals }];
        if quoted && equals == 0 && i > 0 && rest[i - 1] == b'"' {
            name = &name[..i - 1];
        }
        found.push((name.to_vec(), equals != 0));
        rest = &rest[i..];
    }
}

/// How shell scripts of an initrd read /proc/cmdline: names of words between white space.
fn by_words(line: &str) -> Vec<(String, bool)> {
    let words = line.split([' ', '\t', '\n']).filter(|word| !word.is_empty());
    words.map(|word| (word.split('=').next().unwrap().to_owned(), word.contains('='))).collect()
}

/// How systemd before version 250 reads it: both quotes, and backslashes.
fn by_systemd(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut escaped) = (Vec::new(), None::<String>, None, false);
    for c in line.chars() {
        match c {
            c if escaped => {
                word.get_or_insert_default().push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ' ' | '\t' | '\n' | '\r' if quote.is_none() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.into_iter().map(|word| word.split('=').next().unwrap().to_owned()).collect()
}
