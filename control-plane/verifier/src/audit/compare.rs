use pawl_proto::Digest;

use super::shown::ShownChain;

/// How the shown chain stands to the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is the known one, as far or further.
    Continues,
    /// It may be; the records in between will never come.
    Gap,
    /// This record is another one than the known.
    Fork(u64),
    /// It is shorter.
    Regress,
}

/// Compares what a report shows with the chain that is known up to `known`. `digest_at` gives the
/// digest of a known record, if it is still kept.
pub(super) fn compare<E>(
    known: u64,
    shown: &ShownChain,
    digest_at: impl Fn(u64) -> Result<Option<Digest>, E>,
) -> Result<Compared, E> {
    let before = (shown.first.saturating_sub(1), shown.previous);
    let links = shown.links.iter().map(|(sequence, link)| (*sequence, link.digest));
    for (sequence, digest) in std::iter::once(before).chain(links) {
        if (1..=known).contains(&sequence) && digest_at(sequence)?.is_some_and(|kept| kept != digest) {
            return Ok(Compared::Fork(sequence));
        }
    }
    Ok(if shown.newest < known {
        Compared::Regress
    } else if shown.first > known + 1 {
        Compared::Gap
    } else {
        Compared::Continues
    })
}
