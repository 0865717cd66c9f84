//! Patterns for command lines: the kernel, initrd scripts and systemd split every matching line into the parameters of
//! the pattern.

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
        // The kernel treats the last byte of this letter in UTF-8 as white space, so `init=` is a parameter.
        "/vmlinuz root=/dev/sda2 ro console=ttyS0\u{e0}init=/bin/sh ima_policy=tcb",
        // The quote makes `ima_policy=tcb` a part of the value.
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
fn a_refusal_says_why_no_wildcard_can_match() {
    let reason = |line: &str| {
        let appraisal = judge(&["/vmlinuz root=*"], line);
        appraisal.reasons.into_iter().find(|reason| reason.rule == "boot.command-lines").unwrap().text
    };
    let text = reason("/vmlinuz root=\u{e0}");
    assert!(text.ends_with("no wildcard matches; a pattern without wildcards can)"), "{text}");
    let text = reason(&format!("/vmlinuz root={}", "x".repeat(1200)));
    assert!(text.contains("it has 1214 bytes, more than the 1012"), "{text}");
}

#[test]
fn a_wildcard_matches_no_quote_no_backslash_and_no_dollar() {
    let pattern = CommandLinePattern::new("console=*".to_owned()).unwrap();
    assert!(pattern.fits("console=ttyS0"));
    for line in ["console=\"ttyS0\"", "console='ttyS0'", "console=a\\b", "console=$a"] {
        assert!(!pattern.fits(line), "{line}");
    }
}

/// Patterns of a learnt policy have no wildcards.
#[test]
fn a_learnt_command_line_of_any_bytes_matches_only_itself() {
    for line in ["/vmlinuz a=\u{e0}\u{a0}b", "/vmlinuz console=\" ima_policy=tcb", "/vmlinuz a=* b=? c=\\"] {
        let policy =
            Learnt::from_boot(&log(line), None, quote_of(&log(line)).pcrs(), &PcrSelection::lease_default());
        let patterns = policy.unwrap().policy.boot.command_lines;
        let [pattern] = &patterns[..] else { panic!("{patterns:?}") };
        assert!(pattern.fits(line));
        assert!(!pattern.fits(&line.replace('*', "x").replace('\u{e0}', "e").replace('"', "")));
    }
}

/// Appraises a boot by GRUB with this command line, under a policy learnt from another boot but with these patterns.
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

/// A parameter's name and the literal parts of its value, with a wildcard between each two. A parameter without parts
/// has no value.
type Written = (String, Vec<String>);

fn written() -> impl Strategy<Value = Vec<Written>> {
    let name = "(quiet|ro|--|root|console|init|ima_policy|a|dyndbg)";
    let value = vec("[a-z0-9,/=:-]{0,3}|\"|\" ", 1..4);
    vec((name, prop_oneof![1 => Just(Vec::new()), 3 => value]), 1..5)
}

/// Returns the pattern, and the line with `fill` in place of its wildcards.
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
    fn a_matching_line_is_split_into_the_patterns_parameters(
        parameters in written(),
        fill in vec(".{0,3}|[\"' \u{a0}\u{e0}=\\\\$\t\n-]{1,4}|[a-z]{1,3}|init=/bin/sh", 1..4),
        more in prop_oneof![3 => Just(String::new()), 1 => "[ \"=a-]{1,4}|.{1,3}"],
        at in any::<prop::sample::Index>(),
    ) {
        let (pattern, mut line) = put_together(&parameters, &fill);
        let places: Vec<usize> = line.char_indices().map(|(place, _)| place).collect();
        line.insert_str(*at.get(&places), &more);
        // Some texts are refused as patterns: a quote can make a wildcard part of a name.
        let Ok(compiled) = CommandLinePattern::new(pattern.clone()) else { return Ok(()) };
        if !compiled.fits(&line) {
            return Ok(());
        }
        let expected = pattern.replace('*', "x");
        prop_assert_eq!(by_kernel(line.as_bytes()), by_kernel(expected.as_bytes()), "{} and {}", pattern, line);
        prop_assert_eq!(by_words(&line), by_words(&expected), "{} and {}", pattern, line);
        prop_assert_eq!(by_systemd(&line), by_systemd(&expected), "{} and {}", pattern, line);
    }

    /// The property above would also hold for patterns that match nothing.
    #[test]
    fn wildcards_match_plain_characters(
        parameters in written(),
        fill in vec("[!#%&(-.0-9:-@A-Z^_`a-z|~{}/=]{0,4}", 1..4),
    ) {
        let (pattern, line) = put_together(&parameters, &fill);
        if let Ok(compiled) = CommandLinePattern::new(pattern.clone()) {
            prop_assert!(compiled.fits(&line), "{} and {}", pattern, line);
        }
    }

    #[test]
    fn a_matching_command_has_as_many_words_as_the_pattern(
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

/// Splits a line step by step as `next_arg` and `parse_args` of Linux 6.12 do. Returns each parameter's name, and
/// whether it has a value. Parameters after `--` are arguments of init.
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

/// Splits a line as shell scripts of an initrd do: at white space. Returns each word's name, and whether it has a
/// value.
fn by_words(line: &str) -> Vec<(String, bool)> {
    let words = line.split([' ', '\t', '\n']).filter(|word| !word.is_empty());
    words.map(|word| (word.split('=').next().unwrap().to_owned(), word.contains('='))).collect()
}

/// Splits a line as systemd before version 250 does, which interprets both kinds of quotes and backslashes. Returns the
/// words' names.
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
