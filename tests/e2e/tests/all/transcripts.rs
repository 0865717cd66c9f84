//! What a technician sees in the most common situations, recorded from the real programs and
//! compared with `tests/transcripts`.

mod transcript;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Terminal, Terms, wait};
use pawl_local_api::{LocalStatus, SessionStage};
use pawl_proto::message::DeviceState;

use transcript::Transcript;

#[test]
fn a_board_was_repaired() {
    let (rig, device, alice) = a_paired_device();
    let mut told = Transcript::of("repaired-board", &rig);
    told.calls(&alice, "~/.ssh/id_ed25519");
    let key = alice.key().display().to_string();
    let re_pair = ["re-pair", "--reason", "board repaired", "--sign-with", &key];
    let mut screen = told.at_device(&device, &re_pair);
    sign(&mut screen);
    told.ends(screen, 0);
    told.compare();
}

#[test]
fn a_disk_was_replaced() {
    let (rig, mut device, alice) = a_paired_device();
    let mut told = Transcript::of("new-disk", &rig);
    told.calls(&alice, "~/.ssh/id_ed25519");
    device.stop().unwrap();
    device.new_disk().unwrap();
    device.start().unwrap();

    let mut here = told.at_device(&device, &["re-pair", "--reason", "new SSD"]);
    here.wait_for("--sign-with KEY").unwrap();
    let code = device.wait_for_approver().unwrap().user_code;
    let key = alice.key().display().to_string();
    let mut there = told.elsewhere(&rig, &["approve", "--code", &code, "--sign-with", &key]);
    there.wait_for("Type yes: ").unwrap();
    there.type_line("yes").unwrap();
    there.wait_for("Signed.").unwrap();
    let shown = told.ends(there, 0);
    here.wait_for("confirmation code: ").unwrap();
    here.type_line(transcript::confirmation(&shown).unwrap()).unwrap();
    told.ends(here, 0);
    told.compare();
}

#[test]
fn a_tpm_was_swapped() {
    let (rig, mut device, alice) = a_paired_device();
    let old = device.status().unwrap().device.to_string();
    let mut told = Transcript::of("swapped-tpm", &rig);
    told.knows(&device);
    told.calls(&alice, "~/.ssh/id_ed25519");
    device.stop().unwrap();
    let board = rig.new_tpm("board", device.tpm.boot_log().map(Into::into)).unwrap();
    let _old_board = device.replace_tpm(board).unwrap();
    device.start().unwrap();

    let unknown = told.at_device(&device, &["re-pair", "--reason", "new board"]);
    told.ends(unknown, 76);
    let key = alice.key().display().to_string();
    let re_pair = ["re-pair", "--reason", "new board", "--replaces", &old, "--sign-with", &key];
    let mut screen = told.at_device(&device, &re_pair);
    sign(&mut screen);
    told.ends(screen, 0);
    told.compare();
}

#[test]
fn an_operator_ordered_a_repair() {
    let (rig, device, alice) = a_paired_device();
    let mut told = Transcript::of("ordered-repair", &rig);
    told.calls(&alice, "~/.ssh/id_ed25519");
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.repair(&id, "the controller is recalled").unwrap();
    let wants_technician = |status: &LocalStatus| {
        let problem = status.problem.as_ref().map(|problem| problem.error.as_str());
        problem == Some("technician-wanted") && !status.receipt_waiting
    };
    device.wait_until("it wants a technician", wants_technician).unwrap();

    let status = told.at_device(&device, &["status"]);
    told.ends(status, 0);
    let key = alice.key().display().to_string();
    let mut screen = told.at_device(&device, &["re-pair", "--sign-with", &key]);
    sign(&mut screen);
    told.ends(screen, 0);
    told.compare();
}

#[test]
fn an_approval_does_not_count() {
    let (rig, device, alice) = a_paired_device();
    another_second_begins(&rig);
    let bob = Approver::new(rig.directory(), "bob").unwrap();
    let mut told = Transcript::of("refused", &rig);
    told.calls(&alice, "~/.ssh/id_ed25519");
    told.calls(&bob, "~/.ssh/id_of_another_site");
    let key = bob.key().display().to_string();
    let mut refused = told.at_device(&device, &["re-pair", "--sign-with", &key]);
    sign(&mut refused);
    told.ends(refused, 76);
    let sessions = told.elsewhere(&rig, &["sessions"]);
    told.ends(sessions, 0);

    let key = alice.key().display().to_string();
    let mut counted = told.at_device(&device, &["re-pair", "--attach", "--sign-with", &key]);
    sign(&mut counted);
    told.ends(counted, 0);
    told.compare();
}

#[test]
fn the_control_plane_is_out_of_reach() {
    let (mut rig, device, _alice) = a_paired_device();
    rig.control_plane.stop().unwrap();
    let mut told = Transcript::of("out-of-reach", &rig);
    let cut_off = told.at_device(&device, &["re-pair", "--reason", "new board"]);
    told.ends(cut_off, 1);
    assert_eq!(device.status().unwrap().state, DeviceState::Entitled);

    rig.control_plane.start().unwrap();
    let mut screen = told.at_device(&device, &["re-pair", "--reason", "new board", "--no-qr"]);
    screen.wait_for("--sign-with KEY").unwrap();
    device.wait_for_stage(SessionStage::Waiting).unwrap();
    screen.press_ctrl_c().unwrap();
    told.ends(screen, 130);
    assert_eq!(device.status().unwrap().state, DeviceState::Entitled);
    told.compare();
}

/// Sessions are listed by the second in which they were opened: the next one is another.
fn another_second_begins(rig: &Rig) {
    let opened = rig.control_plane.sessions().unwrap()[0]["opened_at"].as_u64().unwrap();
    wait::until("another second begins", wait::SOON, || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        ensure!(now > opened, "it is the same");
        Ok(())
    })
    .unwrap();
}

fn sign(screen: &mut Terminal) {
    screen.wait_for("sign? [y/N] ").unwrap();
    screen.type_line("y").unwrap();
}

/// Alice may approve, and somebody has to.
fn a_paired_device() -> (Rig, Device, Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let device = rig.paired_device("pump-4", DeviceOptions::default()).unwrap();
    (rig, device, alice)
}
