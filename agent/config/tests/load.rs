//! The configuration that a directory and an environment give together.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use pawl_config::{Config, ConfigError, Endorsement, LogLevel, Origin};

/// A configuration directory of its own.
struct Directory(tempfile::TempDir);

const LEAST: &str = "[control_plane]\nurl = \"https://control.example:8443\"\nca = \"/etc/pawl/ca.pem\"\n";

impl Directory {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = directory.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&self.path("pawl.toml"), variables)
    }

    fn refusal(&self, variables: &[(&str, &str)]) -> String {
        let error = self.load(variables).unwrap_err().to_string();
        error.replace(self.0.path().to_str().unwrap(), "DIR")
    }
}

/// The same with one file, [`LEAST`] first.
fn one(text: &str) -> Directory {
    Directory::with(&[("pawl.toml", &format!("{text}\n{LEAST}"))])
}

#[test]
fn the_least_has_the_documented_defaults() {
    let config = one("").load(&[]).unwrap();
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/pawl"));
    assert_eq!(config.socket, PathBuf::from("/run/pawl/pawld.sock"));
    assert_eq!(config.log, LogLevel::Info);
    assert_eq!(config.control_plane.url.to_string(), "https://control.example:8443");
    assert_eq!(config.tpm.tcti, "auto");
    assert_eq!(config.tpm.counter, 0x0180_5041);
    assert_eq!(config.tpm.endorsement, Endorsement::Auto);
    assert_eq!(config.tpm.owner_auth, None);
    assert!(!config.pairing.automatic);
    assert!(config.pairing.scopes.is_empty() && config.tokens.is_empty());
    for (tpm, number) in [(None, 0), (Some(1), 1)] {
        let log = format!("/sys/kernel/security/tpm{number}/binary_bios_measurements");
        assert_eq!(config.logs.boot_of(tpm), PathBuf::from(log));
    }
}

#[test]
fn every_key_is_read() {
    let directory = Directory::with(&[(
        "pawl.toml",
        r#"
state_dir = "/s"
socket = "/r/s"
log = "trace"
[control_plane]
url = "https://control.example"
ca = "/ca.pem"
[tpm]
tcti = "swtpm:host=127.0.0.1,port=2321"
counter = 0x0180_0001
endorsement = "ecc-p384"
owner_auth = "/auth"
[pairing]
automatic = true
scopes = ["a", "b"]
[logs]
boot = "/b"
ima = "/i"
measure = "/m"
ima_ascii = "/ia"
[[token]]
name = "telemetry"
scopes = ["a"]
audience = "https://api.example"
[[token]]
name = "updates"
scopes = []
"#,
    )]);
    let config = directory.load(&[]).unwrap();
    assert_eq!((config.state_dir, config.socket, config.log), ("/s".into(), "/r/s".into(), LogLevel::Trace));
    assert_eq!(config.tpm.tcti, "swtpm:host=127.0.0.1,port=2321");
    assert_eq!((config.tpm.counter, config.tpm.endorsement), (0x0180_0001, Endorsement::EccP384));
    assert_eq!(config.tpm.owner_auth, Some("/auth".into()));
    assert!(config.pairing.automatic);
    assert_eq!(config.pairing.scopes.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b"]);
    assert_eq!(config.logs.boot_of(Some(1)), PathBuf::from("/b"));
    assert_eq!(config.logs.ima_ascii, PathBuf::from("/ia"));
    assert_eq!(config.logs.measure, PathBuf::from("/m"));
    let names: Vec<_> = config.tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["telemetry", "updates"]);
    assert_eq!(config.tokens[0].audience.as_ref().unwrap().as_str(), "https://api.example");
}

