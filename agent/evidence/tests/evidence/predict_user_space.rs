//! Predictions of PCRs that systemd extends too.

use pawl_evidence::appraise::{BootState, Foretold, INITRD_PCR, foretell};
use pawl_evidence::eventlog::{EventLog, predict};
use pawl_evidence::tpm::{HashAlgorithm, PcrSelection, PcrValues, TaggedDigest};

use crate::predict::unified;
use crate::support::boot::Boot;

const BANK: HashAlgorithm = HashAlgorithm::Sha256;

#[test]
fn an_update_is_predicted_with_systemds_extends() {
    let (good, changed) = (Boot::named("forky-good"), Boot::named("forky-cmdline-changed"));
    let predicted = predicted(&good, &changed);
    let read = changed.quoted_pcrs();
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14] {
        let foretold = foretold(&good, index, &predicted);
        assert_eq!(foretold, Foretold::Value(*read.get(BANK, index).unwrap()), "PCR {index}");
    }
    // PCR 9 covers the boot secret.
    assert_eq!(foretold(&good, INITRD_PCR, &predicted), Foretold::Unknown);
}

#[test]
fn a_pcr_that_the_logs_do_not_explain_is_not_predicted() {
    let (good, changed) = (Boot::named("forky-good"), Boot::named("forky-cmdline-changed"));
    let log = good.event_log();
    let log = EventLog::parse(&log).unwrap();
    let predicted = predicted(&good, &changed);
    let other = TaggedDigest::filled(BANK, 7);
    let measured = good.measure_log();
    assert_eq!(foretell(&log, Some(&measured), &other, 4, &predicted), Ok(Foretold::Unaccounted));
    // Without systemd's log, a single os-separator is still recognized.
    let quoted = good.quoted_pcrs();
    let foretold = foretell(&log, None, quoted.get(BANK, 4).unwrap(), 4, &predicted).unwrap();
    assert_eq!(foretold, Foretold::Value(*changed.quoted_pcrs().get(BANK, 4).unwrap()));
}

/// systemd 262 extends an os-separator, and its stub measures other events than that of systemd 257. A lease for the
/// predicted state does not work; the control plane issues another one after the first report. This is documented in
/// pawl-control-plane-pre-approve(8).
#[test]
fn an_update_from_systemd_257_to_262_is_predicted_wrongly() {
    let (old, new) = (Boot::named("trixie-good"), Boot::named("forky-good"));
    let predicted = predicted(&old, &new);
    let read = new.quoted_pcrs();
    for index in [4, 12] {
        let foretold = foretold(&old, index, &predicted);
        assert_ne!(foretold, Foretold::Value(*read.get(BANK, index).unwrap()), "PCR {index}");
    }
}

/// Omits PCR 9, which covers the names of NvPCRs and differs on each machine.
#[test]
fn systemds_extends_are_predicted_for_another_boot_of_the_same_image() {
    for name in ["forky-good-2nd-boot", "forky-soft-reboot"] {
        let (good, next) = (Boot::named("forky-good"), Boot::named(name));
        let (predicted, read) = (predicted(&good, &next), next.quoted_pcrs());
        for index in [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14] {
            let foretold = foretold(&good, index, &predicted);
            assert_eq!(foretold, Foretold::Value(*read.get(BANK, index).unwrap()), "{name}: PCR {index}");
        }
    }
}

#[test]
fn a_state_without_pcr_9_needs_the_pcrs_that_determine_the_initrd() {
    let quoted = Boot::named("forky-good").quoted_pcrs();
    let lease = PcrSelection::lease_default();
    let state = |indices: &[u8]| {
        let selection = PcrSelection::new(BANK, indices.iter().copied()).unwrap();
        BootState { name: "next".to_owned(), pcrs: quoted.select(&selection).unwrap() }
    };
    let complete = state(&[0, 2, 4, 7, 8, 12, 13, 14]);
    assert_eq!(complete.differences(&lease, &quoted), []);
    assert_eq!(state(&[0, 2, 4, 7, 8, 12, 14]).differences(&lease, &quoted), [(BANK, 9)]);
    assert_eq!(state(&[0, 2, 4, 7, 8, 9, 12, 14]).differences(&lease, &quoted), []);
    assert_eq!(state(&[2, 4, 7, 8, 12, 13, 14]).differences(&lease, &quoted), [(BANK, 0)]);
    // The PCRs that determine the initrd are compared even if the lease does not name them.
    let mut other = quoted.clone();
    other.insert(13, TaggedDigest::filled(BANK, 1)).unwrap();
    assert_eq!(complete.differences(&lease, &other), [(BANK, 13)]);
}

fn predicted(good: &Boot, changed: &Boot) -> PcrValues {
    let log = good.event_log();
    predict(&EventLog::parse(&log).unwrap(), HashAlgorithm::Sha256, &unified(changed, "any")).unwrap()
}

fn foretold(boot: &Boot, index: u8, predicted: &PcrValues) -> Foretold {
    let (log, quoted) = (boot.event_log(), boot.quoted_pcrs());
    let log = EventLog::parse(&log).unwrap();
    foretell(&log, Some(&boot.measure_log()), quoted.get(BANK, index).unwrap(), index, predicted).unwrap()
}
