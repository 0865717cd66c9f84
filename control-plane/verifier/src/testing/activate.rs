use aes::Aes128;
use aes::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use p256::SecretKey;
use p256::ecdh::diffie_hellman;
use pawl_proto::message::Credential;
use sha2::{Digest as _, Sha256};

/// `TPM2_ActivateCredential` with an endorsement key on P-256 (TPM 2.0 Library, part 1, section 24).
/// None when the credential is for another endorsement key or another object's name.
#[must_use]
pub fn activate(ek: &SecretKey, object: &[u8], credential: &Credential) -> Option<Vec<u8>> {
    let (x, rest) = sized(credential.secret.as_bytes())?;
    let (y, _) = sized(rest)?;
    let ephemeral = p256::PublicKey::from_sec1_bytes(&[&[4], x, y].concat()).ok()?;
    let z = diffie_hellman(ek.to_nonzero_scalar(), ephemeral.as_affine());
    let own_x = p256::EncodedPoint::from(ek.public_key()).x()?.to_vec();
    let seed = Sha256::digest([&[0, 0, 0, 1], &z.raw_secret_bytes()[..], b"IDENTITY\0", x, &own_x].concat());

    let (integrity, encrypted) = sized(credential.id_object.as_bytes())?;
    let key = kdf_a(&seed, "INTEGRITY", &[], 32);
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(encrypted).chain_update(object);
    mac.verify_slice(integrity).ok()?;
    let key = kdf_a(&seed, "STORAGE", object, 16);
    let mut secret = encrypted.to_vec();
    cfb_mode::Decryptor::<Aes128>::new_from_slices(&key, &[0; 16]).unwrap().decrypt(&mut secret);
    Some(sized(&secret)?.0.to_vec())
}

/// One block of KDFa.
fn kdf_a(key: &[u8], label: &str, context: &[u8], length: u32) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(1_u32.to_be_bytes())
        .chain_update(label)
        .chain_update([0])
        .chain_update(context)
        .chain_update((length * 8).to_be_bytes());
    mac.finalize().into_bytes()[..usize::try_from(length).unwrap()].to_vec()
}

/// What a TPM2B at the start holds, and what follows it.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
