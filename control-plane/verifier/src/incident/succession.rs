use super::history::DaemonRun;

/// How a report follows those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// After every report that was seen.
    Forward,
    /// Before a report that was seen: the TPM was put back.
    Backward,
    /// Parallel something that was seen: there are two.
    Parallel,
}

/// So much may lie between a quote and its arrival here, milliseconds: a device may have been cut off
/// when it had made its report.
const DELAY: u64 = 10_000;
/// TPM clocks go wrong by up to a third (TPM 2.0 Library, Part 1, 36.3); so much of a span is given
/// to each of two.
const DRIFT: u64 = 8;

/// Compares a report with the last ones of the same TPM, newest last. `behind`: its time is before
/// the highest that was seen.
///
/// A report answers the verdict on the one before, so a TPM's time rises from each to the next,
/// and a run of a daemon that was followed by another has ended. A run that is seen again was either
/// put back with all its memory, or has never ended: its clock tells, which stands still while it
/// does not run.
pub(super) fn compare(before: &[DaemonRun], behind: bool, now: &DaemonRun) -> Succession {
    let Some((last, left)) = before.split_last() else { return forward_unless(behind) };
    if last.id == now.id {
        return match () {
            () if is_earlier(now, last) => Succession::Backward,
            // Put back before, and now further than it can have come since.
            () if last.fell && !has_time_for(last, now) => Succession::Parallel,
            () => forward_unless(behind),
        };
    }
    match left.iter().find(|left| left.id == now.id) {
        Some(left) if !is_earlier(now, left) && ran_on(left, now) => Succession::Parallel,
        Some(_) => Succession::Backward,
        None => forward_unless(behind),
    }
}

fn forward_unless(behind: bool) -> Succession {
    if behind { Succession::Backward } else { Succession::Forward }
}

fn is_earlier(now: &DaemonRun, before: &DaemonRun) -> bool {
    (now.reset_count, now.clock) < (before.reset_count, before.clock)
}

/// Whether the TPM's clock went on all the time since.
fn ran_on(before: &DaemonRun, now: &DaemonRun) -> bool {
    let elapsed = now.seen_ms.saturating_sub(before.seen_ms);
    let ran = now.clock.saturating_sub(before.clock);
    ran.saturating_add(elapsed / DRIFT).saturating_add(DELAY) >= elapsed
}

/// Whether so much of the TPM's clock fits into the time since.
fn has_time_for(before: &DaemonRun, now: &DaemonRun) -> bool {
    let elapsed = now.seen_ms.saturating_sub(before.seen_ms);
    let ran = now.clock.saturating_sub(before.clock);
    ran <= elapsed.saturating_add(elapsed / 2).saturating_add(DELAY)
}

#[cfg(test)]
mod tests {
    use pawl_proto::Nonce;

    use super::*;

    /// Its clock and the wall clock, seconds.
    fn run(id: u8, reset_count: u32, clock: u64, seen: u64) -> DaemonRun {
        DaemonRun { id: Nonce([id; 32]), reset_count, clock: clock * 1000, seen_ms: seen * 1000, fell: false }
    }

    #[test]
    fn what_any_machine_does_is_no_incident() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        for (what, now) in [
            ("the next report", run(2, 5, 800, 2300)),
            ("a report that was long on its way", run(2, 5, 501, 9000)),
            ("one after that", run(2, 5, 9000, 2001)),
            ("the daemon started again", run(3, 5, 501, 2001)),
            ("a reboot", run(3, 6, 520, 2020)),
            ("a reboot after a power cut, which cost some of the clock", run(3, 6, 90, 2020)),
            ("another kernel without a reset", run(3, 5, 530, 2030)),
            ("a resume from hibernation", run(2, 6, 510, 90_000)),
            ("the first report of all", run(9, 0, 0, 0)),
        ] {
            assert_eq!(compare(&before, false, &now), Succession::Forward, "{what}");
        }
        assert_eq!(compare(&[], false, &run(1, 4, 100, 1000)), Succession::Forward);
    }

    #[test]
    fn a_tpm_that_was_put_back_is_behind_what_was_seen() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        for (what, now) in [
            ("its state alone, before a boot", run(3, 5, 300, 2600)),
            ("a snapshot of the whole machine, in the same run", run(2, 5, 400, 2600)),
            ("a snapshot of an earlier run", run(1, 4, 90, 2600)),
            ("a snapshot of an earlier run that was made after its last report", run(1, 4, 130, 2600)),
        ] {
            assert_eq!(compare(&before, true, &now), Succession::Backward, "{what}");
        }
        let fell = DaemonRun { fell: true, ..run(3, 5, 300, 2600) };
        let on = run(3, 5, 600, 2900);
        assert_eq!(compare(&[before[1].clone(), fell], false, &on), Succession::Forward, "it has caught up");
    }

    #[test]
    fn a_run_that_has_gone_on_beside_another_is_in_another_place() {
        let before = [run(1, 4, 100, 1000), run(2, 5, 500, 2000)];
        assert_eq!(compare(&before, true, &run(1, 4, 1150, 2050)), Succession::Parallel);
        // The other way about, it is the copy that is behind.
        let before = [run(2, 5, 500, 2000), run(1, 4, 1150, 2050)];
        assert_eq!(compare(&before, false, &run(2, 5, 800, 2300)), Succession::Parallel);
    }

    #[test]
    fn copies_that_share_even_the_run_are_told_by_a_clock_that_leaps() {
        let fell = DaemonRun { fell: true, ..run(2, 5, 400, 2000) };
        assert_eq!(compare(std::slice::from_ref(&fell), false, &run(2, 5, 900, 2050)), Succession::Parallel);
        assert_eq!(compare(&[fell], false, &run(2, 5, 440, 2050)), Succession::Forward);
    }
}
