//! The parsers accept or refuse any input without a panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_approval::allowed_signers::Time;
use pawl_approval::{
    AllowedSigners, Confirmation, Fingerprint, NAMESPACE, PublicKey, Signature, Touch, UserCode,
};
use proptest::prelude::*;

/// Bytes that are often valid SSH strings, so that some inputs pass the parsers' first checks.
fn strings() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        &b"ssh-ed25519"[..],
        b"ecdsa-sha2-nistp256",
        b"nistp256",
        b"ecdsa-sha2-nistp521",
        b"nistp521",
        b"ssh-rsa",
        b"rsa-sha2-512",
        b"sk-ssh-ed25519@openssh.com",
        b"sha512",
        b"",
    ]);
    let part = prop_oneof![
        known.prop_map(<[u8]>::to_vec),
        Just(NAMESPACE.as_bytes().to_vec()),
        prop::sample::select(vec![32_usize, 64, 65, 133, 256])
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len)),
        Just([&[4][..], &[0; 132]].concat()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec((part, any::<bool>()), 0..6).prop_map(|parts| {
        let mut bytes = Vec::new();
        for (part, framed) in parts {
            if framed {
                bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            }
            bytes.extend(part);
        }
        bytes
    })
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn try_to_verify(blob: &[u8]) {
    let base64 = STANDARD.encode(blob);
    let armored = format!("-----BEGIN SSH SIGNATURE-----{base64}-----END SSH SIGNATURE-----");
    if let Ok(signature) = Signature::parse(&armored) {
        assert!(signature.verify(NAMESPACE, b"message", Touch::Waive).is_err());
    }
}

proptest! {
    #[test]
    fn any_blob_as_a_signature(blob in prop::collection::vec(any::<u8>(), 0..300)) {
        try_to_verify(&[b"SSHSIG\0\0\0\x01", &blob[..]].concat());
        try_to_verify(&blob);
    }

    #[test]
    fn a_frame_with_any_key_and_signature(key in strings(), signature in strings()) {
        let envelope = [framed(NAMESPACE.as_bytes()), framed(b""), framed(b"sha512")].concat();
        let blob = [&b"SSHSIG\0\0\0\x01"[..], &framed(&key), &envelope, &framed(&signature)].concat();
        try_to_verify(&blob);
    }

    /// A real key, so that the inner signature is reached every time.
    #[test]
    fn any_signature_by_a_key(signature in strings(), point in any::<bool>()) {
        let (name, rest) = if point {
            let mut generator = vec![4];
            generator.extend([0xc6; 132]);
            (&b"ecdsa-sha2-nistp521"[..], [framed(b"nistp521"), framed(&generator)].concat())
        } else {
            (&b"ssh-ed25519"[..], framed(&[9; 32]))
        };
        let key = [framed(name), rest].concat();
        let inner = [framed(name), signature].concat();
        let envelope = [framed(NAMESPACE.as_bytes()), framed(b""), framed(b"sha512")].concat();
        let blob = [&b"SSHSIG\0\0\0\x01"[..], &framed(&key), &envelope, &framed(&inner)].concat();
        try_to_verify(&blob);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        let _ = Signature::parse(&text);
        let _ = text.parse::<PublicKey>();
        let _ = text.parse::<Fingerprint>();
        let _ = text.parse::<UserCode>();
        let _ = text.parse::<Confirmation>();
        let _ = text.parse::<Time>();
        let _ = AllowedSigners::parse(&text);
    }

    #[test]
    fn any_key(blob in strings()) {
        if let Ok(key) = PublicKey::parse_blob(&blob) {
            prop_assert_eq!(key.blob(), &blob[..]);
        }
    }

    #[test]
    fn any_line_of_options(options in "[a-z\"=,\\\\ *!Z0-9-]{0,60}", time in "[0-9]{6,16}Z?") {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
        let _ = AllowedSigners::parse(&format!("alice {options} {key}"));
        let _ = AllowedSigners::parse(&options);
        let parsed = AllowedSigners::parse(&format!("alice valid-before=\"{time}\" {key}"));
        prop_assert_eq!(parsed.is_ok(), time.parse::<Time>().is_ok());
    }
}
