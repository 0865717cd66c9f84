//! The same decisions as `ssh-keygen -Y verify` with the same file.

use std::fs;

use pawl_approval::allowed_signers::{LineError, Time};
use pawl_approval::{AllowedSigners, AllowedSignersError, NAMESPACE, Signature, Touch, VerifiedKey};

use crate::keygen::{Claim, Keygen, public_line};

const MESSAGE: &[u8] = b"a message";
const NOW: &str = "20260301Z";

/// A key, and its signature for a namespace.
struct Signed {
    keygen: Keygen,
    line: String,
    namespace: &'static str,
    armored: String,
    key: VerifiedKey,
}

impl Signed {
    fn for_namespace(namespace: &'static str) -> Self {
        let keygen = Keygen::new();
        let key = keygen.key("ed25519", "256");
        let armored = keygen.sign(&key, namespace, MESSAGE);
        let signature = Signature::parse(&armored).unwrap();
        let verified = signature.verify(namespace, MESSAGE, Touch::Require).unwrap();
        Self { line: public_line(&key), keygen, namespace, armored, key: verified }
    }

    /// Whether we and ssh-keygen count the signature; they must agree.
    fn counts(&self, allowed_signers: &str, principal: &str, time: &str) -> bool {
        let now_s = time.parse::<Time>().unwrap().unix_s();
        let ours = AllowedSigners::parse(allowed_signers)
            .is_ok_and(|signers| signers.approver(&self.key, self.namespace, now_s).is_ok());
        let claim = Claim { allowed_signers, principal, namespace: self.namespace, time: Some(time) };
        let theirs = self.keygen.verifies(&claim, &self.armored, MESSAGE);
        assert_eq!(ours, theirs, "{} at {time} with\n{allowed_signers}", self.namespace);
        ours
    }
}

#[test]
fn options_decide_as_in_ssh_keygen() {
    let options = [
        "",
        "namespaces=\"pawl-approval@v1\"",
        "namespaces=\"git,pawl-*\"",
        "namespaces=\"git,file\"",
        "namespaces=\"*,!pawl-approval@v1\"",
        "namespaces=\"!git,pawl-approval@v?\"",
        "namespaces=\"PAWL-approval@v1\"",
        "namespaces=\"\"",
        "valid-after=\"20260101Z\"",
        "valid-before=\"20260601Z\"",
        "valid-after=\"202601011200Z\",valid-before=\"20260601235959Z\"",
        "Valid-After=\"20260101120000z\",NAMESPACES=\"git\"",
        "namespaces=\"pawl-approval@v1\",valid-before=\"202606010000Z\"",
        "namespaces=\"a\\\"b,*\"",
    ];
    let times = [
        "20251231235959Z",
        "20260101000000Z",
        "20260101120000Z",
        "20260301Z",
        "20260601000000Z",
        "20260601000001Z",
        "20270101Z",
    ];
    let mut counted = 0;
    for signed in [Signed::for_namespace(NAMESPACE), Signed::for_namespace("git")] {
        for option in options {
            for time in times {
                let line = format!("alice {option} {}\n", signed.line);
                counted += usize::from(signed.counts(&line, "alice", time));
            }
        }
    }
    // Neither all of them nor none: the table decides something.
    assert!((60..140).contains(&counted), "{counted}");
}

#[test]
fn any_line_that_allows_the_key_counts() {
    let signed = Signed::for_namespace(NAMESPACE);
    let key = &signed.line;
    let both = format!("alice namespaces=\"git\" {key}\nalice valid-after=\"20260101Z\" {key}\n");
    assert!(signed.counts(&both, "alice", NOW));
    assert!(!signed.counts(&both, "alice", "20251231Z"));

    let signers = AllowedSigners::parse(&both).unwrap();
    let refusal = signers.approver(&signed.key, NAMESPACE, 0).unwrap_err();
    assert_eq!(refusal.binding(), "not-yet-valid");
    let expected = format!(
        "line 2 of the allowed signers allows the key {} only from 2026-01-01 00:00:00 UTC on",
        signed.key.fingerprint()
    );
    assert_eq!(refusal.to_string(), expected);
    let refusal = signers.approver(&signed.key, "file", u64::MAX).map(|approver| approver.principal);
    assert_eq!(refusal.unwrap().as_str(), "alice");
}

