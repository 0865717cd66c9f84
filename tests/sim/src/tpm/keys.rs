//! The keys of a pairing, and the leases under which the model of a TPM lets them be used.

use std::cell::RefCell;
use std::collections::HashMap;

use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use pawl_evidence::assurance::action_policy;
use pawl_evidence::lease::{key_policy, link_policy, to_be_signed};
use pawl_evidence::rand_core::RngCore as _;
use pawl_evidence::tpm::{Curve, Hierarchy, Public, PublicKey, uncompressed_point};
use pawl_proto::{DeviceId, Digest};
use pawl_tpm::{Attestation, Binding, Error, KeyBlob, LeaseGrant, LeaseStep, PairingKeys, ResponseCode};
use pawl_verifier::testing::{BOUND_SIGNING, sealed_public, signing_public};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::{INTEGRITY, Tpm, attestation};
use crate::world::Ms;

const POLICY_FAIL: u32 = 0x99d;
const VALUE: u32 = 0x84;

impl Tpm {
    /// Creates the keys of a pairing.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::create_keys`.
    pub fn create_keys(&mut self, binding: &Binding) -> Result<PairingKeys, Error> {
        self.admit("TPM2_Create", false)?;
        if !self.is_defined || binding.counter.epoch != self.soft.epoch {
            return Err(Error::Epoch { expected: binding.counter.epoch, code: None });
        }
        let malformed = |_| Error::Malformed("lease key");
        let lease = Public::unmarshal(&binding.lease_public).map_err(malformed)?.name();
        let action = Public::unmarshal(&binding.action_public).map_err(malformed)?.name();
        let counter = self.soft.counter.name();
        let under_lease = key_policy(&lease, &binding.policy_ref);
        let link = link_policy(&counter, binding.counter.epoch);
        let action = action_policy(&counter, binding.counter.epoch, &action, &binding.policy_ref);
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        Ok(PairingKeys {
            link: self.signing_key(&link),
            device: self.signing_key(&under_lease),
            vault: self.wrap(sealed_public(&under_lease), &secret),
            action: self.signing_key(&action),
            storage_key: self.storage_key.clone(),
        })
    }

    fn signing_key(&mut self, policy: &[u8; 32]) -> KeyBlob {
        let key = SigningKey::random(&mut self.rng);
        self.wrap(signing_public(key.verifying_key(), BOUND_SIGNING, policy), &key.to_bytes())
    }

    fn wrap(&self, public: Vec<u8>, secret: &[u8]) -> KeyBlob {
        KeyBlob { public, private: [&self.mark, secret].concat() }
    }

    /// TPM2_Load: the private part of an object of this TPM.
    fn load(&self, key: &KeyBlob) -> Result<[u8; 32], Error> {
        let refused = Error::Tpm { doing: "TPM2_Load", code: ResponseCode::new(INTEGRITY) };
        match key.private.split_first_chunk::<8>() {
            Some((mark, secret)) if *mark == self.mark => secret.try_into().map_err(|_| refused),
            _ => Err(refused),
        }
    }

    /// TPM2_Certify over each key.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::certify`.
    pub fn certify(&mut self, now: Ms, key: &KeyBlob, extra: &[u8]) -> Result<Attestation, Error> {
        self.admit("TPM2_Certify", false)?;
        self.load(key)?;
        self.clock(now);
        let refused = |_| Error::Malformed("key");
        let parent = pawl_evidence::tpm::Name::from_bytes(&self.storage_key).map_err(refused)?;
        let parent = parent.in_hierarchy(Hierarchy::Owner);
        Ok(attestation(self.soft.certify_below(&key.public, &parent, extra)))
    }

    /// A PKCS #10 request that the link key signs.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::sign_with_link`.
    pub fn request_link(&mut self, key: &KeyBlob, device: DeviceId, epoch: u64) -> Result<Vec<u8>, Error> {
        self.use_link(key, epoch)?;
        let key = SecretKey::from_slice(&self.load(key)?).map_err(|_| Error::Malformed("link key"))?;
        let request = || {
            let pem = key.to_pkcs8_pem(LineEnding::LF).ok()?;
            let mut params = CertificateParams::new(Vec::new()).ok()?;
            params.distinguished_name.push(DnType::CommonName, device.as_str());
            let request = params.serialize_request(&KeyPair::from_pem(&pem).ok()?).ok()?;
            Some(request.der().to_vec())
        };
        request().ok_or(Error::Malformed("link key"))
    }

