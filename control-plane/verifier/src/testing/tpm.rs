use std::collections::BTreeMap;

use aes::Aes128;
use aes::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use p256::SecretKey;
use p256::ecdh::diffie_hellman;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use pawl_evidence::rand_core::{CryptoRngCore, OsRng};
use pawl_evidence::tpm::{HashAlgorithm, Name, NvPublic, PcrSelection, Public};
use pawl_proto::message::{Credential, TpmStructure};
use pawl_proto::{Digest, PcrBank, PcrValue};
use sha2::{Digest as _, Sha256};

use super::{ATTESTATION, endorsement_public, signing_public, sized};

/// A software TPM. It signs attestations that a TPM would sign, and invalid ones that no TPM would sign.
#[derive(Clone)]
pub struct SoftTpm {
    /// The endorsement key's `TPMT_PUBLIC`.
    pub ek: Vec<u8>,
    ek_secret: SecretKey,
    ak: SigningKey,
    /// The epoch counter's NV index.
    pub counter: NvPublic,
    /// Its value.
    pub epoch: u64,
    /// Milliseconds of the TPM's clock. Each attestation advances it by ten.
    pub clock: u64,
    /// TPM resets.
    pub reset_count: u32,
    /// The PCR values.
    pub pcrs: BTreeMap<u8, PcrValue>,
    /// The handle of the hierarchy of its attestation key.
    pub hierarchy: u32,
}

/// TPM_RH_OWNER.
pub const OWNER: u32 = 0x4000_0001;
/// TPM_RH_ENDORSEMENT.
pub const ENDORSEMENT: u32 = 0x4000_000b;

/// `TPMS_ATTEST` and `TPMT_SIGNATURE`.
pub type Attestation = (TpmStructure, TpmStructure);

impl SoftTpm {
    /// Returns a new TPM with keys from the operating system's random generator.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one is another TPM")]
    pub fn new() -> Self {
        Self::with(&mut OsRng)
    }

    /// Returns a new TPM with keys from this random generator.
    pub fn with(random: &mut impl CryptoRngCore) -> Self {
        let ek_secret = SecretKey::random(random);
        Self {
            ek: endorsement_public(&VerifyingKey::from(ek_secret.public_key())),
            ek_secret,
            ak: SigningKey::random(random),
            counter: NvPublic::epoch_counter(0x0180_5041),
            epoch: 7,
            clock: 60_000,
            reset_count: 3,
            pcrs: (0..=14).map(|index| (index, PcrValue::Sha256([index; 32]))).collect(),
            hierarchy: ENDORSEMENT,
        }
    }

    /// Returns SHA-256 of the endorsement key.
    #[must_use]
    pub fn ek_sha256(&self) -> Digest {
        Digest::of(&self.ek)
    }

    /// Returns the attestation key's `TPMT_PUBLIC`.
    #[must_use]
    pub fn ak_public(&self) -> Vec<u8> {
        signing_public(self.ak.verifying_key(), ATTESTATION, &[])
    }

    /// Does `TPM2_ActivateCredential` for the attestation key. Returns `None` if the credential is for another TPM.
    #[must_use]
    pub fn activate(&self, credential: &Credential) -> Option<Vec<u8>> {
        let name = Public::unmarshal(&self.ak_public()).unwrap().name();
        activate(&self.ek_secret, name.as_bytes(), credential)
    }

    /// Does `TPM2_Quote` over all of `pcrs`.
    pub fn quote(&mut self, extra: &[u8]) -> Attestation {
        let selection =
            PcrSelection::new(bank(PcrBank::of(&self.pcrs).unwrap()), self.pcrs.keys().copied()).unwrap();
        let values: Vec<u8> = self.pcrs.values().flat_map(|value| value.as_bytes().to_vec()).collect();
        let quote = [selection.marshal(), sized(Digest::of(&values).as_bytes())].concat();
        self.attest([0x80, 0x18], extra, &quote)
    }

    /// Does `TPM2_Certify` of an object with this public area.
    pub fn certify(&mut self, public: &[u8], extra: &[u8]) -> Attestation {
        let name = sized(Public::unmarshal(public).unwrap().name().as_bytes());
        self.attest([0x80, 0x17], extra, &[name.clone(), name].concat())
    }

