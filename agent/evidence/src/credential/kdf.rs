use hmac::digest::Digest;
use hmac::digest::core_api::BlockSizeUser;
use hmac::{Mac as _, SimpleHmac};
use zeroize::Zeroizing;

use super::CredentialError;

/// KDFa (TPM 2.0 Library, part 1, section 11.4.10.2): SP 800-108 counter mode over HMAC. Returns `len` bytes.
///
/// `label` has no trailing zero: the separator that follows serves as both.
pub(super) fn kdf_a<H: Digest + BlockSizeUser>(
    key: &[u8],
    label: &str,
    context: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let bits = bit_length(len)?;
    let mut output = Zeroizing::new(Vec::with_capacity(len));
    for counter in 1_u32.. {
        let mac = SimpleHmac::<H>::new_from_slice(key)
            .map_err(|_| CredentialError::InvalidKey)?
            .chain_update(counter.to_be_bytes())
            .chain_update(label)
            .chain_update([0])
            .chain_update(context)
            .chain_update(bits);
        let block = Zeroizing::new(mac.finalize().into_bytes().to_vec());
        if append(&mut output, &block, len) {
            break;
        }
    }
    Ok(output)
}

/// KDFe (TPM 2.0 Library, part 1, section 11.4.10.3): SP 800-56A concatenation. Returns `len` bytes. `z`,
/// `party_u` and `party_v` are x coordinates as long as the curve's field.
pub(super) fn kdf_e<H: Digest>(
    z: &[u8],
    label: &str,
    party_u: &[u8],
    party_v: &[u8],
    len: usize,
) -> Zeroizing<Vec<u8>> {
    let mut output = Zeroizing::new(Vec::with_capacity(len));
    for counter in 1_u32.. {
        let hash = H::new()
            .chain_update(counter.to_be_bytes())
            .chain_update(z)
            .chain_update(label)
            .chain_update([0])
            .chain_update(party_u)
            .chain_update(party_v);
        let block = Zeroizing::new(hash.finalize().to_vec());
        if append(&mut output, &block, len) {
            break;
        }
    }
    output
}

/// Appends at most `len - output.len()` bytes of `block`; returns whether `output` has reached `len`.
fn append(output: &mut Vec<u8>, block: &[u8], len: usize) -> bool {
    let wanted = len.saturating_sub(output.len());
    output.extend(block.iter().take(wanted));
    output.len() >= len
}

fn bit_length(len: usize) -> Result<[u8; 4], CredentialError> {
    u32::try_from(len)
        .ok()
        .and_then(|len| len.checked_mul(8))
        .map(u32::to_be_bytes)
        .ok_or(CredentialError::InvalidKey)
}
