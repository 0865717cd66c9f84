use thiserror::Error;

use crate::tpm::HashAlgorithm;

/// Why an IMA log cannot be read. Offsets are in bytes from the start of the piece of log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImaError {
    /// The log ends inside an entry.
    #[error("the IMA log is cut off inside the entry at offset {offset}")]
    Truncated {
        /// The start of the entry.
        offset: usize,
    },
    /// The entry is malformed.
    #[error("the IMA log's entry at offset {offset} is malformed")]
    Malformed {
        /// The start of the entry.
        offset: usize,
    },
    /// The text form cannot be converted back into what the kernel hashed.
    #[error("the text of the IMA entry at offset {offset} is not understood: send the binary log")]
    Template {
        /// The start of the entry.
        offset: usize,
    },
    /// The entry's stated template digest is not the digest of its data.
    #[error("the IMA log's entry at offset {offset} was altered: its digest is not that of its data")]
    Altered {
        /// The start of the entry.
        offset: usize,
    },
    /// As [`ImaError::Altered`], in a list with longer digests than SHA-1's.
    #[error(
        "the digest of the IMA log's entry at offset {offset} has the size of {expected} and is not that of its data: \
         the list is of a hash that is not read here, such as SM3 (send binary_runtime_measurements instead), or it \
         was altered"
    )]
    Hash {
        /// The start of the entry.
        offset: usize,
        /// The hash with digests of this size.
        expected: HashAlgorithm,
    },
}