#[test]
fn refusals_say_what_is_listed() {
    let signed = Signed::for_namespace(NAMESPACE);
    let binding = |options: &str| {
        let signers = AllowedSigners::parse(&format!("alice {options} {}", signed.line)).unwrap();
        let now_s = NOW.parse::<Time>().unwrap().unix_s();
        signers.approver(&signed.key, NAMESPACE, now_s).unwrap_err().binding()
    };
    assert_eq!(binding("namespaces=\"git\""), "namespace");
    assert_eq!(binding("valid-before=\"20260228Z\""), "expired");
    assert_eq!(binding("valid-after=\"20260302Z\""), "not-yet-valid");
    let nobody = AllowedSigners::parse("# nobody yet\n\n").unwrap();
    assert!(nobody.is_empty());
    assert_eq!(nobody.approver(&signed.key, NAMESPACE, 0).unwrap_err().binding(), "key");
}

#[test]
fn lines_are_read_as_ssh_keygen_reads_them() {
    let signed = Signed::for_namespace(NAMESPACE);
    let key = signed.line.as_str();
    let bare = key.rsplit_once(" ed25519").unwrap().0;
    for line in [
        format!("alice {bare}"),
        format!("  \talice \t {key}  "),
        format!("# a comment\n\n   # another\nalice {key}\n"),
        format!("alice {key}\r\n"),
        format!("\"alice\" {key}"),
        format!("bob,alice {key}"),
        format!("al* {key}"),
        format!("bob {key}\nalice {key}\n"),
    ] {
        assert!(signed.counts(&line, "alice", NOW), "{line}");
    }
    assert!(signed.counts(&format!("\"alice smith\" {key}"), "alice smith", NOW));
}

#[test]
fn lines_that_ssh_keygen_refuses_are_refused() {
    let signed = Signed::for_namespace(NAMESPACE);
    let key = signed.line.as_str();
    for line in [
        "alice".to_owned(),
        "alice ssh-ed25519".to_owned(),
        "alice ssh-ed25519 AAAA".to_owned(),
        key.to_owned(),
        format!("\"alice {key}"),
        format!("alice {}", key.replace("ssh-ed25519 ", "ssh-rsa ")),
        format!("alice no-touch-required {key}"),
        format!("alice namespaces={NAMESPACE} {key}"),
        format!("alice namespaces=\"{NAMESPACE} {key}"),
        format!("alice namespaces=\"{NAMESPACE}\", {key}"),
        format!("alice namespaces=\"{NAMESPACE}\",namespaces=\"git\" {key}"),
        format!("alice namespaces=\"{NAMESPACE}\"x {key}"),
        format!("alice valid-after=\"yesterday\" {key}"),
        format!("alice valid-after=\"20261301Z\" {key}"),
        format!("alice valid-after=\"20250102Z\",valid-before=\"20250101Z\" {key}"),
        format!("alice cert-authority {key}"),
    ] {
        let error = AllowedSigners::parse(&format!("# who may approve\n{line}\n")).expect_err(&line);
        assert!(matches!(error, AllowedSignersError::Line { line: 2, .. }), "{line}: {error}");
        assert!(!signed.counts(&line, "alice", NOW), "{line}");
    }
}

#[test]
fn a_wrong_line_is_explained() {
    let signed = Signed::for_namespace(NAMESPACE);
    let parse = |text: String| AllowedSigners::parse(&text).unwrap_err().to_string();
    assert_eq!(
        parse(format!("alice {0}\n*@example.com cert-authority {0}\n", signed.line)),
        "line 2 of the allowed signers: cert-authority is not supported: list each person's own key"
    );
    assert_eq!(
        parse(format!("alice verify-required {}", signed.line)),
        "line 1 of the allowed signers: unknown option: expected namespaces=\"…\", valid-after=\"…\" or \
         valid-before=\"…\""
    );
    let dsa = "alice ssh-dss AAAAB3NzaC1kc3M=".to_owned();
    assert!(parse(dsa).contains("keys of type `ssh-dss` are not supported"));
}

#[test]
fn files_are_read_within_bounds() {
    let keygen = Keygen::new();
    let path = keygen.path("signers");
    assert!(matches!(AllowedSigners::load(&path), Err(AllowedSignersError::Io(_))));
    fs::write(&path, "#".repeat(1 << 20)).unwrap();
    assert!(AllowedSigners::load(&path).is_ok_and(|signers| signers.is_empty()));
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(AllowedSigners::load(&path), Err(AllowedSignersError::TooLong)));
    fs::write(&path, b"# \xff\n").unwrap();
    assert!(matches!(AllowedSigners::load(&path), Err(AllowedSignersError::NotText)));
    fs::write(&path, "alice\n").unwrap();
    let incomplete = AllowedSigners::load(&path).unwrap_err();
    assert!(matches!(incomplete, AllowedSignersError::Line { line: 1, error: LineError::Incomplete }));
}