    /// Does `TPM2_Certify` of an object with this public area below a key with the qualified name `parent`.
    pub fn certify_below(&mut self, public: &[u8], parent: &Name, extra: &[u8]) -> Attestation {
        let name = Public::unmarshal(public).unwrap().name();
        let qualified = name.below(parent);
        self.attest([0x80, 0x17], extra, &[sized(name.as_bytes()), sized(qualified.as_bytes())].concat())
    }

    /// Does `TPM2_NV_Certify` of the epoch counter.
    pub fn certify_counter(&mut self, extra: &[u8]) -> Attestation {
        let name = sized(self.counter.name().as_bytes());
        let contents = sized(&self.epoch.to_be_bytes());
        self.attest([0x80, 0x14], extra, &[name, vec![0, 0], contents].concat())
    }

    /// Does `TPM2_NV_Certify` of an NV index with this public area.
    pub fn certify_nv(&mut self, public: &NvPublic, contents: &[u8], extra: &[u8]) -> Attestation {
        let name = sized(public.name().as_bytes());
        self.attest([0x80, 0x14], extra, &[name, vec![0, 0], sized(contents)].concat())
    }

    fn attest(&mut self, kind: [u8; 2], extra: &[u8], attested: &[u8]) -> Attestation {
        self.clock += 10;
        let name = Public::unmarshal(&self.ak_public()).unwrap().name();
        let place = [&self.hierarchy.to_be_bytes()[..], name.as_bytes()].concat();
        let signer = [&[0x00, 0x0b], &Digest::of(&place).as_bytes()[..]].concat();
        let attest = [
            &[0xff, 0x54, 0x43, 0x47],
            &kind[..],
            &sized(&signer),
            &sized(extra),
            &self.clock.to_be_bytes(),
            &self.reset_count.to_be_bytes(),
            &0_u32.to_be_bytes(),
            &[1],
            &9_u64.to_be_bytes(),
            attested,
        ]
        .concat();
        let signature: Signature = self.ak.sign(&attest);
        let signature = pawl_evidence::tpm::Signature::from_r_s(&signature.to_bytes().into()).marshal();
        (TpmStructure::new(attest).unwrap(), TpmStructure::new(signature).unwrap())
    }
}

fn bank(bank: PcrBank) -> HashAlgorithm {
    match bank {
        PcrBank::Sha256 => HashAlgorithm::Sha256,
        PcrBank::Sha384 => HashAlgorithm::Sha384,
    }
}

/// Does `TPM2_ActivateCredential` with an endorsement key on P-256 (TPM 2.0 Library, part 1, section 24).
/// Returns `None` if the credential is for another endorsement key or another object's name.
#[must_use]
pub fn activate(ek: &SecretKey, object: &[u8], credential: &Credential) -> Option<Vec<u8>> {
    let (x, rest) = split_sized(credential.secret.as_bytes())?;
    let (y, _) = split_sized(rest)?;
    let ephemeral = p256::PublicKey::from_sec1_bytes(&[&[4], x, y].concat()).ok()?;
    let z = diffie_hellman(ek.to_nonzero_scalar(), ephemeral.as_affine());
    let own_x = p256::EncodedPoint::from(ek.public_key()).x()?.to_vec();
    let seed = Sha256::digest([&[0, 0, 0, 1], &z.raw_secret_bytes()[..], b"IDENTITY\0", x, &own_x].concat());

    let (integrity, encrypted) = split_sized(credential.id_object.as_bytes())?;
    let key = kdf_a(&seed, "INTEGRITY", &[], 32);
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(encrypted).chain_update(object);
    mac.verify_slice(integrity).ok()?;
    let key = kdf_a(&seed, "STORAGE", object, 16);
    let mut secret = encrypted.to_vec();
    cfb_mode::Decryptor::<Aes128>::new_from_slices(&key, &[0; 16]).unwrap().decrypt(&mut secret);
    Some(split_sized(&secret)?.0.to_vec())
}

/// Computes one block of KDFa.
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

/// Splits a TPM2B off the start. Returns its content and the rest.
fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
