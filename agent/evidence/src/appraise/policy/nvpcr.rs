use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::allowed::AllowedList;
use super::sections;
use super::sections::Weight;
use crate::bytes;
use crate::tpm::{Name, TaggedDigest};

/// The maximum number of NvPCRs in a policy. In every report each NvPCR costs one TPM signature (a third of a
/// second on slow TPMs) and some 300 bytes. systemd 262 defines four.
pub const NVPCRS_MAX: usize = 8;

/// The handle of an NvPCR's NV index, in the form of a section name: `0x1d10200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct NvIndex(u32);

/// `[nvpcr.0xINDEX]`
///
/// Besides the rules of the section, systemd must have created the index in the initrd of this boot, and systemd's log
/// must explain its value.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NvPcrSection {
    /// The weight of a record that no rule explains.
    pub unexplained: Weight,
    /// The digests of the allowed records.
    pub digests: AllowedList,
    /// Allowed values. If the value is one of them, the records are ignored.
    #[serde(deserialize_with = "sections::pcr_values")]
    pub values: Vec<TaggedDigest>,
    /// The allowed TPM names of the index; any if the list is empty. A name covers the index's write policy and
    /// thereby the key that signs PCR policies for the image's initrd.
    #[serde(deserialize_with = "names")]
    pub index_names: Vec<Name>,
}

impl NvIndex {
    /// Returns the index with this handle; `None` if it is not an NV handle.
    pub fn new(handle: u32) -> Option<Self> {
        (handle >> 24 == 1).then_some(Self(handle))
    }

    /// Returns the handle.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for NvIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl TryFrom<String> for NvIndex {
    type Error = String;

    /// Parses the one spelling of a handle, so that no index has two sections.
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let index = digits.and_then(Self::new).filter(|index| index.to_string() == text);
        index.ok_or_else(|| {
            format!("nvpcr.{text}: give the handle of an NV index as 0x1d10200, without leading zeros")
        })
    }
}

pub(super) fn sections<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<NvIndex, NvPcrSection>, D::Error> {
    let sections = BTreeMap::deserialize(deserializer)?;
    if sections.len() > NVPCRS_MAX {
        let text = format!("{} sections [nvpcr.…]: a policy may have {NVPCRS_MAX}", sections.len());
        return Err(serde::de::Error::custom(text));
    }
    Ok(sections)
}

fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Name>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    let read = |text: &String| {
        let bytes = bytes::read_lower_hex(text.trim().to_ascii_lowercase().as_bytes());
        bytes.and_then(|bytes| Name::from_bytes(&bytes).ok()).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not the name of an NV index: give it as tpm2_nvreadpublic prints it"
            ))
        })
    };
    written.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use crate::appraise::policy::Policy;

    #[test]
    fn an_index_has_one_spelling_and_a_policy_a_bounded_number_of_them() {
        let read = |text: &str| toml::from_str::<Policy>(text).map_err(|error| error.to_string());
        let policy = read("[nvpcr.0x1d10200]\nunexplained = 'allow'").unwrap();
        assert_eq!(policy.nvpcr.keys().map(ToString::to_string).collect::<Vec<_>>(), ["0x1d10200"]);
        for wrong in ["0x01d10200", "30474752", "0x1D10200", "hardware", "0x81000001"] {
            let error = read(&format!("[nvpcr.{wrong}]")).unwrap_err();
            assert!(error.contains(&format!("nvpcr.{wrong}")), "{error}");
        }
        let many: String = (0..9).map(|number| format!("[nvpcr.0x1d1020{number}]\n")).collect();
        assert!(read(&many).unwrap_err().contains("a policy may have 8"));
        let name = format!("000b{}", "ab".repeat(32));
        assert!(read(&format!("[nvpcr.0x1d10200]\nindex-names = ['{name}']")).is_ok());
        assert!(read("[nvpcr.0x1d10200]\nindex-names = ['000b00']").unwrap_err().contains("not the name"));
    }
}
