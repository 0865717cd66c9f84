//! Adds a certificate to the firmware's db, as the roll-out of Microsoft's certificates of 2023 does. PCR 7 changes, and the
//! device stays entitled by a lease for the future state.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ahead;
use super::stage::Stage;
use crate::report::{Facts, StoryReport};

/// The guest's variable in efivarfs, and the number of bytes of attributes before its contents.
const DB: &str = "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const ATTRIBUTES: usize = 4;

pub(super) fn tell(report: &mut StoryReport, stage: &mut Stage<'_>) -> Result<()> {
    report.step("db-pre-approved", "a second db certificate is pre-approved and added", |facts| {
        enrol(stage, facts)
    })?;
    report.step("db-ahead", "after the change of db the keys work without the network", |facts| {
        ahead::boot_off_line(stage, facts)
    })?;
    report.step("db-judged", "with the network the control plane appraises that boot as approved", |facts| {
        ahead::go_on_line(stage, facts)
    })
}

fn enrol(stage: &mut Stage<'_>, facts: &mut Facts) -> Result<()> {
    let before = read_db(stage)?;
    let update = stage.system.db_update(&stage.place.join("second"))?;
    let contents = [before.as_slice(), &update.list].concat();
    let file = stage.place.join("db");
    fs::write(&file, &contents)?;
    ahead::approve(stage, "second db", &["--db", &file.display().to_string()])?;
    stage.machine.succeed(&format!(
        "chattr -i {DB}
        base64 -d >/run/update <<'END'
{}
END
        cat /run/update >{DB}",
        STANDARD.encode(&update.signed)
    ))?;
    ensure!(read_db(stage)? == contents, "the firmware's db has other contents than expected");
    facts.add("db_bytes", vec![before.len(), contents.len()]);
    stage.machine.switch_off()
}

/// Returns the contents of db, without the attributes.
fn read_db(stage: &mut Stage<'_>) -> Result<Vec<u8>> {
    let directory = Path::new(DB).parent().context("no directory")?.display();
    let mount = format!("mountpoint -q {directory} || mount -t efivarfs efivarfs {directory}");
    stage.machine.succeed(&mount)?;
    let variable = stage.read_file(DB)?;
    Ok(variable.get(ATTRIBUTES..).context("db is too short")?.to_vec())
}
