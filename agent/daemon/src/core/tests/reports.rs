use super::*;

const INTERVAL: u64 = 300;
/// Reports follow each other no faster.
const GAP: Duration = Duration::from_millis(250);

fn is_report(effect: &Effect) -> Option<Ticket> {
    match effect {
        Effect::Report { ticket, .. } => Some(*ticket),
        _ => None,
    }
}

/// A report that was begun, and the NvPCRs that it certifies.
fn certified(effect: &Effect) -> Option<(Ticket, Vec<u32>)> {
    match effect {
        Effect::Report { ticket, nvpcrs, .. } => Some((*ticket, nvpcrs.clone())),
        _ => None,
    }
}

fn made(rig: &mut Rig, ticket: Ticket) {
    let tells = Acknowledged {
        digest: Digest([4; 32]),
        moment: Moment { clock_ms: 0, resets: 0 },
        pcrs: BTreeMap::new(),
        measure: 0,
        ima: None,
        ima_complete: true,
    };
    rig.feed(Input::ReportMade(ticket, Ok((vec![1], tells))));
}

/// A device that has sent its first report, and has a verdict on it.
fn after_first_report() -> Rig {
    let mut rig = Rig::paired();
    let ticket = rig.take(is_report).unwrap();
    made(&mut rig, ticket);
    rig.verdict(|_| {});
    rig
}

#[test]
fn a_verdict_sets_when_the_next_report_is_due() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL - 1);
    assert!(rig.take(is_report).is_none());
    rig.seconds(1);
    assert!(rig.take(is_report).is_some());
}

#[test]
fn a_report_certifies_exactly_the_nvpcrs_that_the_last_verdict_named() {
    let mut rig = Rig::paired();
    let first = rig.take(certified).unwrap();
    assert_eq!(first.1, [0; 0], "no verdict named any");
    made(&mut rig, first.0);
    let verdicts: [&[u32]; 4] = [&[0x01d1_0200, 0x01d1_0203], &[0x01d1_0203], &[], &[0x01d1_0201]];
    for named in verdicts {
        rig.verdict(|verdict| verdict.nvpcrs = named.to_vec());
        rig.seconds(INTERVAL);
        let (ticket, nvpcrs) = rig.take(certified).unwrap();
        assert_eq!(nvpcrs, named);
        made(&mut rig, ticket);
    }
}

#[test]
fn after_a_restart_a_report_certifies_the_nvpcrs_that_the_stored_verdict_named() {
    let mut rig = Rig::new();
    let mut found = rig.found();
    let message = rig.signed_verdict(|verdict| verdict.nvpcrs = vec![0x01d1_0200]);
    found.verdict = Some(message);
    rig.feed(Input::Found(Box::new(found)));
    rig.feed(Input::Link(LinkInput::Connected));
    rig.feed(Input::Link(LinkInput::Subscribed));
    assert_eq!(rig.take(certified).unwrap().1, [0x01d1_0200]);
}

#[test]
fn a_verdict_does_not_postpone_a_report_that_was_requested() {
    let mut rig = after_first_report();
    rig.event(EventKind::Refresh, EPOCH);
    rig.verdict(|_| {});
    rig.advance(GAP);
    let ticket = rig.take(is_report).expect("the request was lost");
    made(&mut rig, ticket);
    rig.verdict(|_| {});
    rig.seconds(INTERVAL - 1);
    assert!(rig.take(is_report).is_none(), "one request, one report");
}

#[test]
fn a_request_during_a_report_leads_to_another_one() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL);
    let ticket = rig.take(is_report).unwrap();
    rig.event(EventKind::Refresh, EPOCH);
    made(&mut rig, ticket);
    rig.advance(GAP);
    assert!(rig.take(is_report).is_some());
}

#[test]
fn a_verdict_does_not_postpone_a_report_that_failed() {
    let mut rig = after_first_report();
    rig.seconds(INTERVAL);
    let ticket = rig.take(is_report).unwrap();
    rig.feed(Input::ReportMade(ticket, Err("the TPM is busy".to_owned())));
    rig.verdict(|_| {});
    rig.seconds(2);
    assert!(rig.take(is_report).is_some());
}
