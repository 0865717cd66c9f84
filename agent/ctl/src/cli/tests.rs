//! Command lines that are accepted or refused.

use super::*;

fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
}

#[test]
fn the_definition_of_the_command_line_is_valid() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn json_and_socket_are_accepted_before_and_after_the_command() {
    for line in ["pawlctl --json --socket /s status", "pawlctl status --json --socket /s"] {
        let cli = parse(line).unwrap();
        assert!(cli.json && cli.socket == Some("/s".into()), "{line}");
    }
}

#[test]
fn every_command_is_accepted() {
    for line in [
        "pawlctl status",
        "pawlctl pair",
        "pawlctl pair --reason moved --scope a --scope b --timeout 5",
        "pawlctl pair --attach",
        "pawlctl re-pair",
        "pawlctl cancel --json",
        "pawlctl re-pair --replaces abcdefghijklmnopqrstuvwxyz234567 --sign-with agent --yes --no-qr",
        "pawlctl re-pair --confirm bcdfghjk --json",
        "pawlctl re-pair --attach --sign-with key",
        "pawlctl action update --resource r --file f --session s --reason x --sign-with k",
        "pawlctl action --attach 00000000000000000000000000000001 --confirm BCDF-GHJK",
        "pawlctl records",
        "pawlctl records --after 7",
        "pawlctl token telemetry",
        "pawlctl token telemetry --method GET --url https://api.example/v1",
        "pawlctl wipe --reason stolen --yes",
        "pawlctl deprovision --yes",
        "pawlctl entitled",
        "pawlctl entitled --wait --hold",
        "pawlctl check --config /etc/pawl/pawl.toml",
        "pawlctl evidence --export /tmp/x --force",
        "pawlctl replay log",
        "pawlctl replay log --ima ima --json",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn an_action_requires_all_of_its_options() {
    let digest = "0A".repeat(32);
    let line = format!("pawlctl action update --resource r --session s --digest {digest}");
    assert!(parse(&line).is_ok());
    for part in ["update", "--resource r", "--session s", &format!("--digest {digest}")] {
        assert!(parse(&line.replace(part, "")).is_err(), "{part}");
    }
    assert!(parse(&format!("{line} --file f")).is_err());
    assert!(parse(&format!("{line} --confirm BCDF-GHJK")).is_err());
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "pawlctl",
        "pawlctl stat",
        "pawlctl wipe",
        "pawlctl wipe --reason=",
        "pawlctl pair --timeout 0",
        "pawlctl pair --scope=",
        "pawlctl re-pair --yes",
        "pawlctl re-pair --confirm BCDF-GHJ",
        "pawlctl re-pair --confirm BCDF-GHJA",
        "pawlctl re-pair --attach --reason x",
        "pawlctl re-pair --confirm BCDF-GHJK --scope a",
        "pawlctl re-pair --replaces abc",
        "pawlctl action",
        "pawlctl action update --resource r --session s",
        "pawlctl action update --resource r --session s --digest 00",
        "pawlctl action --attach 00000000000000000000000000000001 --resource r",
        "pawlctl action --attach 1",
        "pawlctl records --after x",
        "pawlctl token",
        "pawlctl token Telemetry",
        "pawlctl token ../status",
        "pawlctl token telemetry --url https://api.example",
        "pawlctl evidence",
        "pawlctl evidence --export x --nonce 00",
        "pawlctl replay",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    let long = "x".repeat(257);
    assert!(Cli::try_parse_from(["pawlctl", "wipe", "--reason", &long]).is_err());
    assert!(Cli::try_parse_from(["pawlctl", "wipe", "--reason", "a\nb"]).is_err());
}
