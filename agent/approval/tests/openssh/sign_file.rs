//! Signing with a key in a file: `ssh-keygen` signs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use pawl_approval::sign::{FindError, KeygenError, SignError, Signer};
use pawl_approval::{KeyError, NAMESPACE, Signature, Touch};

use crate::keygen::{Claim, KINDS, Keygen, public_key, public_line, run, ssh_keygen};
use crate::sshsig::{armor, dearmor, joined};

const MESSAGE: &[u8] = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn find(key: &Path) -> Result<Signer, FindError> {
    Signer::find(key.to_str().unwrap(), None)
}

/// What ssh-keygen says of a file that has no `.pub` file beside it.
fn refusal(key: &Path) -> String {
    match find(key).unwrap_err() {
        FindError::KeyFile { path, error: KeygenError::Failed(said) | KeygenError::NoTerminal(said) } => {
            assert_eq!(path, key);
            said
        }
        other => unreachable!("ssh-keygen says why: {other}"),
    }
}

fn assert_signs(keygen: &Keygen, signer: &Signer, public_line: &str) {
    let armored = signer.sign(NAMESPACE, MESSAGE).unwrap();
    let allowed_signers = format!("alice namespaces=\"{NAMESPACE}\" {public_line}\n");
    let claim =
        Claim { allowed_signers: &allowed_signers, principal: "alice", namespace: NAMESPACE, time: None };
    assert!(keygen.verifies(&claim, &armored, MESSAGE), "{}", signer.algorithm());
    assert!(!keygen.verifies(&claim, &armored, b"something else"));
    assert!(!keygen.verifies(&Claim { namespace: "file", ..claim }, &armored, MESSAGE));
}

#[test]
fn a_key_of_every_kind_signs_from_its_file() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS {
        let key = keygen.key(kind, bits);
        let signer = find(&key).unwrap();
        assert_eq!(signer.fingerprint(), public_key(&key).fingerprint());
        assert_eq!(signer.comment(), format!("{kind} of {bits} bits"));
        assert!(!signer.is_security_key());
        assert_signs(&keygen, &signer, &public_line(&key));
    }
}

/// r and s are short in one of 128 signatures each. The daemon's reader must take what any key signs.
#[test]
fn every_signature_of_an_ecdsa_key_is_read() {
    let keygen = Keygen::new();
    for bits in ["256", "384"] {
        let key = keygen.key("ecdsa", bits);
        for count in 0..100_u32 {
            let message = count.to_be_bytes();
            let armored = keygen.sign(&key, NAMESPACE, &message);
            Signature::parse(&armored).unwrap().verify(NAMESPACE, &message, Touch::Require).unwrap();
        }
    }
}

#[test]
fn without_a_pub_file_ssh_keygen_tells_the_public_half() {
    let keygen = Keygen::new();
    let key = keygen.key("ed25519", "256");
    let line = public_line(&key);
    fs::remove_file(key.with_extension("pub")).unwrap();
    let signer = find(&key).unwrap();
    assert_eq!(signer.fingerprint(), line.parse::<pawl_approval::PublicKey>().unwrap().fingerprint());
    assert_signs(&keygen, &signer, &line);
}

#[test]
fn formats_that_ssh_keygen_reads_sign_too() {
    let keygen = Keygen::new();
    for (kind, bits, options) in
        [("rsa", "2048", ["-N", "", "-m", "PEM"]), ("ecdsa", "256", ["-N", "", "-m", "PKCS8"])]
    {
        let key = keygen.key_with(kind, bits, &options);
        assert_signs(&keygen, &find(&key).unwrap(), &public_line(&key));
    }
}

#[test]
fn a_key_that_cannot_approve_is_named_before_it_signs() {
    let keygen = Keygen::new();
    let weak = find(&keygen.key("rsa", "1024")).unwrap_err();
    assert!(matches!(weak, FindError::PublicKey { error: KeyError::RsaSize(1024), .. }), "{weak}");
}

