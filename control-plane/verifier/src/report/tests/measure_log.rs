//! systemd's measurement log in reports that are appraised.

use std::fs;
use std::path::Path;

use pawl_proto::limits;
use pawl_proto::message::{BootLog, MeasureLog};

use super::*;

const CUT: &str = "longer than what the control plane keeps";

#[test]
fn the_reason_says_when_systemds_log_is_longer_than_what_is_kept() {
    let mut paired = Paired::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/forky-good");
    let boot_log = fs::read(fixture.join("binary_bios_measurements")).unwrap();
    let boot = fs::read(fixture.join("tpm2-measure.log")).unwrap();
    let log = boot.repeat(limits::MEASURE_LOG / boot.len() + 1);
    let size = u64::try_from(log.len()).unwrap();
    let mut offset = 0;
    for piece in log.chunks(limits::MEASURE_PIECE) {
        let since = paired.basis.pairing.base.as_ref().map(|base| base.evidence);
        let bytes = Some(Blob::new(boot_log.clone()).unwrap());
        let outcome = paired.outcome(&Evidence {
            boot_log: Some(BootLog { digest: Digest::of(&boot_log), bytes }),
            measure_log: Some(MeasureLog { offset, size, bytes: Blob::new(piece.to_vec()).unwrap() }),
            ..paired.evidence(since)
        });
        let ReportOutcome::Appraised(appraised) = outcome else { panic!("{outcome:?}") };
        offset += u64::try_from(piece.len()).unwrap();
        let is_cut = offset > u64::try_from(limits::MEASURE_LOG).unwrap();
        let reasons = &appraised.judgement.reasons;
        assert_eq!(appraised.judgement.result, TrustTier::Contraindicated, "{reasons:?}");
        assert_eq!(reasons.iter().any(|reason| reason.contains(CUT)), is_cut, "{offset}: {reasons:?}");
        assert_eq!(appraised.kept.unwrap().is_measure_log_cut(), is_cut);
        paired.basis.pairing.base = Some(appraised.base);
    }
    assert!(offset > u64::try_from(limits::MEASURE_LOG).unwrap());
}