    /// Uses the link key, as a TLS handshake does.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::sign_with_link`.
    pub fn use_link(&mut self, key: &KeyBlob, epoch: u64) -> Result<(), Error> {
        self.admit("TPM2_Sign", false)?;
        self.load(key)?;
        let policy = link_policy(&self.soft.counter.name(), self.soft.epoch);
        if self.is_defined
            && epoch == self.soft.epoch
            && policy_of(&key.public).is_some_and(|own| own == policy)
        {
            return Ok(());
        }
        Err(Error::Epoch { expected: epoch, code: Some(ResponseCode::new(POLICY_FAIL)) })
    }

    /// TPM2_Unseal under a lease.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::unseal`.
    pub fn unseal(&mut self, now: Ms, key: &KeyBlob, lease: &LeaseGrant) -> Result<[u8; 32], Error> {
        self.admit("TPM2_Unseal", false)?;
        self.check_lease(now, &key.public, lease)?;
        self.load(key)
    }

    /// TPM2_Sign with the device key under a lease.
    ///
    /// # Errors
    /// As `pawl_tpm::Tpm::sign_with_device`.
    pub fn sign(
        &mut self,
        now: Ms,
        key: &KeyBlob,
        lease: &LeaseGrant,
        message: &[u8],
    ) -> Result<[u8; 64], Error> {
        self.admit("TPM2_Sign", false)?;
        self.check_lease(now, &key.public, lease)?;
        let key = SigningKey::from_slice(&self.load(key)?).map_err(|_| Error::Malformed("device key"))?;
        let signature: Signature = key.sign(message);
        Ok(signature.to_bytes().into())
    }

    /// Returns whether this TPM lets these keys be used under this lease, and changes nothing.
    #[must_use]
    pub fn accepts(&mut self, now: Ms, key: &KeyBlob, lease: &LeaseGrant) -> bool {
        self.load(key).is_ok() && self.check_lease(now, &key.public, lease).is_ok()
    }

    fn check_lease(&mut self, now: Ms, key: &[u8], lease: &LeaseGrant) -> Result<(), Error> {
        let refused = |step, code: u32| Err(Error::Lease { step, code: Some(ResponseCode::new(code)) });
        let terms = &lease.terms;
        if !is_signed(lease) {
            return refused(LeaseStep::Signature, 0x9b);
        }
        let values: Vec<u8> = terms
            .selection
            .iter()
            .filter_map(|(_, index)| self.soft.pcrs.get(&index))
            .flat_map(|value| value.as_bytes().to_vec())
            .collect();
        if Digest::of(&values).0 != terms.pcr_digest {
            return refused(LeaseStep::Pcrs, VALUE);
        }
        let is_counter = terms.counter_name == self.soft.counter.name() && self.is_defined;
        if !is_counter || terms.epoch != self.soft.epoch {
            return refused(LeaseStep::Epoch, 0x126);
        }
        if self.soft.reset_count > terms.reset_count_max {
            return refused(LeaseStep::Reboots, 0x126);
        }
        if self.clock(now) >= terms.clock_before {
            return refused(LeaseStep::Deadline, 0x126);
        }
        let lease_key = Public::unmarshal(&lease.lease_public).map_err(|_| Error::Malformed("lease key"))?;
        if policy_of(key).is_none_or(|own| own != key_policy(&lease_key.name(), &lease.policy_ref)) {
            return refused(LeaseStep::Use, POLICY_FAIL);
        }
        Ok(())
    }
}

fn policy_of(public: &[u8]) -> Option<Vec<u8>> {
    Public::unmarshal(public).ok().map(|public| public.auth_policy().to_vec())
}

thread_local! {
    /// The lease signatures that were verified: the same lease is used many times.
    static VERIFIED: RefCell<HashMap<[u8; 32], bool>> = RefCell::default();
}

fn is_signed(lease: &LeaseGrant) -> bool {
    let signed = to_be_signed(&lease.terms.approved_policy(), &lease.policy_ref);
    let known = Digest::of(&[&lease.lease_public[..], &signed, &lease.signature].concat()).0;
    if let Some(verified) = VERIFIED.with_borrow(|verified| verified.get(&known).copied()) {
        return verified;
    }
    let verify = || {
        let public = Public::unmarshal(&lease.lease_public).ok()?;
        let PublicKey::Ecc { curve: Curve::P256, x, y, .. } = public.key() else { return None };
        let key = VerifyingKey::from_sec1_bytes(&uncompressed_point(Curve::P256, x, y)).ok()?;
        let signature = Signature::from_slice(&lease.signature).ok()?;
        key.verify_prehash(&signed, &signature).ok()
    };
    let verified = verify().is_some();
    VERIFIED.with_borrow_mut(|all| {
        if all.len() > 10_000 {
            all.clear();
        }
        all.insert(known, verified)
    });
    verified
}
