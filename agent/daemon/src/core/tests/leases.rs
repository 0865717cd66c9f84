use super::*;

fn is_unseal(command: &TpmCommand) -> bool {
    matches!(command, TpmCommand::Unseal(_))
}

fn renew(rig: &mut Rig) -> Ticket {
    rig.verdict(|verdict| verdict.lease = Some(lease(2_000_000)));
    rig.take_tpm(is_unseal).unwrap()
}

#[test]
fn a_transient_tpm_error_at_a_renewal_leaves_the_gate_open() {
    let mut rig = Rig::entitled(900);
    let ticket = renew(&mut rig);
    rig.fail(ticket, TpmFailureKind::Transient);
    assert_eq!(rig.core.state(), DeviceState::Entitled);
    assert!(!rig.has(|effect| matches!(effect, Effect::CloseGate(_) | Effect::TellHolders)));
    rig.seconds(2);
    let ticket = rig.take_tpm(is_unseal).expect("the lease was not tried again");
    rig.answer(ticket, TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new([1; 32])), clock_ms: 0 });
    assert!(rig.has(|effect| matches!(effect, Effect::RenewGate { .. })));
}

#[test]
fn a_gate_that_stayed_open_closes_when_its_own_lease_ends() {
    let mut rig = Rig::entitled(30);
    let mut ticket = renew(&mut rig);
    for _ in 0..100 {
        rig.fail(ticket, TpmFailureKind::Transient);
        let Some(next) = rig.core.deadline() else { break };
        rig.advance(next.saturating_sub(rig.now.boot));
        match rig.take_tpm(is_unseal) {
            Some(next) => ticket = next,
            None if rig.core.state() == DeviceState::Lapsed => break,
            None => {}
        }
    }
    assert_eq!(rig.core.state(), DeviceState::Lapsed);
    assert!(rig.now.boot <= Duration::from_secs(200));
}

#[test]
fn a_refused_lease_closes_the_gate_although_the_old_lease_is_valid() {
    for (kind, checks) in
        [(TpmFailureKind::Pcrs, false), (TpmFailureKind::Lease, false), (TpmFailureKind::Key, true)]
    {
        let mut rig = Rig::entitled(900);
        let ticket = renew(&mut rig);
        rig.fail(ticket, kind);
        assert_eq!(rig.problem(), "lease-refused", "{kind:?}");
        assert!(rig.has(|effect| matches!(effect, Effect::TellHolders)));
        let check = rig.take_tpm(|command| matches!(command, TpmCommand::Check(_)));
        assert_eq!(check.is_some(), checks, "{kind:?}");
    }
}

#[test]
fn a_boot_state_that_was_approved_in_advance_has_its_own_lease() {
    let mut rig = Rig::paired();
    rig.verdict(|verdict| {
        verdict.lease = Some(lease(900_000));
        verdict.ahead = vec![lease(800_000), lease(700_000)];
    });
    let ticket = rig.take_tpm(is_unseal).unwrap();
    rig.fail(ticket, TpmFailureKind::Pcrs);
    let ticket = rig.take_tpm(|command| matches!(command, TpmCommand::MatchPcrs(_))).unwrap();
    rig.answer(ticket, TpmAnswer::Matched(Some(1)));
    let ticket = rig
        .take_tpm(
            |command| matches!(command, TpmCommand::Unseal(lease) if lease.terms.clock_before == 700_000),
        )
        .expect("another lease was tried");
    rig.answer(ticket, TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new([1; 32])), clock_ms: 0 });
    assert_eq!(rig.core.state(), DeviceState::Entitled);
    assert_eq!(rig.core.status().leases_ahead, 1);
}

#[test]
fn a_lease_expires_also_while_the_system_sleeps() {
    let mut rig = Rig::entitled(900);
    // The system slept: no timer fired in between.
    rig.now.boot += Duration::from_secs(900);
    rig.now.unix += 900;
    rig.feed(Input::Timer);
    assert_eq!(rig.problem(), "lease-expired");
    assert!(rig.has(|effect| matches!(effect, Effect::TellHolders)));
}

#[test]
fn a_result_for_a_superseded_lease_is_ignored() {
    let mut rig = Rig::paired();
    let superseded = renew(&mut rig);
    rig.verdict(|verdict| verdict.entitlement.standing = Standing::Suspended);
    rig.answer(superseded, TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new([1; 32])), clock_ms: 0 });
    assert_eq!(rig.problem(), "suspended");
}
