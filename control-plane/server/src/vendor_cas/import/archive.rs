//! Unpacks Microsoft's cabinet archives, such as `TrustedTpm.cab`.

use std::io::{Cursor, Read as _};

use cab::Cabinet;

use super::source::{FILE_MAX_LEN, SourceFile, TOTAL_MAX_LEN};

const SIGNATURE: &[u8] = b"MSCF";
const FILES_MAX: u16 = 8192;
const HEADER_LEN: usize = 36;
const FOLDER_LEN: usize = 8;
const FILE_LEN: usize = 16;
const BLOCK_LEN: usize = 8;
/// The archive is part of a set: cfhdrPREV_CABINET or cfhdrNEXT_CABINET.
const IN_A_SET: u16 = 0x0003;
/// cfhdrRESERVE_PRESENT.
const RESERVE: u16 = 0x0004;
const UNCOMPRESSED: u16 = 0;

/// Returns whether the bytes begin with the signature of a cabinet.
pub(super) fn is_cabinet(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Unpacks a cabinet in memory. Names in it are used as labels, never as paths.
///
/// # Errors
/// The reason why the archive as a whole is refused. A file in it that cannot be unpacked is returned with the reason.
pub(super) fn unpack(archive: &str, bytes: &[u8]) -> Result<Vec<SourceFile>, &'static str> {
    check_bounds(bytes)?;
    let mut cabinet = Cabinet::new(Cursor::new(bytes)).map_err(|_| DAMAGED)?;
    let mut names: Vec<String> = Vec::new();
    let mut files = Vec::new();
    let entries: Vec<_> = cabinet.folder_entries().flat_map(|folder| folder.file_entries()).collect();
    let listed: Vec<(String, u32)> =
        entries.iter().map(|entry| (entry.name().to_owned(), entry.uncompressed_size())).collect();
    for (name, size) in listed {
        let label = format!("{archive}: {}", name.replace('\\', "/"));
        let contents = if names.contains(&name) {
            // The reader finds only the first file of a name.
            Err("the archive has another file of this name".to_owned())
        } else if u64::from(size) > FILE_MAX_LEN {
            Err("it is larger than 16 MiB".to_owned())
        } else {
            read(&mut cabinet, &name).map_err(|error| format!("it cannot be unpacked: {error}"))
        };
        names.push(name);
        files.push(SourceFile { label, contents });
    }
    Ok(files)
}

const DAMAGED: &str = "it is a damaged cabinet archive";

fn read(cabinet: &mut Cabinet<Cursor<&[u8]>>, name: &str) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    cabinet.read_file(name)?.take(FILE_MAX_LEN).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Checks the sizes and offsets in the archive before it is unpacked: the unpacking crate trusts them, and an archive of a
/// few bytes can claim gigabytes.
fn check_bounds(bytes: &[u8]) -> Result<(), &'static str> {
    let folders = folder_lengths(bytes)?;
    let (first_file, files) = (long_at(bytes, 16).ok_or(DAMAGED)?, short_at(bytes, 28).ok_or(DAMAGED)?);
    if files > FILES_MAX {
        return Err("it has more than 8192 files");
    }
    let mut at = usize::try_from(first_file).map_err(|_| DAMAGED)?;
    let mut total = 0_u64;
    for _ in 0..files {
        let end = long_at(bytes, at)
            .zip(long_at(bytes, at.saturating_add(4)))
            .map(|(size, offset)| (u64::from(size), u64::from(size).saturating_add(u64::from(offset))));
        let (size, end) = end.ok_or(DAMAGED)?;
        let folder = short_at(bytes, at.saturating_add(8)).ok_or(DAMAGED)?;
        if folders.get(usize::from(folder)).is_none_or(|length| end > *length) {
            return Err(DAMAGED);
        }
        total = total.saturating_add(size);
        at = at.saturating_add(FILE_LEN);
        let name = bytes.get(at..).ok_or(DAMAGED)?;
        let length = name.iter().take(257).position(|byte| *byte == 0).ok_or(DAMAGED)?;
        at = at.saturating_add(length).saturating_add(1);
    }
    if total > TOTAL_MAX_LEN { Err("it unpacks to more than 256 MiB") } else { Ok(()) }
}