#[test]
fn a_file_without_a_key_is_named() {
    let keygen = Keygen::new();
    let key = keygen.key("ed25519", "256");
    let whole = fs::read_to_string(&key).unwrap();
    let cut = whole.lines().take(3).chain(whole.lines().last()).collect::<Vec<_>>().join("\n");
    fs::remove_file(key.with_extension("pub")).unwrap();
    fs::write(&key, cut).unwrap();
    assert!(!refusal(&key).is_empty());

    let missing = Signer::find("no/such/file", None).unwrap_err();
    assert!(matches!(missing, FindError::Read { .. }), "{missing}");
    let text = keygen.path("text");
    fs::write(&text, "not a key at all").unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!refusal(&text).is_empty());
    let public = keygen.path("text.pub");
    fs::write(&public, "not a key at all").unwrap();
    let no_key = Signer::find(public.to_str().unwrap(), None).unwrap_err();
    assert!(matches!(no_key, FindError::PublicKey { .. }), "{no_key}");
}

#[test]
fn a_pub_file_of_another_key_signs_nothing() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256")] {
        let [one, other] = [keygen.key(kind, bits), keygen.key(kind, bits)];
        fs::copy(other.with_extension("pub"), one.with_extension("pub")).unwrap();
        let error = find(&one).unwrap().sign(NAMESPACE, MESSAGE).unwrap_err();
        assert!(matches!(error, SignError::OtherKey | SignError::Keygen(_)), "{error}");
    }
}

/// One scalar in 256 begins with a zero byte, which the file leaves out.
#[test]
fn a_key_with_a_short_scalar_signs() {
    let keygen = Keygen::new();
    let mut scalar = [0x5a; 32];
    scalar[0] = 0;
    let secret = p256::SecretKey::from_slice(&scalar).unwrap();
    let point = secret.public_key().to_encoded_point(false);
    let name = &b"ecdsa-sha2-nistp256"[..];
    let public = joined(&[name, b"nistp256", point.as_bytes()]);
    let fields = joined(&[name, b"nistp256", point.as_bytes(), &scalar[1..], b"short"]);
    let mut private = [&[1; 8][..], &fields].concat();
    private.extend((1..=8).cycle().take(private.len().next_multiple_of(8) - private.len()));
    let header = joined(&[b"none", b"none", b""]);
    let count = 1_u32.to_be_bytes();
    let blob = [b"openssh-key-v1\0", &header[..], &count, &joined(&[&public, &private])].concat();

    let path = keygen.path("short");
    fs::write(&path, private_armor(&blob)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let line = run(&mut ssh_keygen(&["-y", "-f", path.to_str().unwrap()]), b"").stdout;
    let signer = find(&path).unwrap();
    assert_eq!(signer.comment(), "short");
    assert_signs(&keygen, &signer, str::from_utf8(&line).unwrap().trim());
}

#[test]
fn a_damaged_file_signs_nothing_else() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS.into_iter().take(3) {
        let key = keygen.key(kind, bits);
        let blob = dearmor(&fs::read_to_string(&key).unwrap());
        for at in (0..blob.len()).step_by(47) {
            let mut damaged = blob.clone();
            damaged[at] ^= 0xff;
            fs::write(&key, private_armor(&damaged)).unwrap();
            // Damage in the comment goes unnoticed; all else is an error.
            let _ = find(&key).unwrap().sign(NAMESPACE, MESSAGE);
            fs::write(&key, private_armor(&blob[..at])).unwrap();
            let error = find(&key).unwrap().sign(NAMESPACE, MESSAGE).unwrap_err();
            assert!(matches!(error, SignError::Keygen(_)), "{kind}, {at} bytes: {error}");
        }
    }
}

fn private_armor(blob: &[u8]) -> String {
    armor(blob).replace("SSH SIGNATURE", "OPENSSH PRIVATE KEY")
}
