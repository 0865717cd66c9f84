//! The text form of UEFI device paths (UEFI, section 10.6), for paths to boot files. In event data, device paths
//! are always claims.

use super::text;
use crate::little_endian::LogReader;

const END: u8 = 0x7f;
const PCI_ROOT: u32 = 0x0a03_41d0;
const GPT: u8 = 2;
/// The maximum number of nodes; paths of real machines have fewer than ten.
const NODES_MAX: usize = 64;

/// Returns `None` if the path is empty or malformed.
pub(super) fn shown(path: &[u8]) -> Option<String> {
    let mut reader = LogReader::new(path);
    let mut nodes = Vec::new();
    while !reader.is_empty() && nodes.len() < NODES_MAX {
        let (kind, subkind) = (reader.u8()?, reader.u8()?);
        let data_len = reader.u16()?.checked_sub(4)?;
        let data = reader.bytes(data_len.into())?;
        if kind == END {
            break;
        }
        nodes.push(node(kind, subkind, data).unwrap_or_else(|| format!("Path({kind},{subkind})")));
    }
    (!nodes.is_empty()).then(|| nodes.join("/"))
}

/// Returns `None` if the node is unknown or malformed.
fn node(kind: u8, subkind: u8, data: &[u8]) -> Option<String> {
    let mut reader = LogReader::new(data);
    Some(match (kind, subkind) {
        (1, 1) => {
            let (function, device) = (reader.u8()?, reader.u8()?);
            format!("Pci({device:#x},{function:#x})")
        }
        (2, 1) => match (reader.u32()?, reader.u32()?) {
            (PCI_ROOT, uid) => format!("PciRoot({uid:#x})"),
            (hid, uid) => format!("Acpi({hid:#x},{uid:#x})"),
        },
        (3, 2) => format!("Scsi({},{})", reader.u16()?, reader.u16()?),
        (3, 5) => format!("USB({},{})", reader.u8()?, reader.u8()?),
        (3, 11) => String::from("MAC"),
        (3, 12) => String::from("IPv4"),
        (3, 13) => String::from("IPv6"),
        (3, 18) => format!("Sata({},{},{})", reader.u16()?, reader.u16()?, reader.u16()?),
        (3, 23) => format!("NVMe({:#x})", reader.u32()?),
        (3, 24) => format!("Uri({})", text::utf8(data)?),
        (4, 1) => hard_drive(&mut reader)?,
        (4, 3) => format!("VenMedia({})", reader.guid()?),
        (4, 4) => text::utf16(data)?,
        (4, 6) => format!("FvFile({})", reader.guid()?),
        (4, 8) => {
            let _reserved = reader.u32()?;
            format!("Offset({:#x},{:#x})", reader.u64()?, reader.u64()?)
        }
        (4, 7) => format!("Fv({})", reader.guid()?),
        _ => return None,
    })
}

fn hard_drive(reader: &mut LogReader<'_>) -> Option<String> {
    let number = reader.u32()?;
    let (_first_block, _blocks) = (reader.u64()?, reader.u64()?);
    let signature = reader.guid()?;
    let (_table_kind, signature_kind) = (reader.u8()?, reader.u8()?);
    Some(match signature_kind {
        GPT => format!("HD({number},GPT,{signature})"),
        _ => format!("HD({number})"),
    })
}
