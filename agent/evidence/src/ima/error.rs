use thiserror::Error;

use crate::tpm::HashAlgorithm;

/// Why an IMA log cannot be read. Offsets count bytes from the start of the piece of log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImaError {
    /// The log ends inside an entry.
    #[error("the IMA log is cut off inside the entry at offset {offset}")]
    Truncated {
        /// Where the entry begins.
        offset: usize,
    },
    /// The entry is not one.
    #[error("the IMA log's entry at offset {offset} is malformed")]
    Malformed {
        /// Where the entry begins.
        offset: usize,
    },
    /// The text of the log cannot be turned back into what was hashed.
    #[error("the text of the IMA entry at offset {offset} is not understood: send the binary log")]
    Template {
        /// Where the entry begins.
        offset: usize,
    },
    /// The template digest that the entry states is not that of its data.
    #[error("the IMA log's entry at offset {offset} was altered: its digest is not that of its data")]
    Altered {
        /// Where the entry begins.
        offset: usize,
    },
    /// As [`ImaError::Altered`], in a list of longer digests than SHA-1's.
    #[error(
        "the digest of the IMA log's entry at offset {offset} has the size of {expected} and is not that of its data: \
         the list is of a hash that is not read here, such as SM3 (send binary_runtime_measurements instead), or it \
         was altered"
    )]
    Hash {
        /// Where the entry begins.
        offset: usize,
        /// The hash that has digests of this size.
        expected: HashAlgorithm,
    },
}
