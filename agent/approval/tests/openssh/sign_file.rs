//! Signing with a key in a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use pawl_approval::sign::{FindError, KeyFileError, Signer};
use pawl_approval::{KeyError, NAMESPACE};
use zeroize::Zeroizing;

use crate::keygen::{Claim, KINDS, Keygen, public_key, public_line, run, ssh_keygen};
use crate::sshsig::{armor, dearmor, joined};

const MESSAGE: &[u8] = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// Nobody must be asked.
fn no_question(_: &Path) -> Option<Zeroizing<String>> {
    unreachable!("asked for a passphrase")
}

fn find(key: &Path, passphrase: &str) -> Result<Signer, FindError> {
    Signer::find(key.to_str().unwrap(), None, |asked| {
        assert_eq!(asked, key);
        Some(Zeroizing::new(passphrase.to_owned()))
    })
}

/// Why the file cannot be used; nobody is asked for a passphrase.
fn refusal(key: &Path) -> KeyFileError {
    match Signer::find(key.to_str().unwrap(), None, no_question).unwrap_err() {
        FindError::KeyFile { path, error } => {
            assert_eq!(path, key);
            error
        }
        other => unreachable!("the file is read: {other}"),
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
fn ssh_keygen_accepts_what_a_key_file_signs() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384")] {
        let key = keygen.key(kind, bits);
        let signer = Signer::find(key.to_str().unwrap(), None, no_question).unwrap();
        assert_eq!(signer.fingerprint(), public_key(&key).fingerprint());
        assert_eq!(signer.comment(), format!("{kind} of {bits} bits"));
        assert!(!signer.is_security_key());
        assert_signs(&keygen, &signer, &public_line(&key));
    }
}

/// r and s are short in one of 128 signatures each.
#[test]
fn every_signature_is_well_formed() {
    let keygen = Keygen::new();
    for bits in ["256", "384"] {
        let signer = find(&keygen.key("ecdsa", bits), "").unwrap();
        for count in 0..500_u32 {
            // What was signed is verified before it is returned.
            signer.sign(NAMESPACE, &count.to_be_bytes()).unwrap();
        }
    }
}

#[test]
fn encrypted_keys_open_with_their_passphrase_only() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "384")] {
        let key = keygen.key_with(kind, bits, &["-N", "correct horse", "-a", "2"]);
        assert_signs(&keygen, &find(&key, "correct horse").unwrap(), &public_line(&key));

        let wrong = find(&key, "battery staple").unwrap_err();
        assert!(matches!(wrong, FindError::KeyFile { error: KeyFileError::WrongPassphrase, .. }));
        let gave_up = Signer::find(key.to_str().unwrap(), None, |_| None).unwrap_err();
        assert!(matches!(gave_up, FindError::KeyFile { error: KeyFileError::NoPassphrase, .. }));
    }
}

#[test]
fn keys_for_the_agent_say_so_before_they_ask() {
    let keygen = Keygen::new();
    let encrypted = ["-N", "correct horse", "-a", "1"];
    let rsa = keygen.key_with("rsa", "2048", &encrypted);
    assert_eq!(refusal(&rsa), KeyFileError::AgentOnly("ssh-rsa"));
    assert!(KeyFileError::AgentOnly("ssh-rsa").to_string().contains("ssh-add FILE"));
    let p521 = keygen.key_with("ecdsa", "521", &encrypted);
    assert_eq!(refusal(&p521), KeyFileError::AgentOnly("ecdsa-sha2-nistp521"));
    let uncommon = keygen.key_with("ed25519", "256", &["-N", "secret", "-Z", "aes256-cbc"]);
    assert_eq!(refusal(&uncommon), KeyFileError::Cipher);
    let slow = keygen.key_with("ed25519", "256", &["-N", "secret", "-a", "1"]);
    let rounds = with_rounds(&fs::read_to_string(&slow).unwrap(), 1_000_000);
    fs::write(&slow, rounds).unwrap();
    assert_eq!(refusal(&slow), KeyFileError::Cipher);
}

#[test]
fn what_is_no_key_file_is_named() {
    let keygen = Keygen::new();
    let pem = keygen.key_with("rsa", "2048", &["-N", "", "-m", "PEM"]);
    assert_eq!(refusal(&pem), KeyFileError::Format);
    let weak = keygen.key("rsa", "1024");
    assert_eq!(refusal(&weak), KeyFileError::Key(KeyError::RsaSize(1024)));

    let key = keygen.key("ed25519", "256");
    let whole = fs::read_to_string(&key).unwrap();
    let cut = whole.lines().take(3).chain(whole.lines().last()).collect::<Vec<_>>().join("\n");
    fs::write(&key, cut).unwrap();
    assert_eq!(refusal(&key), KeyFileError::Malformed);

    let missing = Signer::find("no/such/file", None, no_question).unwrap_err();
    assert!(matches!(missing, FindError::Read { .. }), "{missing}");
    let text = keygen.path("text");
    fs::write(&text, "not a key at all").unwrap();
    let no_key = Signer::find(text.to_str().unwrap(), None, no_question).unwrap_err();
    assert!(matches!(no_key, FindError::PublicKey { .. }), "{no_key}");
}

#[test]
fn a_private_half_of_another_key_is_refused() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256")] {
        let [one, other] = [keygen.key(kind, bits), keygen.key(kind, bits)];
        let [one_key, other_key] = [&one, &other].map(|key| public_key(key).blob().to_vec());
        let blob = dearmor(&fs::read_to_string(&one).unwrap());
        let at = blob.windows(one_key.len()).position(|window| window == one_key).unwrap();
        let swapped = [&blob[..at], &other_key, &blob[at + one_key.len()..]].concat();
        fs::write(&one, private_armor(&swapped)).unwrap();
        assert_eq!(refusal(&one), KeyFileError::Malformed, "{kind}");
    }
}

/// One scalar in 256 begins with a zero byte, which the file leaves out.
#[test]
fn a_short_scalar_is_read() {
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
    let signer = Signer::find(path.to_str().unwrap(), None, no_question).unwrap();
    assert_eq!(signer.comment(), "short");
    assert_signs(&keygen, &signer, str::from_utf8(&line).unwrap().trim());
}

#[test]
fn a_damaged_file_never_panics() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS.into_iter().take(3) {
        let key = keygen.key(kind, bits);
        let blob = dearmor(&fs::read_to_string(&key).unwrap());
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 0xff;
            fs::write(&key, private_armor(&damaged)).unwrap();
            // Damage in the comment goes unnoticed; all else is an error, or asks for a passphrase.
            let _ = Signer::find(key.to_str().unwrap(), None, |_| None);
            fs::write(&key, private_armor(&blob[..at])).unwrap();
            assert_eq!(refusal(&key), KeyFileError::Malformed, "{kind}, {at} bytes");
        }
    }
}

fn private_armor(blob: &[u8]) -> String {
    armor(blob).replace("SSH SIGNATURE", "OPENSSH PRIVATE KEY")
}

/// The file, with another number of rounds to derive the key from the passphrase.
fn with_rounds(armored: &str, rounds: u32) -> String {
    let mut blob = dearmor(armored);
    let kdf = blob.windows(6).position(|window| window == b"bcrypt").unwrap();
    // After the name: the length of the options, the salt's length and its 16 bytes.
    let at = kdf + 6 + 4 + 4 + 16;
    blob[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
    private_armor(&blob)
}
