use std::collections::BTreeMap;

use super::MeasureLog;
use super::record::Target;
use crate::bytes;
use crate::tpm::Name;

/// The PCR into which systemd measures the creation of an NvPCR.
pub const NVPCR_INIT_PCR: u8 = 9;
/// The maximum number of named NvPCRs; further ones are ignored. systemd defines four.
const NAMED_MAX: usize = 64;
/// The length limit of a name, above that of a unit's file name.
const NAME_MAX_LEN: usize = 64;

/// The text that systemd 262 measures when it creates an NvPCR: `nvpcr-init:NAME:0xINDEX:TPM-NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvPcrInit<'t> {
    /// systemd's name for it.
    pub name: &'t str,
    /// The handle of its NV index.
    pub index: u32,
    /// The TPM's name of the index, which covers its attributes and its policy. `None` from systemd 259 to 261,
    /// which measured a value instead.
    pub tpm_name: Option<Name>,
}

/// The NvPCRs named in a log, by the handles of their NV indices. Root can write anything into the log.
pub type NvPcrNames = BTreeMap<u32, String>;

impl<'t> NvPcrInit<'t> {
    /// Parses the text of a record; `None` if it is another text.
    pub fn parse(text: &'t str) -> Option<Self> {
        let (name, rest) = text.strip_prefix("nvpcr-init:")?.split_once(':')?;
        let (index, tpm_name) = rest.strip_prefix("0x")?.split_once(':')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > NAME_MAX_LEN || !name.bytes().all(is_name) {
            return None;
        }
        let is_hex = index.len() <= 8 && index.bytes().all(|byte| byte.is_ascii_hexdigit());
        let index = u32::from_str_radix(index, 16).ok().filter(|_| is_hex)?;
        let tpm_name =
            bytes::read_lower_hex(tpm_name.as_bytes()).and_then(|name| Name::from_bytes(&name).ok());
        Some(Self { name, index, tpm_name })
    }
}

impl MeasureLog {
    /// Returns the NvPCRs that systemd created or extended according to the log, each with its name. The name is
    /// empty if the log does not contain it.
    pub fn nvpcr_names(&self) -> NvPcrNames {
        let mut names = NvPcrNames::new();
        for record in &self.records {
            let (index, name) = match record.target {
                Target::NvIndex(index) => (index, ""),
                Target::Pcr(NVPCR_INIT_PCR) => {
                    let Some(created) = record.text.as_deref().and_then(NvPcrInit::parse) else { continue };
                    (created.index, created.name)
                }
                Target::Pcr(_) => continue,
            };
            let is_full = names.len() >= NAMED_MAX && !names.contains_key(&index);
            if !is_full {
                let stored = names.entry(index).or_default();
                if stored.is_empty() {
                    name.clone_into(stored);
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_created_nvpcr_is_parsed() {
        let name = format!("000b{}", "ab".repeat(32));
        let text = format!("nvpcr-init:hardware:0x1d10200:{name}");
        let created = NvPcrInit::parse(&text).unwrap();
        assert_eq!((created.name, created.index), ("hardware", 0x01d1_0200));
        assert_eq!(created.tpm_name.unwrap().to_string(), name);
        let old = format!("nvpcr-init:hardware:0x1d10200:sha256:{}", "ab".repeat(32));
        assert_eq!(NvPcrInit::parse(&old).unwrap().tpm_name, None, "systemd 259 to 261");
        for other in [
            "nvpcr-separator",
            "nvpcr-init:hardware",
            "nvpcr-init::0x1d10200:000b",
            "nvpcr-init:a b:0x1d10200:000b",
            "nvpcr-init:hardware:1d10200:000b",
            "nvpcr-init:hardware:0x+1d1020:000b",
            "nvpcr-init:hardware:0x000001d10200:000b",
        ] {
            assert_eq!(NvPcrInit::parse(other), None, "{other}");
        }
    }
}
