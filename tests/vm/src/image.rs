//! Builds the systems that machines boot: a Debian system with our package, unified kernel images, and disks. Calls the scripts
//! in `image/`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::architecture::Architecture;
use crate::release::Release;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image");
/// Debian's key for tests of Secure Boot. The key and its password are public.
const KEY: &str = "/usr/share/ovmf/PkKek-1-snakeoil.key";
const CERTIFICATE: &str = "/usr/share/ovmf/PkKek-1-snakeoil.pem";
const PASSWORD: &str = "pass:snakeoil";
/// The owner of an enrolled signature (SignatureOwner); the firmware does not check it.
const SIGNATURE_OWNER: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The attributes of a write that adds to db.
const APPENDING: &str =
    "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS,APPEND_WRITE";

/// A Debian system with our package installed.
pub(crate) struct System {
    architecture: Architecture,
    release: Release,
    directory: PathBuf,
    firmware: Firmware,
    /// The key, without a password.
    key: PathBuf,
    certificate: PathBuf,
}

/// An update of the firmware's db.
pub(crate) struct DbUpdate {
    /// The signature list that it appends.
    pub(crate) list: Vec<u8>,
    /// The signed update, to be written to the variable in efivarfs.
    pub(crate) signed: Vec<u8>,
}

/// A machine's firmware.
#[derive(Clone)]
pub(crate) struct Firmware {
    /// The code, which machines share and only read.
    pub(crate) code: PathBuf,
    /// The variables, with Secure Boot on.
    pub(crate) variables: PathBuf,
}

impl System {
    /// Builds the system, or uses the cached one. `place` is a directory for intermediate files.
    pub(crate) fn prepare(
        architecture: Architecture,
        release: Release,
        package: &Path,
        place: &Path,
    ) -> Result<Self> {
        let printed = run(script("system").args([architecture.name(), release.name()]).arg(package))?;
        let directory = PathBuf::from(printed.trim());
        // Newer releases have firmware of their own; bookworm uses the host's.
        let of_release = |name: &str, of_host: &str| {
            Some(directory.join(name)).filter(|path| path.exists()).unwrap_or_else(|| of_host.into())
        };
        let firmware = Firmware {
            code: of_release("code.fd", architecture.firmware()),
            variables: of_release("variables.fd", architecture.variables()),
        };
        let locked = of_release("secure-boot.key", KEY);
        let certificate = of_release("secure-boot.pem", CERTIFICATE);
        let key = place.join("secure-boot.key");
        let mut unlock = Command::new("openssl");
        unlock.args(["pkey", "-passin", PASSWORD, "-in"]).arg(locked).arg("-out").arg(&key);
        run(&mut unlock)?;
        Ok(Self { architecture, release, directory, firmware, key, certificate })
    }

    /// Builds a signed unified kernel image. `more` is appended to the usual command line.
    pub(crate) fn signed_image(&self, out: &Path, more: &str) -> Result<Image> {
        self.signed_image_of(out, &self.command_line(more))
    }

    /// Builds a signed unified kernel image with exactly this command line.
    pub(crate) fn signed_image_of(&self, out: &Path, command_line: &str) -> Result<Image> {
        self.sign(&self.build(&out.with_extension("unsigned"), command_line, Initrd::OfSystem)?, out)
    }

    /// Builds a signed image without an initrd: its kernel mounts the root and starts `init` there.
    pub(crate) fn image_without_initrd(&self, out: &Path, command_line: &str) -> Result<Image> {
        self.sign(&self.build(&out.with_extension("unsigned"), command_line, Initrd::Absent)?, out)
    }

    fn sign(&self, unsigned: &Image, out: &Path) -> Result<Image> {
        let mut sign = Command::new("sbsign");
        sign.arg("--key").arg(&self.key).arg("--cert").arg(&self.certificate);
        sign.arg("--output").arg(out).arg(&unsigned.0);
        run(&mut sign)?;
        Ok(Image(out.to_owned()))
    }

