use super::*;

const LEAST: &str = r#"
state_dir = "/var/lib/pawl-control-plane"
listen = "127.0.0.1:8443"
name = "Example fleet"
host_names = ["localhost"]
url = "https://localhost:8443"
[broker]
host = "localhost"
port = 8883
"#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control-plane.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

#[test]
fn keys_that_are_not_set_have_defaults() {
    let config = load(LEAST).unwrap();
    assert_eq!(config.lease.pcrs, [0, 2, 4, 7, 8, 9, 12, 14]);
    assert_eq!((config.lease.seconds, config.lease.resets, config.report_interval()), (86_400, 3, 300));
    assert_eq!(config.url.join("/v1/token"), "https://localhost:8443/v1/token");
}

#[test]
fn a_short_lease_is_renewed_twice_before_it_ends() {
    assert_eq!(load(&format!("{LEAST}\n[lease]\nseconds = 9")).unwrap().report_interval(), 3);
    assert_eq!(load(&format!("{LEAST}\n[lease]\nseconds = 1")).unwrap().report_interval(), 1);
}

#[test]
fn a_later_pairing_requires_one_person_unless_the_operator_configures_otherwise() {
    let approvals = load(LEAST).unwrap().approvals;
    assert_eq!(
        (approvals.pair, approvals.re_pair, approvals.after_repair(), approvals.seconds),
        (0, 1, 1, 600)
    );
    assert!(approvals.lacks_signers());
    let own = "[approvals]\nallowed_signers = \"/etc/signers\"\nre_pair = 2\nafter_repair = 0\nseconds = 60";
    let approvals = load(&format!("{LEAST}\n{own}")).unwrap().approvals;
    assert_eq!((approvals.re_pair, approvals.after_repair(), approvals.seconds), (2, 0, 60));
    assert!(!approvals.lacks_signers());
    assert!(!load(&format!("{LEAST}\n[approvals]\nre_pair = 0")).unwrap().approvals.lacks_signers());
}

#[test]
fn an_unknown_key_is_named() {
    let error = load(&format!("{LEAST}\n[lease]\nsecond = 5")).unwrap_err().to_string();
    assert!(error.contains("control-plane.toml") && error.contains("`second`"), "{error}");
}

#[test]
fn a_value_out_of_range_is_named() {
    for (section, key) in [
        ("[lease]\npcrs = [24]", "lease.pcrs"),
        ("[lease]\nseconds = 0", "lease.seconds"),
        ("[token]\nseconds = 0", "token.seconds"),
        ("[approvals]\nre_pair = 3", "approvals.re_pair"),
        ("[approvals]\nafter_repair = 9", "approvals.after_repair"),
        ("[approvals]\nseconds = 601", "approvals.seconds"),
        ("[approvals]\nseconds = 0", "approvals.seconds"),
        ("[approvals]\nallowed_signers = \"signers\"", "approvals.allowed_signers"),
    ] {
        let error = load(&format!("{LEAST}\n{section}")).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let plain = LEAST.replace("https://localhost", "http://localhost");
    assert!(load(&plain).unwrap_err().to_string().contains("begins with https://"));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let error = Config::load(Path::new("/nonexistent/control-plane.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/control-plane.toml") && error.contains("--config"), "{error}");
}

#[test]
fn the_documents_show_a_configuration_that_loads() {
    let readme = include_str!("../../../../README.md");
    let guide = include_str!("../../../../docs/operators-guide.md");
    let blocks = [(readme, "state_dir ="), (guide, "[approvals]"), (guide, "[[action]]")];
    let whole: String = blocks.map(|(document, first)| block(document, first)).concat();
    let config = load(&whole).unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/pawl-control-plane"));
    assert_eq!(config.broker.port, 8883);
    assert_eq!((config.approvals.re_pair, config.approvals.after_repair()), (1, 0));
    assert_eq!(config.actions[0].name.as_str(), "firmware-update");
}

/// Returns the indented block that begins with this text.
fn block(document: &str, first: &str) -> String {
    let lines = document.lines().skip_while(|line| !line.starts_with(&format!("    {first}")));
    lines.take_while(|line| !line.is_empty()).fold(String::new(), |text, line| text + line.trim() + "\n")
}

#[test]
fn actions_are_named_once_and_have_their_policy() {
    let action =
        |text: &str| load(&format!("{LEAST}\n[[action]]\nname = \"restart\"\napprovals = 1\n{text}"));
    let actions = action("").unwrap().actions;
    assert_eq!((actions[0].name.as_str(), actions[0].approvals, actions[0].seconds), ("restart", 1, 300));
    assert!(action("[approvals]\nre_pair = 0").unwrap().lacks_signers());
    for (wrong, key) in [
        ("seconds = 0", "action.seconds"),
        ("seconds = 86401", "action.seconds"),
        ("[[action]]\nname = \"restart\"\napprovals = 0", "action.name"),
        ("[[action]]\nname = \"re-pair\"\napprovals = 0", "action.name"),
        ("[[action]]\nname = \"\"\napprovals = 0", "action.name"),
        ("[[action]]\nname = \"update\"\napprovals = 3", "action.approvals"),
    ] {
        let error = action(wrong).unwrap_err().to_string();
        assert!(error.contains(key), "{wrong}: {error}");
    }
    let error = action("[[action]]\nname = \"update\"").unwrap_err().to_string();
    assert!(error.contains("approvals"), "`approvals` has no default: {error}");
}
