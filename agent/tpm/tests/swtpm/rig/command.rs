//! Commands of the test's own, byte by byte (TPM 2.0 Library, part 3).

pub(crate) const POLICY_NV: u32 = 0x149;
pub(crate) const POLICY_SIGNED: u32 = 0x160;
pub(crate) const FLUSH_CONTEXT: u32 = 0x165;
pub(crate) const NV_INCREMENT: u32 = 0x134;
pub(crate) const NV_DEFINE_SPACE: u32 = 0x12a;
pub(crate) const NV_UNDEFINE_SPACE: u32 = 0x122;
pub(crate) const NV_READ: u32 = 0x14e;
pub(crate) const CREATE_PRIMARY: u32 = 0x131;
pub(crate) const START_AUTH_SESSION: u32 = 0x176;
pub(crate) const SIGN: u32 = 0x15d;
pub(crate) const QUOTE: u32 = 0x158;
pub(crate) const UNSEAL: u32 = 0x15e;
pub(crate) const POLICY_PCR: u32 = 0x17f;
pub(crate) const PCR_READ: u32 = 0x17e;

/// TPM2_PCR_Extend, sha256 bank, by a digest of ones.
pub(crate) fn pcr_extend(pcr: u32) -> Vec<u8> {
    let mut body = pcr.to_be_bytes().to_vec();
    // The authorization area: a password session with an empty password.
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend([0, 0, 0, 1, 0x00, 0x0b]);
    body.extend([1; 32]);
    command(0x8002, 0x182, &body)
}

/// TPM2_GetCapability for the handles from `first` on.
pub(crate) fn handles(first: u32) -> Vec<u8> {
    command(0x8001, 0x17a, &[&1u32.to_be_bytes()[..], &first.to_be_bytes(), &254u32.to_be_bytes()].concat())
}

/// TPM_RC.
pub(crate) fn response_code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

/// How many handles such an answer lists.
pub(crate) fn count_handles(response: &[u8]) -> usize {
    u32::from_be_bytes(response[15..19].try_into().unwrap()) as usize
}

fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = 10 + body.len() as u32;
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}
