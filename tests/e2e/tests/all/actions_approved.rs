//! Protected actions that a person must approve.

use std::process::{Command, Output};

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terms, program};
use pawl_evidence::assurance::Approved;
use pawl_local_api::{ActionRequest, ActionStatus, ApprovalRequest, Problem};
use pawl_proto::message::DeviceState;

use crate::support::{Receiver, assured, failed_bindings, update};

#[test]
fn a_person_at_the_device_lets_it_and_is_named() {
    let (rig, device) = device_that_asks(1);
    let alice = rig.approver("alice").unwrap();
    let wanted = update("9.1");
    let waiting = ask(&device, &wanted);
    assert_eq!(waiting.waiting.as_ref().unwrap().needed, 1);
    assert_eq!(waiting.asked.reason, "the pump stalls");

    let jws = assured(device.approve_action(&waiting, &alice).unwrap().success().unwrap().json().unwrap());
    let assurance = Receiver::of(&rig).check(&jws, &wanted, None).unwrap();
    let claims = assurance.claims();
    let Approved::Persons(persons) = &claims.pawl.approved else { panic!("nobody is named") };
    let [person] = persons.as_slice() else { panic!("not one person: {persons:?}") };
    assert_eq!((person.by.as_str(), person.key.as_str()), ("alice", fingerprint(&alice).as_str()));
    assert!((claims.iat - 60..=claims.iat).contains(&person.time), "{person:?}");
    assert_eq!(hex::encode(claims.pawl.statement), waiting.asked.digest, "they signed something else");
    // The outcome is given once.
    assert_eq!(device.action(waiting.id).unwrap().status, 404);
}

#[test]
fn a_person_elsewhere_lets_it_once_it_is_confirmed() {
    let (rig, device) = device_that_asks(1);
    let alice = rig.approver("alice").unwrap();
    let wanted = update("9.1");
    let waiting = ask(&device, &wanted);
    let code = waiting.waiting.unwrap().user_code;
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();
    let look: ActionStatus = device.action(waiting.id).unwrap().success().unwrap().json().unwrap();
    assert!(look.assurance.is_none(), "it counted before it was confirmed");

    let jws =
        assured(device.confirm_action(waiting.id, &confirmation).unwrap().success().unwrap().json().unwrap());
    Receiver::of(&rig).check(&jws, &wanted, None).unwrap();
}

#[test]
fn two_persons_are_two() {
    let (rig, device) = device_that_asks(2);
    let (alice, bob) = (rig.approver("alice").unwrap(), rig.approver("bob").unwrap());
    let waiting = ask(&device, &update("9.1"));
    let once: ActionStatus =
        device.approve_action(&waiting, &alice).unwrap().success().unwrap().json().unwrap();
    assert_eq!(once.waiting.unwrap().approved, ["alice"]);
    let twice: ActionStatus =
        device.approve_action(&waiting, &alice).unwrap().success().unwrap().json().unwrap();
    assert!(twice.assurance.is_none() && twice.waiting.unwrap().refused.is_some());
    assert_eq!(failed_bindings(&rig, &waiting.id.to_string()), ["person"]);
    assured(device.approve_action(&waiting, &bob).unwrap().success().unwrap().json().unwrap());
}

#[test]
fn an_approval_of_one_action_says_nothing_of_another() {
    let (rig, device) = device_that_asks(1);
    let alice = rig.approver("alice").unwrap();
    let (first, second) = (ask(&device, &update("9.1")), ask(&device, &update("9.2")));
    let signature = alice.sign(Approver::NAMESPACE, first.asked.digest.as_bytes()).unwrap();
    let of_first =
        |statement: &str| ApprovalRequest { statement: statement.to_owned(), signature: signature.clone() };

    let [replayed, forged] = [&first.asked.statement, &second.asked.statement].map(|statement| {
        let answer = device.hand_in_for_action(second.id, &of_first(statement)).unwrap();
        let status: ActionStatus = answer.success().unwrap().json().unwrap();
        status.waiting.unwrap().refused.unwrap()
    });
    assert_eq!(replayed, forged, "a stranger learns which binding failed");
    assert_eq!(failed_bindings(&rig, &second.id.to_string()), ["session", "signature"]);
    // Each is let by its own.
    for action in [&first, &second] {
        assured(device.approve_action(action, &alice).unwrap().success().unwrap().json().unwrap());
    }
}

