use pawl_proto::message::MeasureLog;
use pawl_proto::{Blob, limits};
use serde::{Deserialize, Serialize};

/// systemd's measurement log of a device's present boot, as far as it was reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasureLogState {
    /// The log from its start, up to the limit. If a PCR or an NvPCR needs records beyond the limit, the device is refused
    /// until its next boot.
    log: Blob<{ limits::MEASURE_LOG }>,
    /// The offset in the device's log at which the next piece begins.
    next: u64,
    /// The length of the log when the device read the last piece.
    size: u64,
}

/// Adds a piece to the log. `before` is `None` for a whole report. Returns `None` if the piece does not begin where the last
/// one ended: then the device must send the log again from its start.
pub(crate) fn follow(
    before: Option<&MeasureLogState>,
    piece: Option<&MeasureLog>,
) -> Option<Option<MeasureLogState>> {
    let Some(piece) = piece else { return Some(before.cloned()) };
    let next = before.map_or(0, |before| before.next);
    if piece.offset != next {
        return None;
    }
    let mut log = before.map_or(&[][..], MeasureLogState::log).to_vec();
    let room = limits::MEASURE_LOG.saturating_sub(log.len());
    log.extend(piece.bytes.as_bytes().iter().take(room));
    let next = next.saturating_add(u64::try_from(piece.bytes.as_bytes().len()).unwrap_or(u64::MAX));
    // Does not wait for a device that announces more and sends nothing.
    let size = if piece.bytes.as_bytes().is_empty() { next } else { piece.size };
    Some(Some(MeasureLogState { log: Blob::new(log).ok()?, next, size }))
}

impl MeasureLogState {
    /// Returns the log.
    #[must_use]
    pub fn log(&self) -> &[u8] {
        self.log.as_bytes()
    }

    /// Returns whether the log is longer than the stored part.
    pub(crate) fn is_cut(&self) -> bool {
        u64::try_from(self.log().len()).is_ok_and(|kept| kept < self.next)
    }

    /// Returns whether more pieces are missing.
    pub(crate) fn is_behind(&self) -> bool {
        self.next < self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, size: u64, bytes: &[u8]) -> MeasureLog {
        MeasureLog { offset, size, bytes: Blob::new(bytes.to_vec()).unwrap() }
    }

    #[test]
    fn pieces_are_joined_and_a_gap_is_reported() {
        let first = follow(None, Some(&piece(0, 9, b"abcd"))).unwrap().unwrap();
        assert!(first.is_behind() && !first.is_cut());
        let second = follow(Some(&first), Some(&piece(4, 9, b"efghi"))).unwrap().unwrap();
        assert_eq!((second.log(), second.is_behind()), (&b"abcdefghi"[..], false));
        assert_eq!(follow(Some(&second), None).unwrap().unwrap(), second);
        for wrong in [piece(0, 9, b"abcd"), piece(8, 9, b"i"), piece(10, 12, b"kl")] {
            assert_eq!(follow(Some(&second), Some(&wrong)), None, "{wrong:?}");
        }
        assert_eq!(follow(None, None), Some(None));
        assert_eq!(follow(None, Some(&piece(4, 9, b"efghi"))), None);
    }

    #[test]
    fn records_beyond_the_limit_are_left_out_and_later_pieces_are_accepted() {
        let mut state = None;
        let bytes = vec![b'x'; limits::MEASURE_PIECE];
        for number in 0..6_u64 {
            let length = u64::try_from(bytes.len()).unwrap();
            state = follow(state.as_ref(), Some(&piece(number * length, 6 * length, &bytes))).unwrap();
        }
        let state = state.unwrap();
        assert_eq!((state.log().len(), state.is_behind()), (limits::MEASURE_LOG, false));
        assert!(state.is_cut());
        let more =
            follow(Some(&state), Some(&piece(6 * 64 * 1024, 6 * 64 * 1024 + 1, b"x"))).unwrap().unwrap();
        assert!(more.is_cut() && more.log() == state.log(), "later pieces are accepted");
    }

    #[test]
    fn a_device_that_announces_more_and_sends_nothing_is_not_behind() {
        let state = follow(None, Some(&piece(0, 100, b""))).unwrap().unwrap();
        assert!(!state.is_behind());
    }
}
