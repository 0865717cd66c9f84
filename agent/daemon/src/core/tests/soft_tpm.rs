//! A model of a TPM, for pairings and reports.

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use pawl_evidence::tpm::{HashAlgorithm, Hierarchy, Name, PcrSelection, PcrValues, Public, Signature};
use pawl_proto::PcrValue;
use pawl_tpm::{Attestation, Counter, EndorsementKind, Identity, KeyBlob};

use super::*;

/// A TPM.
pub(super) struct SoftTpm {
    pub(super) counter: Option<u64>,
    pub(super) pcrs: BTreeMap<u8, PcrValue>,
    /// The number of next quotes before which a PCR changes.
    pub(super) changes: u32,
    /// The storage root key that the bus shows.
    pub(super) storage_key: SigningKey,
    /// The contents of the NvPCRs, by their handles.
    pub(super) nvpcrs: BTreeMap<u32, Vec<u8>>,
}

impl SoftTpm {
    pub(super) fn new(counter: Option<u64>) -> Self {
        let value = PcrValue::new(&[0; 32]).unwrap();
        let pcrs = (0..=15).map(|index| (index, value)).collect();
        Self { counter, pcrs, changes: 0, storage_key: key(31), nvpcrs: BTreeMap::new() }
    }

    pub(super) fn answer(&mut self, command: &TpmCommand) -> TpmAnswer {
        match command {
            TpmCommand::Increment => {
                self.counter = self.counter.map(|value| value + 1);
                TpmAnswer::Incremented
            }
            TpmCommand::EndEpoch => {
                let ended = self.counter.unwrap_or(1);
                self.counter = Some(ended + 1);
                TpmAnswer::Ended(Epoch(ended), Epoch(ended + 1))
            }
            TpmCommand::Counter => TpmAnswer::Counter(self.counter.map(Epoch)),
            TpmCommand::ProvisionCounter => {
                let epoch = *self.counter.get_or_insert(1);
                TpmAnswer::Provisioned(Counter { epoch, public: vec![1], name: vec![2] })
            }
            TpmCommand::Certify(_) => TpmAnswer::Certified { attest: vec![1], signature: vec![2] },
            TpmCommand::Check(record) => {
                TpmAnswer::Checked(self.counter.map(Epoch), record.attestation_name.as_bytes() == AK_NAME)
            }
            TpmCommand::Identity => TpmAnswer::Identity(Arc::new(Identity {
                endorsement: EndorsementKind::EccP256,
                ek_public: b"ek public".to_vec(),
                ek_name: b"ek".to_vec(),
                ek_certificates: Vec::new(),
                pcr_banks: Vec::new(),
                ak_public: public(&key(30)),
                ak_name: AK_NAME.to_vec(),
            })),
            TpmCommand::Activate(credential) => {
                TpmAnswer::Activated(Secret(Zeroizing::new(credential.secret.as_bytes().to_vec())))
            }
            TpmCommand::CreateKeys(_) => {
                let blob = |seed| KeyBlob { public: public(&key(seed)), private: vec![seed] };
                let storage_key = name(&public(&self.storage_key)).as_bytes().to_vec();
                let (link, device, vault, action) = (blob(1), blob(2), blob(3), blob(4));
                TpmAnswer::Created(NewKeys(pawl_tpm::PairingKeys {
                    link,
                    device,
                    vault,
                    action,
                    storage_key,
                }))
            }
            TpmCommand::CertifyKeys(keys, nonce) => {
                let certify = |key: &KeyBlob| certify(&key.public, *nonce);
                let pawl_tpm::PairingKeys { link, device, vault, action, .. } = &keys.0;
                TpmAnswer::KeysCertified(Box::new(KeyCertificates {
                    link: certify(link),
                    device: certify(device),
                    vault: certify(vault),
                    action: certify(action),
                }))
            }
            TpmCommand::RequestLink { .. } => TpmAnswer::LinkRequested(vec![5]),
            TpmCommand::ReadPcrs => TpmAnswer::Pcrs(self.pcrs.clone()),
            TpmCommand::ReadNvPcrs(handles) => TpmAnswer::NvPcrs(self.read_nvpcrs(handles)),
            TpmCommand::PresentNvPcrs(handles) => TpmAnswer::PresentNvPcrs(
                handles.iter().copied().filter(|handle| self.nvpcrs.contains_key(handle)).collect(),
            ),
            TpmCommand::Quote { digest, .. } => TpmAnswer::Quoted(self.quote(*digest)),
            TpmCommand::CertifyNvPcrs(handles, digest) => {
                let certified = self.read_nvpcrs(handles).into_iter();
                TpmAnswer::NvPcrsCertified(
                    certified
                        .map(|nvpcr| (nvpcr.handle, certify_nvpcr(&nvpcr.found.value, *digest)))
                        .collect(),
                )
            }
            TpmCommand::Unseal(_) => {
                TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new([1; 32])), clock_ms: 0 }
            }
            TpmCommand::MatchPcrs(_) => TpmAnswer::Matched(None),
            TpmCommand::Deprovision => TpmAnswer::Deprovisioned(self.counter.take().is_some()),
        }
    }

    fn read_nvpcrs(&self, handles: &[u32]) -> Vec<NvPcr> {
        let known = handles.iter().filter_map(|handle| Some((*handle, self.nvpcrs.get(handle)?.clone())));
        known
            .map(|(handle, value)| NvPcr { handle, found: pawl_tpm::NvDigest { public: vec![6], value } })
            .collect()
    }

    fn quote(&mut self, digest: Digest) -> Attestation {
        if self.changes > 0 {
            self.changes -= 1;
            let changes = u8::try_from(self.changes).unwrap();
            self.pcrs.insert(9, PcrValue::new(&[changes + 1; 32]).unwrap());
        }
        let selection = PcrSelection::new(HashAlgorithm::Sha256, 0..=15).unwrap();
        let mut values = PcrValues::default();
        for (index, value) in &self.pcrs {
            let value =
                pawl_evidence::tpm::TaggedDigest::new(HashAlgorithm::Sha256, value.as_bytes()).unwrap();
            values.insert(*index, value).unwrap();
        }
        let composite = values.composite(&selection, HashAlgorithm::Sha256).unwrap();
        attest(0x8018, digest.as_bytes(), &[selection.marshal(), sized(composite.as_bytes())].concat())
    }
}

