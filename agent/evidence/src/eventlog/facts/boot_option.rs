use super::device_path;
use super::guid::Guid;
use super::text;
use super::variable::Variable;
use crate::little_endian::LogReader;

/// LOAD_OPTION_ACTIVE.
const ACTIVE: u32 = 1;

/// A boot option of the firmware (EFI_LOAD_OPTION, UEFI section 3.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOption {
    /// The number in its variable's name.
    pub number: u16,
    /// Whether the firmware tries it.
    pub active: bool,
    /// The text in the firmware's menu.
    pub description: String,
    /// The file that it loads, in the text form of UEFI device paths.
    pub path: Option<String>,
}

impl BootOption {
    /// Returns `None` if the variable is not a boot option, or malformed.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let number = variable.name.strip_prefix("Boot").filter(|digits| digits.len() == 4)?;
        let number = u16::from_str_radix(number, 16).ok()?;
        let mut reader = LogReader::new(variable.data);
        let (attributes, path_len) = (reader.u32()?, reader.u16()?);
        let description = text::utf16(read_until_nul(&mut reader)?)?;
        let path = device_path::shown(reader.counted(path_len.into())?);
        Some(Self { number, active: attributes & ACTIVE != 0, description, path })
    }
}

/// Reads `BootOrder`; `None` if it is another variable or malformed.
pub(super) fn read_order(variable: &Variable<'_>) -> Option<Vec<u16>> {
    if !variable.is(Guid::GLOBAL_VARIABLE, "BootOrder") {
        return None;
    }
    variable.data.chunks(2).map(|number| number.try_into().ok().map(u16::from_le_bytes)).collect()
}

fn read_until_nul<'a>(reader: &mut LogReader<'a>) -> Option<&'a [u8]> {
    let mut ahead = reader.clone();
    let start = ahead.offset();
    while ahead.u16()? != 0 {}
    reader.bytes(ahead.offset().checked_sub(start)?)
}