/// Returns the unpacked size of each folder.
fn folder_lengths(bytes: &[u8]) -> Result<Vec<u64>, &'static str> {
    let (folders, flags) = (short_at(bytes, 26).ok_or(DAMAGED)?, short_at(bytes, 30).ok_or(DAMAGED)?);
    if flags & IN_A_SET != 0 {
        return Err("it is one of a set of cabinet archives; give a complete archive");
    }
    let (mut at, mut folder_reserve, mut block_reserve) = (HEADER_LEN, 0, 0);
    if flags & RESERVE != 0 {
        let header_reserve = short_at(bytes, at).ok_or(DAMAGED)?;
        folder_reserve = usize::from(*bytes.get(at.saturating_add(2)).ok_or(DAMAGED)?);
        block_reserve = usize::from(*bytes.get(at.saturating_add(3)).ok_or(DAMAGED)?);
        at = at.saturating_add(4).saturating_add(usize::from(header_reserve));
    }
    let mut lengths = Vec::new();
    for _ in 0..folders {
        let first_block = long_at(bytes, at).ok_or(DAMAGED)?;
        let blocks = short_at(bytes, at.saturating_add(4)).ok_or(DAMAGED)?;
        let compression = short_at(bytes, at.saturating_add(6)).ok_or(DAMAGED)?;
        let first_block = usize::try_from(first_block).map_err(|_| DAMAGED)?;
        let length = folder_length(bytes, first_block, blocks, block_reserve, compression == UNCOMPRESSED);
        lengths.push(length.ok_or(DAMAGED)?);
        at = at.saturating_add(FOLDER_LEN).saturating_add(folder_reserve);
    }
    Ok(lengths)
}

fn folder_length(
    bytes: &[u8],
    mut at: usize,
    blocks: u16,
    reserve: usize,
    uncompressed: bool,
) -> Option<u64> {
    let mut length = 0_u64;
    for _ in 0..blocks {
        let packed = short_at(bytes, at.checked_add(4)?)?;
        let unpacked = short_at(bytes, at.checked_add(6)?)?;
        if unpacked == 0 || (uncompressed && packed != unpacked) {
            return None;
        }
        at = at.checked_add(BLOCK_LEN)?.checked_add(reserve)?.checked_add(usize::from(packed))?;
        bytes.get(..at)?;
        length = length.checked_add(u64::from(unpacked))?;
    }
    Some(length)
}

