//! `pawlctl re-pair` and `pawl-control-plane approve`, as people run them.

use std::process::Output;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Process, SshAgent, Terms, wait};
use pawl_local_api::{LocalStatus, Problem};

use crate::support::{failed_bindings, session_id};

#[test]
fn one_command_makes_a_repaired_device_trusted_again() {
    let (rig, device, alice) = parts();
    let old = device.status().unwrap();
    let key = alice.key().display().to_string();
    let output =
        device.pawlctl(&["re-pair", "--reason", "board repaired", "--sign-with", &key, "--yes"]).unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.starts_with("paired with Example fleet"), "{out}");
    for told in ["same TPM, same disk", "ends", "board repaired", "approved"] {
        assert!(err.contains(told), "no {told:?} in {err}");
    }
    let new = device.wait_until_entitled().unwrap();
    assert!(new.counter > old.counter);
    assert_eq!(rig.control_plane.show(new.device.as_str()).unwrap()["pairing"]["state"], "live");
}

#[test]
fn an_agent_signs_as_well() {
    let (rig, device, alice) = parts();
    let agent = SshAgent::holding(rig.directory(), &alice).unwrap();
    let public = format!("{}.pub", alice.key().display());
    for key in ["agent", &public] {
        let old = device.status().unwrap();
        let arguments = ["re-pair", "--sign-with", key, "--yes", "--json"];
        let output = device.pawlctl_with_agent(&agent, &arguments).unwrap();
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{key}: {out}{err}");
        assert!(err.is_empty(), "{key}: {err}");
        let last: LocalStatus = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert!(last.counter > old.counter, "{key}: {out}");
    }
    // Without the agent nothing can sign, and no session was opened.
    let old = device.status().unwrap();
    let output = device.pawlctl(&["re-pair", "--sign-with", "agent", "--yes"]).unwrap();
    assert!(!output.status.success());
    let now = device.status().unwrap();
    assert_eq!((now.pairing, now.session), (old.pairing, old.session));
}

#[test]
fn a_colleague_approves_from_elsewhere() {
    let (rig, device, alice) = parts();
    let old = device.status().unwrap();
    let mut technician = technician(&rig, &device);
    let code = device.wait_for_approver().unwrap().user_code;
    technician.wait_until_shown(&code);
    let confirmation = rig.control_plane.approve_for_confirmation(&code, &alice).unwrap();

    // As it was read out over the telephone.
    let spoken = confirmation.to_lowercase().replace('-', " ");
    let output = device.pawlctl(&["re-pair", "--confirm", &spoken, "--timeout", "60"]).unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", texts(&output));
    let (code, shown) = technician.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("paired with Example fleet"), "{shown}");
    assert!(device.status().unwrap().counter > old.counter);
}

#[test]
fn the_exit_code_says_how_it_went() {
    let (rig, device, alice) = parts();
    let old = device.status().unwrap();
    let stranger = Approver::new(rig.directory(), "mallory").unwrap();
    let (known, unknown) = (alice.key().display().to_string(), stranger.key().display().to_string());

    // Without a terminal to ask at, no session is opened.
    assert_eq!(code(&device, &["re-pair", "--sign-with", &known]), 64);
    assert_eq!(code(&device, &["pair", "--sign-with", &known, "--yes"]), 1, "it is paired already");
    assert!(device.status().unwrap().session.is_none());

    assert_eq!(code(&device, &["re-pair", "--timeout", "1"]), 75);
    device.wait_for_approver().unwrap();
    let session = session_id(&device);
    let attached = ["re-pair", "--attach", "--sign-with", &unknown, "--yes", "--json"];
    let output = device.pawlctl(&attached).unwrap();
    let (out, _) = texts(&output);
    assert_eq!(output.status.code(), Some(76), "{out}");
    let problem: Problem = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(!problem.reason.contains("key"), "a stranger learns of it: {problem:?}");
    assert_eq!(code(&device, &["re-pair", "--confirm", "BCDF-GHJK"]), 76);
    assert_eq!(failed_bindings(&rig, &session), ["key", "confirmation"]);
    assert_eq!(device.status().unwrap().pairing, old.pairing);

    assert_eq!(code(&device, &["re-pair", "--attach", "--sign-with", &known, "--yes"]), 0);
    assert_eq!(session_id(&device), session);
}

#[test]
fn a_declined_session_ends_the_command() {
    let (rig, device, _) = parts();
    let technician = technician(&rig, &device);
    device.wait_for_approver().unwrap();
    rig.control_plane.decline(&session_id(&device), "nobody called about it").unwrap();
    let (code, shown) = technician.end();
    assert_eq!(code, Some(76), "{shown}");
    assert!(shown.contains("nobody called about it"), "{shown}");
}

/// `pawlctl re-pair`, running.
struct Technician(Process);

fn technician(rig: &Rig, device: &Device) -> Technician {
    let command = device.pawlctl_command(&["re-pair", "--timeout", "60", "--no-qr"]).unwrap();
    Technician(Process::spawn("pawlctl", &command, &rig.directory().log("technician")).unwrap())
}

impl Technician {
    fn wait_until_shown(&mut self, text: &str) {
        wait::until("the technician is shown it", wait::SOON, || {
            self.0.check_running()?;
            let shown = self.0.log()?;
            anyhow::ensure!(shown.contains(text), "no {text} in {shown}");
            Ok(())
        })
        .unwrap();
    }

    /// The exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.0.wait_for_end().unwrap();
        (status.code(), self.0.log().unwrap())
    }
}

fn parts() -> (Rig, Device, Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let alice = rig.approver("alice").unwrap();
    (rig, device, alice)
}

fn code(device: &Device, arguments: &[&str]) -> i32 {
    let output = device.pawlctl(arguments).unwrap();
    output.status.code().unwrap_or_else(|| panic!("{arguments:?}: {:?}", texts(&output)))
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
