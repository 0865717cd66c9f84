use super::*;

const INTERVAL: u64 = 300;
/// The shortest time between two reports.
const GAP: Duration = Duration::from_millis(250);

/// Returns a device that has sent its first report, and has received a verdict.
fn after_first_report() -> Rig {
    let mut rig = Rig::paired();
    let ticket = rig.take_report().unwrap();
    rig.make_report(ticket);
    rig.verdict(|_| {});
    rig
}

#[test]
fn a_verdict_sets_when_the_next_report_is_due() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL - 1);
    assert!(rig.take_report().is_none());
    rig.seconds(1);
    assert!(rig.take_report().is_some());
}

/// Begins a report, and returns the NvPCRs that it reads.
fn begin_report(rig: &mut Rig) -> Vec<u32> {
    let mut tpm = soft_tpm::SoftTpm::new(Some(EPOCH));
    let ticket = rig.take_report().expect("no report was begun");
    rig.answer(ticket, tpm.answer(&TpmCommand::ReadPcrs));
    let read = rig.take(|effect| match effect {
        Effect::Tpm(ticket, TpmCommand::ReadNvPcrs(handles)) => Some((*ticket, handles.clone())),
        _ => None,
    });
    let (ticket, handles) = read.unwrap_or((ticket, Vec::new()));
    // Fail this report, so that the next one starts from the beginning.
    rig.fail(ticket, TpmFailureKind::Transient);
    handles
}

#[test]
fn a_report_certifies_exactly_the_nvpcrs_that_the_last_verdict_named() {
    let mut rig = Rig::paired();
    assert_eq!(begin_report(&mut rig), [0; 0], "no verdict named any");
    let gather = rig.take(|effect| match effect {
        Effect::Gather(ticket, _) => Some(*ticket),
        _ => None,
    });
    rig.feed(Input::Gathered(gather.unwrap(), Err("stopping".to_owned())));
    let verdicts: [&[u32]; 3] = [&[0x01d1_0200, 0x01d1_0203], &[0x01d1_0203], &[0x01d1_0201]];
    for named in verdicts {
        rig.verdict(|verdict| verdict.nvpcrs = named.to_vec());
        rig.seconds(INTERVAL);
        assert_eq!(begin_report(&mut rig), named);
    }
}

#[test]
fn after_a_restart_a_report_certifies_the_nvpcrs_that_the_stored_verdict_named() {
    let mut rig = Rig::new();
    let mut found = rig.found();
    let message = rig.signed_verdict(|verdict| verdict.nvpcrs = vec![0x01d1_0200]);
    found.verdict = Some(message);
    rig.find(found);
    rig.feed(Input::Link(LinkInput::Connected));
    rig.feed(Input::Link(LinkInput::Subscribed));
    assert_eq!(begin_report(&mut rig), [0x01d1_0200]);
}

#[test]
fn a_verdict_does_not_postpone_a_report_that_was_requested() {
    let mut rig = after_first_report();
    rig.event(EventKind::Refresh, EPOCH);
    rig.verdict(|_| {});
    rig.advance(GAP);
    let ticket = rig.take_report().expect("the request was lost");
    rig.make_report(ticket);
    rig.verdict(|_| {});
    rig.seconds(INTERVAL - 1);
    assert!(rig.take_report().is_none(), "one request, one report");
}

#[test]
fn a_request_during_a_report_leads_to_another_one() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL);
    let ticket = rig.take_report().unwrap();
    rig.event(EventKind::Refresh, EPOCH);
    rig.make_report(ticket);
    rig.advance(GAP);
    assert!(rig.take_report().is_some());
}

#[test]
fn a_verdict_does_not_postpone_a_report_that_failed() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL);
    let ticket = rig.take_report().unwrap();
    rig.fail(ticket, TpmFailureKind::Transient);
    rig.verdict(|_| {});
    rig.seconds(2);
    assert!(rig.take_report().is_some());
}
