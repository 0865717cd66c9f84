//! What a machine boots: a Debian system with our package, unified kernel images, and disks. The scripts in
//! `image/` make them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::architecture::Architecture;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image");
/// Debian's key for tests of Secure Boot, which is no secret; nor is its password.
const KEY: &str = "/usr/share/ovmf/PkKek-1-snakeoil.key";
const CERTIFICATE: &str = "/usr/share/ovmf/PkKek-1-snakeoil.pem";
const PASSWORD: &str = "pass:snakeoil";

/// A Debian system with our package installed.
pub(crate) struct System {
    architecture: Architecture,
    directory: PathBuf,
    /// The key in a form that needs no password.
    key: PathBuf,
}

impl System {
    /// Makes it, or finds the one that was made before. `place` is for what is made on the way.
    pub(crate) fn prepare(architecture: Architecture, package: &Path, place: &Path) -> Result<Self> {
        let printed = run(script("system").arg(architecture.name()).arg(package))?;
        let key = place.join("secure-boot.key");
        run(Command::new("openssl").args(["pkey", "-in", KEY, "-passin", PASSWORD, "-out"]).arg(&key))?;
        Ok(Self { architecture, directory: printed.trim().into(), key })
    }

    /// A unified kernel image with this command line behind the usual one, that the firmware takes.
    pub(crate) fn signed_image(&self, out: &Path, more: &str) -> Result<Image> {
        let unsigned = self.unsigned_image(&out.with_extension("unsigned"), more)?;
        let mut sign = Command::new("sbsign");
        sign.arg("--key").arg(&self.key).args(["--cert", CERTIFICATE, "--output"]).arg(out).arg(&unsigned.0);
        run(&mut sign)?;
        Ok(Image(out.to_owned()))
    }

    /// The same, that the firmware must not take.
    pub(crate) fn unsigned_image(&self, out: &Path, more: &str) -> Result<Image> {
        let mut uki = script("uki");
        uki.arg(self.architecture.name()).arg(&self.directory).arg(self.command_line(more)).arg(out);
        run(&mut uki)?;
        Ok(Image(out.to_owned()))
    }

    /// The machine that it is for.
    pub(crate) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The usual command line with more behind it.
    pub(crate) fn command_line(&self, more: &str) -> String {
        let console = self.architecture.console();
        // An emulated processor has no use for mitigations, and pays for them.
        let usual = format!("root=/dev/nvme0n1p2 rw console={console} ima_policy=tcb mitigations=off");
        format!("{usual} {more}").trim_end().to_owned()
    }

    /// A disk with this image to boot.
    pub(crate) fn disk(&self, image: &Image, to: &Path) -> Result<Disk> {
        let mut disk = script("disk");
        disk.args(["make", self.architecture.name()])
            .arg(&image.0)
            .arg(self.directory.join("root.ext4"))
            .arg(to);
        run(&mut disk)?;
        Ok(Disk { architecture: self.architecture, path: to.to_owned() })
    }
}

/// A unified kernel image.
pub(crate) struct Image(PathBuf);

impl Image {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// A disk.
pub(crate) struct Disk {
    architecture: Architecture,
    path: PathBuf,
}

/// Where the root's partition starts, bytes.
const ROOT_OFFSET: u64 = 65 << 20;

impl Disk {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts another image in the place of the one to boot.
    pub(crate) fn put(&self, image: &Image) -> Result<()> {
        let mut disk = script("disk");
        disk.args(["boot", self.architecture.name()]).arg(&image.0).arg(&self.path);
        run(&mut disk).map(drop)
    }

    /// A copy.
    pub(crate) fn copy(&self, to: &Path) -> Result<Self> {
        run(Command::new("cp").arg("--sparse=always").arg(&self.path).arg(to))?;
        Ok(Self { architecture: self.architecture, path: to.to_owned() })
    }

    /// Copies a directory of the root file system into the directory `to`.
    pub(crate) fn extract(&self, directory: &str, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        let file_system = format!("{}?offset={ROOT_OFFSET}", self.path.display());
        let request = format!("rdump {directory} {}", to.display());
        run(Command::new("debugfs").arg("-R").arg(request).arg(file_system)).map(drop)
    }
}

fn script(name: &str) -> Command {
    Command::new(Path::new(SCRIPTS).join(name))
}

/// Runs a program to its end, and gives what it printed.
fn run(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned).unwrap_or_default();
    let output = command.output().with_context(|| format!("start {}", name.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}\n{errors}", name.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}