#[test]
fn what_waits_when_a_revocation_comes_is_never_let() {
    let (rig, device) = device_that_asks(1);
    let alice = rig.approver("alice").unwrap();
    let id = device.status().unwrap().device.to_string();
    let (unapproved, unconfirmed) = (ask(&device, &update("9.1")), ask(&device, &update("9.2")));
    let code = unconfirmed.waiting.as_ref().unwrap().user_code.clone();
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();

    rig.control_plane.revoke(&id, "stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
    let late = device.approve_action(&unapproved, &alice).unwrap();
    let later = device.confirm_action(unconfirmed.id, &confirmation).unwrap();
    for answer in [late, later, device.action(unapproved.id).unwrap()] {
        assert_eq!((answer.status, answer.json::<Problem>().unwrap().error), (403, "revoked".to_owned()));
    }
    // Nor in the next pairing.
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    let answer = device.confirm_action(unconfirmed.id, &confirmation).unwrap();
    assert_eq!((answer.status, answer.json::<Problem>().unwrap().error), (404, "no-such-action".to_owned()));
    let records = rig.control_plane.records(&id).unwrap();
    assert!(records.iter().all(|record| record["kind"] != "assurance"), "{records:#?}");
}

#[test]
fn nobody_sees_anothers_action() {
    let (rig, device) = device_that_asks(1);
    rig.approver("alice").unwrap();
    let waiting = ask(&device, &update("9.1"));
    let (nobody, root) = (Some(65534), None);
    let attach = ["action", "--attach", &waiting.id.to_string(), "--json", "--timeout", "1"];
    let seen = pawlctl_as(&rig, &device, root, &attach);
    assert_eq!(seen.status.code(), Some(75), "it waits: {seen:?}");
    let hidden = pawlctl_as(&rig, &device, nobody, &attach);
    let problem: Problem = serde_json::from_slice(&hidden.stdout).unwrap();
    assert_eq!(problem.error, "no-such-action", "{hidden:?}");

    // Root may follow the actions of other users; other users may not follow those of root.
    let session = update("9.2").session;
    let digest = update("9.2").digest;
    let ask =
        ["action", "firmware-update", "--resource", "r", "--digest", &digest, "--session", session.as_str()];
    let asked = pawlctl_as(&rig, &device, nobody, &[ask.as_slice(), &["--json", "--timeout", "1"]].concat());
    let line = asked.stdout.split(|byte| *byte == b'\n').next().unwrap();
    let event: serde_json::Value =
        serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {asked:?}"));
    assert!(event["action"]["asked"]["origin"].as_str().unwrap().starts_with("uid 65534"), "{event}");
    let id = event["action"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(device.action(id).unwrap().status, 202);
}

fn device_that_asks(persons: u8) -> (Rig, Device) {
    let terms = Terms { actions: vec![("firmware-update", persons)], ..Terms::default() };
    let rig = Rig::for_test_with(&terms).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    (rig, device)
}

/// Asks, and has to wait for a person.
fn ask(device: &Device, wanted: &ActionRequest) -> ActionStatus {
    let answer = device.ask_for_action(wanted).unwrap();
    assert_eq!(answer.status, 202, "{answer}");
    answer.json().unwrap()
}

/// As OpenSSH shows it.
fn fingerprint(approver: &Approver) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(approver.key()).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    line.split(' ').nth(1).unwrap().to_owned()
}

/// Runs `pawlctl` as another user, who may open the socket.
fn pawlctl_as(rig: &Rig, device: &Device, user: Option<u32>, arguments: &[&str]) -> Output {
    let own = device.pawlctl_command(arguments).unwrap();
    let Some(user) = user else { return { own }.output().unwrap() };
    // The program stands where others may not go. A process of its own copies it: a descriptor of this one, open for writing,
    // would be inherited by a program that another test starts, and exec(2) fails with ETXTBSY meanwhile.
    let place = rig.directory().path();
    let copy = place.join("pawlctl");
    let copied =
        Command::new("cp").arg("--remove-destination").arg(program("pawlctl").unwrap()).arg(&copy).status();
    assert!(copied.unwrap().success());
    for (path, mode) in [(place, 0o711), (device.api().socket().as_path(), 0o666)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(copy).args(own.get_args());
    command.output().unwrap()
}