    /// Builds an unsigned image, which the firmware must refuse.
    pub(crate) fn unsigned_image(&self, out: &Path, more: &str) -> Result<Image> {
        self.build(out, &self.command_line(more), Initrd::OfSystem)
    }

    fn build(&self, out: &Path, command_line: &str, initrd: Initrd) -> Result<Image> {
        let mut uki = script("uki");
        uki.arg(self.architecture.name()).arg(&self.directory).arg(command_line).arg(out);
        if initrd == Initrd::Absent {
            uki.arg("--without-initrd");
        }
        run(&mut uki)?;
        Ok(Image(out.to_owned()))
    }

    /// Creates a certificate and the signed update that appends it to the firmware's db. `place` is a new directory for
    /// intermediate files.
    pub(crate) fn db_update(&self, place: &Path) -> Result<DbUpdate> {
        fs::create_dir_all(place)?;
        let file = |name: &str| place.join(name);
        let mut certificate = Command::new("openssl");
        certificate.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=second",
        ]);
        certificate
            .arg("-keyout")
            .arg(file("key"))
            .args(["-outform", "DER", "-out"])
            .arg(file("certificate"));
        run(&mut certificate)?;
        let mut list = Command::new("sbsiglist");
        list.args(["--owner", SIGNATURE_OWNER, "--type", "x509", "--output"]).arg(file("list"));
        run(list.arg(file("certificate")))?;
        let mut sign = Command::new("sbvarsign");
        sign.arg("--key").arg(&self.key).arg("--cert").arg(&self.certificate);
        sign.args(["--include-attrs", "--attr", APPENDING, "--output"]).arg(file("signed"));
        run(sign.arg("db").arg(file("list")))?;
        Ok(DbUpdate { list: fs::read(file("list"))?, signed: fs::read(file("signed"))? })
    }

    /// Returns the system's architecture.
    pub(crate) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Returns the system's Debian release.
    pub(crate) fn release(&self) -> Release {
        self.release
    }

    /// Returns the firmware that boots it.
    pub(crate) fn firmware(&self) -> &Firmware {
        &self.firmware
    }

    /// Returns the usual command line with `more` appended.
    pub(crate) fn command_line(&self, more: &str) -> String {
        let console = format!("console={}", self.architecture.console());
        format!("{} {more}", self.command_line_with_console(&console)).trim_end().to_owned()
    }

    /// Returns the usual command line with `console` instead of its `console=` parameter.
    pub(crate) fn command_line_with_console(&self, console: &str) -> String {
        // Mitigations slow an emulated processor down and are useless there. A new file system needs no check.
        let fsck = if self.release == Release::Bookworm { "" } else { " fsck.mode=skip" };
        format!("root=/dev/nvme0n1p2 rw {console} ima_policy=tcb mitigations=off{fsck}")
    }

    /// Creates a disk that boots this image.
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

/// Whether an image has an initrd.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Initrd {
    OfSystem,
    Absent,
}

/// A unified kernel image.
pub(crate) struct Image(PathBuf);

impl Image {
    /// Returns the path of its file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// A disk.
pub(crate) struct Disk {
    architecture: Architecture,
    path: PathBuf,
}

/// The offset of the root's partition, bytes.
const ROOT_OFFSET: u64 = 65 << 20;

impl Disk {
    /// Returns the path of its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the image that the disk boots.
    pub(crate) fn put(&self, image: &Image) -> Result<()> {
        let mut disk = script("disk");
        disk.args(["boot", self.architecture.name()]).arg(&image.0).arg(&self.path);
        run(&mut disk).map(drop)
    }

    /// Copies the disk.
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

/// Runs a program that must succeed, and returns its output.
fn run(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned).unwrap_or_default();
    let output = command.output().with_context(|| format!("start {}", name.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}\n{errors}", name.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}
