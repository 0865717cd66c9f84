use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature as EcdsaSignature, SigningKey};
use pawl_evidence::appraise::{AppraisedEvidence, ImaProgress, NvPcrs};
use pawl_evidence::attest::{AttestError, AttestationKey, VerifiedAttest, VerifiedNvPcr, VerifiedQuote};
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::tpm::{
    HashAlgorithm, Hierarchy, NvPublic, PcrSelection, PcrValues, Public, Signature, TaggedDigest,
};
use rand_core::OsRng;

use super::boot::NONCE;

/// Returns evidence of age zero in the first epoch, of a device without a log of systemd and without NvPCRs.
pub(crate) fn of_boot<'a>(
    quote: &'a VerifiedQuote,
    boot_log: Option<&'a [u8]>,
    ima: ImaProgress<'a>,
) -> AppraisedEvidence<'a> {
    AppraisedEvidence {
        quote,
        epoch: 1,
        age_s: 0,
        boot_log,
        measure_log: None,
        measure_log_cut: false,
        nvpcrs: NvPcrs::NotAsked,
        ima,
    }
}

/// Returns a quote of PCRs 0 to 14 of the sha256 bank with the values to which this log replays.
pub(crate) fn quote_of(log: &[u8]) -> VerifiedQuote {
    let replayed = EventLog::parse(log).unwrap().replay().unwrap();
    let mut pcrs = PcrValues::default();
    for index in 0..15 {
        let untouched = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
        let value = replayed.get(HashAlgorithm::Sha256, index).copied().unwrap_or(untouched);
        pcrs.insert(index, value).unwrap();
    }
    quote(&pcrs)
}

/// Returns a quote of these PCRs, by a new key.
pub(crate) fn quote(pcrs: &PcrValues) -> VerifiedQuote {
    let bank = pcrs.sole_bank().unwrap();
    let selection = PcrSelection::new(bank, pcrs.iter().map(|(_, index, _)| index)).unwrap();
    let values: Vec<u8> = pcrs.iter().flat_map(|(_, _, value)| value.as_bytes().to_vec()).collect();
    let quoted =
        [&selection.marshal()[..], &sized(HashAlgorithm::Sha256.digest(&[&values]).as_bytes())].concat();
    attest([0x80, 0x18], &quoted).quote(pcrs).unwrap()
}

/// Verifies a certification of the index `certified` against the public area `public`. A new key certifies it.
pub(crate) fn nv_certified(
    public: &NvPublic,
    certified: &NvPublic,
    contents: &[u8],
) -> Result<VerifiedNvPcr, AttestError> {
    let body = [&sized(certified.name().as_bytes())[..], &[0, 0], &sized(contents)].concat();
    VerifiedNvPcr::new(&attest([0x80, 0x14], &body), public.clone())
}

/// Returns an attestation of this type, by a new key.
fn attest(kind: [u8; 2], body: &[u8]) -> VerifiedAttest {
    let key = SigningKey::random(&mut OsRng);
    let ak = AttestationKey::from_public(ak_public(&key)).unwrap();
    let attest = [
        &[0xff, 0x54, 0x43, 0x47][..],
        &kind,
        &sized(ak.name().in_hierarchy(Hierarchy::Endorsement).as_bytes()),
        &sized(&NONCE),
        &60_000_u64.to_be_bytes(),
        &3_u32.to_be_bytes(),
        &0_u32.to_be_bytes(),
        &[1],
        &9_u64.to_be_bytes(),
        body,
    ]
    .concat();
    let signature: EcdsaSignature = key.sign(&attest);
    let signature = Signature::from_r_s(&signature.to_bytes().into()).marshal();
    ak.verify(&attest, &signature, &NONCE).unwrap()
}

/// Returns the public area of a restricted ECDSA P-256 signing key.
fn ak_public(key: &SigningKey) -> Public {
    let point = key.verifying_key().to_encoded_point(false);
    let header = [0x00, 0x23, 0x00, 0x0b, 0x00, 0x05, 0x04, 0x72, 0, 0, 0x00, 0x10, 0x00, 0x18, 0x00, 0x0b];
    let (x, y) = (point.x().unwrap().to_vec(), point.y().unwrap().to_vec());
    let bytes = [&header[..], &[0x00, 0x03, 0x00, 0x10], &sized(&x), &sized(&y)].concat();
    Public::unmarshal(&bytes).unwrap()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
