use super::*;

fn is_requested(rig: &Rig) -> bool {
    rig.has(|effect| matches!(effect, Effect::Call(_, Call::Token(_))))
}

/// Returns an entitled device with a token that is valid for `lifetime` seconds, under a lease for `lease` seconds.
fn with_token(lease: u64, lifetime: u64) -> Rig {
    let mut rig = Rig::paired();
    rig.lease(lease);
    rig.feed(Input::VaultOpened(Vec::new()));
    rig.token(lifetime);
    rig.effects.clear();
    rig
}

#[test]
fn a_token_is_renewed_at_two_thirds_of_its_life() {
    let mut rig = with_token(9000, 600);
    rig.seconds(399);
    assert!(!is_requested(&rig));
    rig.seconds(1);
    assert!(is_requested(&rig));
}

#[test]
fn a_token_past_two_thirds_of_its_life_is_renewed_as_soon_as_the_gate_opens() {
    for (age, is_due) in [(399, false), (400, true), (550, true)] {
        let mut rig = Rig::paired();
        rig.lease(9000);
        let held = HeldToken {
            name: "telemetry".to_owned(),
            scope: "telemetry".to_owned(),
            audience: AUDIENCE.to_owned(),
            kept_at: rig.now.unix - age,
            expires_at: rig.now.unix - age + 600,
        };
        rig.feed(Input::VaultOpened(vec![held]));
        assert_eq!(is_requested(&rig), is_due, "after {age} of 600 seconds");
    }
}

#[test]
fn a_token_of_the_vault_is_requested_again_when_the_clock_is_set_past_its_end() {
    let mut rig = Rig::paired();
    rig.now.unix = 90;
    rig.lease(90_000);
    let held = HeldToken {
        name: "telemetry".to_owned(),
        scope: "telemetry".to_owned(),
        audience: AUDIENCE.to_owned(),
        kept_at: 80,
        expires_at: 100_000,
    };
    rig.feed(Input::VaultOpened(vec![held]));
    assert!(!is_requested(&rig), "the token is valid at the device's time");
    // NTP sets the clock.
    rig.now.unix = 1_800_000_000;
    rig.feed(Input::Timer);
    assert!(is_requested(&rig), "the token has expired and is never requested again");
}

#[test]
fn a_clock_that_is_set_forward_within_a_tokens_life_brings_its_renewal_forward() {
    let mut rig = with_token(9000, 600);
    rig.now.unix += 300;
    rig.feed(Input::Timer);
    rig.seconds(99);
    assert!(!is_requested(&rig));
    rig.seconds(1);
    assert!(is_requested(&rig));
}

#[test]
fn a_token_that_ends_with_its_lease_waits_for_the_next_lease() {
    let mut rig = with_token(600, 600);
    rig.seconds(590);
    assert!(!is_requested(&rig), "a new token would end with the same lease");
    rig.lease(600);
    assert!(is_requested(&rig), "a new lease lets tokens live longer");
}

#[test]
fn a_token_is_renewed_at_two_thirds_of_its_life_under_a_longer_lease() {
    let mut rig = with_token(600, 600);
    rig.lease(9000);
    assert!(!is_requested(&rig));
    rig.seconds(401);
    assert!(is_requested(&rig));
}

#[test]
fn a_token_outside_a_new_entitlement_is_dropped_and_not_requested() {
    let mut rig = with_token(9000, 600);
    rig.verdict(|verdict| verdict.entitlement.scopes.clear());
    let restricted = rig.position(|effect| matches!(effect, Effect::RestrictGate(_))).unwrap();
    let written = rig.position(|effect| matches!(effect, Effect::Write(_, Write::Verdict { .. }))).unwrap();
    assert!(restricted < written);
    assert!(rig.has(|effect| matches!(effect, Effect::Write(_, Write::Vault))));
    rig.seconds(1000);
    assert!(!is_requested(&rig));
    rig.verdict(|_| {});
    assert!(is_requested(&rig));
}

#[test]
fn a_failed_request_is_repeated_with_back_off() {
    let mut rig = Rig::paired();
    rig.lease(9000);
    rig.feed(Input::VaultOpened(Vec::new()));
    for _ in 0..4 {
        let ticket = rig.take_call(|call| matches!(call, Call::Token(_))).unwrap();
        let failure = CallFailure {
            text: "unreachable".to_owned(),
            remedy: String::new(),
            is_transient: true,
            refusal: None,
        };
        rig.feed(Input::Called(ticket, Err(failure)));
        assert!(!is_requested(&rig));
        rig.seconds(120);
    }
    let tokens = rig.core.status().tokens;
    assert_eq!(tokens[0].error.as_deref(), Some("unreachable"));
}
