//! Another certificate is enrolled in the firmware's db, as Microsoft's of 2023 is: PCR 7 changes, and the device
//! stays entitled by a lease ahead.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_proto::message::DeviceState;

use super::stage::Stage;
use crate::machine::Cable;
use crate::report::{Facts, Report};

/// The guest's variable, with four bytes of attributes in front.
const DB: &str = "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const ATTRIBUTES: usize = 4;

pub(super) fn tell(report: &mut Report, stage: &mut Stage<'_>) -> Result<()> {
    report.step("db-pre-approved", "a second db certificate is approved ahead, and enrolled", |facts| {
        enrol(stage, facts)
    })?;
    report.step("db-ahead", "with it in the firmware the keys work before the network does", |facts| {
        before_the_network(stage, facts)
    })?;
    report.step("db-judged", "with the network that boot is judged as approved", |facts| {
        stage.machine.plug_in()?;
        let status = stage.wait_until_approved()?;
        let reasons = status.verdict.map(|verdict| verdict.reasons).unwrap_or_default();
        facts.add("reasons", reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
        Ok(())
    })
}

fn enrol(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let before = read_db(stage)?;
    let update = stage.system.db_update(&stage.place.join("second"))?;
    let contents = [before.as_slice(), &update.list].concat();
    let file = stage.place.join("db");
    fs::write(&file, &contents)?;
    let path = file.display().to_string();
    stage.rig.control_plane.operator(&[
        "pre-approve",
        &stage.device,
        "--db",
        &path,
        "--name",
        "second db",
    ])?;
    stage.machine.wait_until("the device has a lease ahead", |status| {
        status.lease.as_ref().is_some_and(|lease| lease.ahead >= 1 && lease.accepted)
    })?;

    stage.machine.succeed(&format!(
        "chattr -i {DB}
        base64 -d >/run/update <<'END'
{}
END
        cat /run/update >{DB}",
        STANDARD.encode(&update.signed)
    ))?;
    ensure!(read_db(stage)? == contents, "the firmware has made something else of db");
    facts.add("db_bytes", vec![before.len(), contents.len()]);
    stage.machine.shut_down()
}

fn before_the_network(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    facts.add_seconds("boot", stage.machine.boot(Cable::Out)?);
    let status = stage.machine.wait_for(DeviceState::Entitled)?;
    ensure!(!status.broker.connected, "it is connected to {:?}", status.broker.address);
    ensure!(status.lease.is_some_and(|lease| lease.accepted), "the TPM refuses the lease");
    stage.machine.wait_until_active("workload")?;
    stage.machine.be_given_the_token()
}

/// The contents of db, without the attributes.
fn read_db(stage: &mut Stage<'_>) -> Result<Vec<u8>> {
    let directory = Path::new(DB).parent().context("no directory")?.display();
    let text = stage.machine.succeed(&format!(
        "mountpoint -q {directory} || mount -t efivarfs efivarfs {directory}
        base64 -w 0 {DB}"
    ))?;
    let variable = STANDARD.decode(text.trim()).context("read db")?;
    Ok(variable.get(ATTRIBUTES..).context("db is too short")?.to_vec())
}