/// Returns a `TPMS_ATTEST` of this type, signed by the attestation key.
fn attest(kind: u16, extra: &[u8], attested: &[u8]) -> Attestation {
    let attest = [
        &[0xff, 0x54, 0x43, 0x47][..],
        &kind.to_be_bytes(),
        &sized(b""),
        &sized(extra),
        &[0; 16],
        &[1],
        &[0; 8],
        attested,
    ]
    .concat();
    let signature: p256::ecdsa::Signature = key(30).sign(&attest);
    Attestation { attest, signature: Signature::from_r_s(&signature.to_bytes().into()).marshal() }
}

/// Returns the result of TPM2_Certify for a key below the genuine storage root key.
fn certify(public_area: &[u8], nonce: Nonce) -> Attestation {
    let (name, parent) = (name(public_area), name(&public(&key(31))));
    let qualified = name.below(&parent.in_hierarchy(Hierarchy::Owner));
    attest(0x8017, nonce.as_bytes(), &[sized(name.as_bytes()), sized(qualified.as_bytes())].concat())
}

fn certify_nvpcr(value: &[u8], digest: Digest) -> Attestation {
    attest(
        0x8014,
        digest.as_bytes(),
        &[sized(&[&[0, 0x0b][..], &[0; 32]].concat()), vec![0, 0], sized(value)].concat(),
    )
}

/// Returns the result of TPM2_NV_Certify for a counter with this value.
pub(super) fn certify_counter(value: u64) -> Attestation {
    certify_nvpcr(&value.to_be_bytes(), Digest([0; 32]))
}

pub(super) const AK_NAME: &[u8] = b"ak";

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Returns the `TPMT_PUBLIC` of a P-256 key.
fn public(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_encoded_point(false);
    let head = [0, 0x23, 0, 0x0b, 0, 5, 4, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10];
    [&head[..], &sized(point.x().unwrap()), &sized(point.y().unwrap())].concat()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn name(public: &[u8]) -> Name {
    Public::unmarshal(public).unwrap().name()
}