fn short_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use cab::{CabinetBuilder, CompressionType};

    use super::*;

    fn archive(compression: CompressionType, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = CabinetBuilder::new();
        let folder = builder.add_folder(compression);
        for (name, _) in files {
            folder.add_file(*name);
        }
        let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
        let mut next = 0;
        while let Some(mut file) = writer.next_file().unwrap() {
            file.write_all(files[next].1).unwrap();
            next += 1;
        }
        writer.finish().unwrap().into_inner()
    }

    /// An archive of one file in LZX, whose one block is an uncompressed one.
    fn lzx_archive(name: &str, contents: &[u8]) -> Vec<u8> {
        const LZX_OF_A_32_KIB_WINDOW: u16 = 15 << 8 | 3;
        const UNCOMPRESSED_BLOCK: u32 = 3;
        let size = u32::try_from(contents.len()).unwrap();
        let head = (UNCOMPRESSED_BLOCK << 28 | size << 4).to_be_bytes();
        // 16-bit words, low byte first; then the three last offsets, and the bytes themselves.
        let mut block = vec![head[1], head[0], head[3], head[2]];
        block.extend([1_u32, 1, 1].iter().flat_map(|offset| offset.to_le_bytes()));
        block.extend(contents);
        block.extend(vec![0; contents.len() % 2]);

        let file = [&size.to_le_bytes()[..], &[0; 12], name.as_bytes(), &[0]].concat();
        let (files_at, data_at) = (36 + 8, 36 + 8 + file.len());
        let long = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        let short = |value: usize| u16::try_from(value).unwrap().to_le_bytes();
        [
            &b"MSCF\0\0\0\0"[..],
            &long(data_at + 8 + block.len()),
            &[0; 4],
            &long(files_at),
            &[0; 4],
            &[3, 1],
            &short(1),
            &short(1),
            &[0; 6],
            &long(data_at),
            &short(1),
            &LZX_OF_A_32_KIB_WINDOW.to_le_bytes(),
            &file,
            &[0; 4],
            &short(block.len()),
            &short(contents.len()),
            &block,
        ]
        .concat()
    }

    #[test]
    fn an_uncompressed_block_in_lzx_is_unpacked() {
        let contents: Vec<u8> = (0..=u8::MAX).cycle().take(1001).collect();
        let unpacked = unpack("a.cab", &lzx_archive("root.cer", &contents)).unwrap();
        let [file] = &unpacked[..] else { panic!("{} files", unpacked.len()) };
        assert_eq!((file.label.as_str(), file.contents.as_ref().unwrap()), ("a.cab: root.cer", &contents));
    }

    #[test]
    fn compressed_blocks_in_lzx_are_unpacked() {
        let archive = include_bytes!("../../../../../tests/fixtures/lzx/certificates.cab");
        let root = include_bytes!("../../../../../tests/fixtures/lzx/root.cer");
        let line = |number| {
            format!("{number}: a text that repeats itself, and is longer than one block of an archive\n")
        };
        let lines: String = (0..600).map(line).collect();
        let unpacked = unpack("a.cab", archive).unwrap();
        let files: Vec<(&str, &[u8])> =
            unpacked.iter().map(|file| (file.label.as_str(), file.contents.as_deref().unwrap())).collect();
        assert!(
            files == [("a.cab: lines.txt", lines.as_bytes()), ("a.cab: Example/RootCA/root.cer", root)],
            "the unpacked contents differ from the packed ones"
        );
    }

    #[test]
    fn files_are_unpacked_with_their_names() {
        let long = vec![7; 100_000];
        let files = [("Vendor\\RootCA\\root.cer", &b"root"[..]), ("version.txt", &long), ("empty", b"")];
        for compression in [CompressionType::None, CompressionType::MsZip] {
            let unpacked = unpack("a.cab", &archive(compression, &files)).unwrap();
            let labels: Vec<&str> = unpacked.iter().map(|file| file.label.as_str()).collect();
            assert_eq!(labels, ["a.cab: Vendor/RootCA/root.cer", "a.cab: version.txt", "a.cab: empty"]);
            let contents = unpacked.iter().map(|file| file.contents.as_ref().unwrap().as_slice());
            assert!(contents.eq(files.iter().map(|(_, contents)| *contents)));
        }
    }

    #[test]
    fn of_two_files_of_one_name_the_second_is_refused() {
        let unpacked =
            unpack("a.cab", &archive(CompressionType::MsZip, &[("a", b"1"), ("a", b"2")])).unwrap();
        assert_eq!(unpacked[0].contents.as_deref(), Ok(&b"1"[..]));
        assert!(unpacked[1].contents.as_ref().unwrap_err().contains("another file of this name"));
    }

    #[test]
    fn an_archive_that_claims_more_than_it_contains_is_refused_before_it_is_unpacked() {
        let good = archive(CompressionType::MsZip, &[("a", &[1; 40_000]), ("b", &[2; 5_000])]);
        let file = usize::try_from(long_at(&good, 16).unwrap()).unwrap();
        let patches: [(usize, &[u8]); 5] = [
            // A file's size and place, its folder, the place of the files, and the number of the folder's blocks.
            (file, &[0xff, 0xff, 0xff, 0x7f]),
            (file + 4, &[0xff, 0xff, 0, 0]),
            (file + 8, &[1, 0]),
            (16, &[0xff, 0xff, 0xff, 0xff]),
            (HEADER_LEN + 4, &[0xff, 0xff]),
        ];
        for (at, patch) in patches {
            let mut bad = good.clone();
            bad[at..at + patch.len()].copy_from_slice(patch);
            assert_eq!(unpack("a.cab", &bad).unwrap_err(), DAMAGED, "at {at}");
        }
        let mut set = good.clone();
        set[30] = 2;
        assert!(unpack("a.cab", &set).unwrap_err().contains("one of a set"));
    }

    #[test]
    fn no_cut_or_altered_archive_panics() {
        for compression in [CompressionType::None, CompressionType::MsZip] {
            let good = archive(compression, &[("Vendor\\a.cer", &[1; 300]), ("b", &[2; 90])]);
            for length in 0..good.len() {
                let _ = unpack("a.cab", &good[..length]);
            }
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut altered = good.clone();
                    altered[at] ^= 1 << bit;
                    let _ = unpack("a.cab", &altered);
                }
            }
        }
    }
}
