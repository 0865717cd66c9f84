//! Reads the sources of an import: files, directory trees and cabinet archives.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::archive;

/// The largest revocation list or bundle.
pub(super) const FILE_MAX_LEN: u64 = 16 * 1024 * 1024;
/// The largest total of all files of one import.
pub(super) const TOTAL_MAX_LEN: u64 = 256 * 1024 * 1024;
const FILES_MAX: usize = 8192;
const DEPTH_MAX: usize = 16;

/// A file to import.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Its origin, for people.
    pub(super) label: String,
    /// Its contents, or why they cannot be read.
    pub(super) contents: Result<Vec<u8>, String>,
}

/// Reads all files of the sources.
///
/// # Errors
/// When a source does not exist, cannot be read or is too large. A file inside a directory or an archive that cannot be
/// read is returned with the reason.
pub(super) fn read(sources: &[impl AsRef<Path>]) -> Result<Vec<SourceFile>, SourceError> {
    let mut files = Vec::new();
    for source in sources {
        let source = source.as_ref();
        let of = |problem| SourceError { from: source.display().to_string(), problem };
        let metadata = fs::metadata(source).map_err(|error| of(error.to_string()))?;
        if metadata.is_dir() {
            read_tree(source, 0, &mut files).map_err(|error| of(error.to_string()))?;
        } else {
            read_source(source, &mut files).map_err(of)?;
        }
        check_total(&files).map_err(|problem| of(problem.to_owned()))?;
    }
    Ok(files)
}

fn read_source(path: &Path, files: &mut Vec<SourceFile>) -> Result<(), String> {
    let contents = read_file(path).map_err(|error| error.to_string())?;
    let label = path.display().to_string();
    if archive::is_cabinet(&contents) {
        files.extend(archive::unpack(&label, &contents)?);
    } else {
        files.push(SourceFile { label, contents: Ok(contents) });
    }
    Ok(())
}

/// Reads a directory tree, in the order of names. Links are not followed: they could lead anywhere.
fn read_tree(directory: &Path, depth: usize, files: &mut Vec<SourceFile>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if files.len() >= FILES_MAX {
            return Err(io::Error::other("it has more than 8192 files"));
        }
        let refused = if kind.is_dir() && depth < DEPTH_MAX {
            read_tree(&path, depth.saturating_add(1), files)?;
            continue;
        } else if kind.is_dir() {
            "the directory is too deep in the tree"
        } else if kind.is_file() {
            let label = path.display().to_string();
            if let Err(problem) = read_source(&path, files) {
                files.push(SourceFile { label, contents: Err(problem) });
            }
            check_total(files).map_err(io::Error::other)?;
            continue;
        } else {
            "it is neither a file nor a directory"
        };
        files.push(SourceFile { label: path.display().to_string(), contents: Err(refused.to_owned()) });
    }
    Ok(())
}

fn check_total(files: &[SourceFile]) -> Result<(), &'static str> {
    let lengths = files.iter().filter_map(|file| file.contents.as_ref().ok()).map(Vec::len);
    let total =
        lengths.fold(0_u64, |sum, length| sum.saturating_add(u64::try_from(length).unwrap_or(u64::MAX)));
    if total > TOTAL_MAX_LEN { Err("its files have more than 256 MiB in total") } else { Ok(()) }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(FILE_MAX_LEN.saturating_add(1)).read_to_end(&mut contents)?;
    if u64::try_from(contents.len()).is_ok_and(|length| length > FILE_MAX_LEN) {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(contents)
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{from}: {problem}")]
pub struct SourceError {
    from: String,
    problem: String,
}