#[test]
fn later_wins_key_by_key_and_arrays_are_replaced() {
    let directory = Directory::with(&[
        (
            "pawl.toml",
            "log = \"error\"\nsocket = \"/a\"\nstate_dir = \"/a\"\n[control_plane]\nurl = \"https://a.example\"\nca = \"/a\"\n\
             [pairing]\nscopes = [\"a\", \"b\"]\n[[token]]\nname = \"a\"\nscopes = []\n",
        ),
        (
            "conf.d/20.toml",
            "log = \"warn\"\nsocket = \"/20\"\n[control_plane]\nurl = \"https://b.example\"\n",
        ),
        ("conf.d/100.toml", "log = \"info\"\nsocket = \"/100\"\n[pairing]\nscopes = [\"c\"]\n"),
        ("conf.d/Z.toml", "[[token]]\nname = \"z\"\nscopes = []\n"),
        ("conf.d/.hidden.toml", "nonsense"),
        ("conf.d/30.toml.bak", "nonsense"),
    ]);
    let config = directory.load(&[("PAWL_LOG", "debug"), ("PAWL_CONTROL_PLANE__CA", "/env")]).unwrap();
    assert_eq!(config.log, LogLevel::Debug);
    assert_eq!(config.socket, PathBuf::from("/20"), "100 sorts before 20");
    assert_eq!(config.state_dir, PathBuf::from("/a"));
    assert_eq!(config.control_plane.url.host(), "b.example");
    assert_eq!(config.control_plane.ca, PathBuf::from("/env"));
    assert_eq!(config.pairing.scopes.len(), 1);
    assert_eq!(config.tokens.len(), 1);
    assert_eq!(config.tokens[0].name.as_str(), "z");
}

#[test]
fn variables_hold_every_kind_of_value() {
    let config = one("")
        .load(&[
            ("PAWL_TPM__COUNTER", "25186369"),
            ("PAWL_PAIRING__AUTOMATIC", "true"),
            ("PAWL_PAIRING__SCOPES", r#"["telemetry", "updates"]"#),
            ("PAWL_TOKEN", r#"[{ name = "telemetry", scopes = ["telemetry"] }]"#),
            ("PAWL_STATE_DIR", "/true"),
            ("PAWL_FAIL_POINT", "anything"),
            ("PAWL_BIN_DIR", "anything"),
            ("PAWLED", "somebody else's"),
            ("HOME", "/root"),
        ])
        .unwrap();
    assert_eq!(config.tpm.counter, 25_186_369);
    assert!(config.pairing.automatic);
    assert_eq!(config.pairing.scopes.len(), 2);
    assert_eq!(config.tokens.len(), 1);
    assert_eq!(config.state_dir, PathBuf::from("/true"));
}

#[test]
fn the_scopes_of_all_tokens_are_asked_for_where_none_are_named() {
    let config = Directory::with(&[(
        "pawl.toml",
        &format!(
            "{LEAST}[[token]]\nname = \"a\"\nscopes = [\"x\", \"y\"]\n[[token]]\nname = \"b\"\nscopes = [\"y\", \"z\"]\n"
        ),
    )])
    .load(&[])
    .unwrap();
    assert_eq!(config.pairing.scopes.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["x", "y", "z"]);
}

#[test]
fn a_missing_file_says_which_one_to_create() {
    let error = Directory::with(&[]).refusal(&[]);
    assert_eq!(
        error,
        "there is no DIR/pawl.toml: create it, with `url` and `ca` of the control plane under [control_plane]"
    );
}

#[test]
fn a_missing_key_says_where_to_add_it() {
    let directory = Directory::with(&[("pawl.toml", "[control_plane]\nurl = \"https://a.example\"\n")]);
    assert_eq!(directory.refusal(&[]), "control_plane.ca is not set: add it to DIR/pawl.toml");
    let directory = Directory::with(&[("pawl.toml", "")]);
    assert_eq!(directory.refusal(&[]), "control_plane.url is not set: add it to DIR/pawl.toml");
}

#[test]
fn unknown_keys_are_named_with_file_and_line() {
    let error = one("# comment\nstate-dir = \"/x\"").refusal(&[]);
    assert!(error.starts_with("DIR/pawl.toml, line 2: unknown field `state-dir`"), "{error}");
    let directory = Directory::with(&[("pawl.toml", LEAST), ("conf.d/1.toml", "[tpm]\n\ndevice = 1\n")]);
    let error = directory.refusal(&[]);
    assert!(error.starts_with("DIR/conf.d/1.toml, line 3: unknown field `device`"), "{error}");
    let error = Directory::with(&[(
        "pawl.toml",
        &format!("{LEAST}[[token]]\nname = \"a\"\nscopes = []\nscope = \"x\"\n"),
    )])
    .refusal(&[]);
    assert!(error.starts_with("DIR/pawl.toml, line 7: unknown field `scope`"), "{error}");
}

#[test]
fn unknown_variables_are_named() {
    for (name, unknown) in [
        ("PAWL_CONTROL_PLANE_URL", "control_plane_url"),
        ("PAWL_CONTROL_PLANE__URI", "uri"),
        ("PAWL_", ""),
        ("PAWL_STATE_DIR__X", "state_dir"),
    ] {
        let error = one("").refusal(&[(name, "/x")]);
        assert!(error.starts_with(&format!("environment variable {name}: ")), "{error}");
        assert!(
            name == "PAWL_STATE_DIR__X" || error.contains(&format!("unknown field `{unknown}`")),
            "{error}"
        );
    }
}

#[test]
fn bad_values_are_refused_where_they_stand() {
    for (text, line, problem) in [
        ("state_dir = \"var\"", 1, "begins with /"),
        ("\nsocket = 3", 2, "invalid type"),
        ("log = \"loud\"", 1, "unknown variant `loud`"),
        ("tpm.counter = 1", 1, "0x01800000 to 0x01bfffff"),
        ("tpm.counter = -1", 1, "invalid value"),
        ("tpm.endorsement = \"rsa\"", 1, "unknown variant `rsa`"),
        ("pairing.scopes = [\"a b\"]", 1, "a scope has"),
        ("pairing.scopes = [\"\"]", 1, "a scope has"),
        ("pairing.scopes = [\"a\", \"a\"]", 1, "named twice"),
        ("token = [{ name = \"A\", scopes = [] }]", 1, "name of a token"),
        ("token = [{ name = \"a\", scopes = [], audience = \"api\" }]", 1, "absolute URI"),
        ("token = [{ name = \"a\", scopes = [], audience = \"https://a#b\" }]", 1, "absolute URI"),
        (
            "token = [{ name = \"a\", scopes = [] }, { name = \"a\", scopes = [] }]",
            1,
            "two tokens are called `a`",
        ),
        ("log = \"info\"\nlog = \"warn\"", 2, "duplicate key"),
        ("log = ", 1, ""),
    ] {
        let directory = one(text);
        let error = directory.load(&[]).unwrap_err();
        let ConfigError::Invalid { origin, problem: found } = &error else { panic!("{text}: {error}") };
        let expected = Origin::File { path: directory.path("pawl.toml"), line: Some(line) };
        assert_eq!(origin, &expected, "{text}: {error}");
        assert!(found.contains(problem) && !found.contains('\n'), "{text}: {error}");
    }
    let plain =
        Directory::with(&[("pawl.toml", "[control_plane]\nurl = \"http://a.example\"\nca = \"/a\"\n")]);
    assert!(
        plain.refusal(&[]).starts_with("DIR/pawl.toml, line 2: the address of a control plane begins with")
    );
    assert_eq!(
        one("").refusal(&[("PAWL_STATE_DIR", "x")]),
        "environment variable PAWL_STATE_DIR: a path begins with / here, so that it means the same in every directory"
    );
    assert!(one("").refusal(&[("PAWL_PAIRING__AUTOMATIC", "yes")]).contains("expected a boolean"));
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let directory = Directory::with(&[("pawl.toml", &"#".repeat(300 * 1024))]);
    assert!(matches!(directory.load(&[]), Err(ConfigError::TooLarge { .. })));
    let directory = Directory::with(&[]);
    fs::write(directory.path("pawl.toml"), b"\xff").unwrap();
    assert!(matches!(directory.load(&[]), Err(ConfigError::Unreadable { .. })));
    let directory = Directory::with(&[("pawl.toml/x", "")]);
    assert!(matches!(directory.load(&[]), Err(ConfigError::Unreadable { .. })));
    let directory = Directory::with(&[("pawl.toml", LEAST), ("conf.d", "a file")]);
    assert!(matches!(directory.load(&[]), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn the_readme_shows_a_configuration_that_loads() {
    let readme = include_str!("../../../README.md");
    let shown = readme.split("pawl.toml`:\n").nth(1).unwrap().trim_start();
    let block: String = shown
        .lines()
        .take_while(|line| !line.is_empty())
        .fold(String::new(), |text, line| text + line.trim() + "\n");
    let config = Directory::with(&[("pawl.toml", &block)]).load(&[]).unwrap();
    assert_eq!(config.control_plane.url.to_string(), "https://control.example:8443");
    assert_eq!(config.tokens.len(), 1);
}
