//! EFI images, compared with the tools that build and sign them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pawl_evidence::boot_image::{BootChange, ImageError, PeImage};
use pawl_evidence::tpm::HashAlgorithm;
use tempfile::TempDir;

use crate::support::boot::from_hex;
use crate::support::swtpm::run;

/// From the package systemd-boot-efi.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// A signature contains the digest that the signing tool computed.
#[test]
fn the_authenticode_digest_is_the_one_that_sbsign_signs() {
    let bench = Bench::new();
    for image in [bench.unified("odd"), bench.unified("even."), PathBuf::from(STUB)] {
        let signed = bench.sign(&image);
        let (unsigned, file) = (fs::read(&image).unwrap(), fs::read(&signed).unwrap());
        let image = PeImage::parse(&file).unwrap();
        let digest = image.authenticode(HashAlgorithm::Sha256);
        assert!(image.is_signed() && !PeImage::parse(&unsigned).unwrap().is_signed());
        let signature = &file[unsigned.len()..];
        assert!(contains(signature, digest.as_bytes()), "{}", signed.display());
    }
}

/// Checks the digests of other hashes, which firmware uses for its other banks.
#[test]
fn osslsigncode_computes_the_same_digest_with_every_hash() {
    let bench = Bench::new();
    let image = bench.unified("odd");
    let file = fs::read(&image).unwrap();
    // osslsigncode pads the image to a multiple of eight bytes before it signs; firmware hashes the padded image.
    for (name, algorithm) in
        [("sha1", HashAlgorithm::Sha1), ("sha256", HashAlgorithm::Sha256), ("sha384", HashAlgorithm::Sha384)]
    {
        let signed = bench.path(name);
        run(Command::new("osslsigncode")
            .args(["sign", "-h", name, "-certs"])
            .arg(bench.path("certificate.pem"))
            .arg("-key")
            .arg(bench.path("key.pem"))
            .arg("-in")
            .arg(&image)
            .arg("-out")
            .arg(&signed));
        let signed = fs::read(signed).unwrap();
        let digest = PeImage::parse(&signed).unwrap().authenticode(algorithm);
        assert!(contains(&signed[file.len()..], digest.as_bytes()), "{name}");
    }
}

#[test]
fn a_section_has_its_length_in_memory() {
    let bench = Bench::new();
    let file = fs::read(bench.unified("initrd of 19 bytes.")).unwrap();
    let image = PeImage::parse(&file).unwrap();
    assert_eq!(image.section(".initrd").as_deref(), Some(&b"initrd of 19 bytes."[..]));
    assert_eq!(image.section(".cmdline").as_deref(), Some(&b"root=/dev/sda quiet\0"[..]));
    let kernel = fs::read(STUB).unwrap();
    assert_eq!(image.section(".linux").as_deref(), Some(&kernel[..]));
    assert_eq!(image.section(".linu"), None);
    assert_eq!(image.section(".linux and more"), None);
}

/// Newer builders give the kernel's section the length that the kernel needs to run.
#[test]
fn a_section_that_is_longer_in_memory_ends_with_zeros() {
    let bench = Bench::new();
    let mut file = fs::read(bench.unified("an initrd")).unwrap();
    let name = file.windows(8).position(|window| window == b".initrd\0").unwrap();
    let mut lengthen = |len: u32| {
        file[name + 8..name + 12].copy_from_slice(&len.to_le_bytes());
        PeImage::parse(&file).map(|image| image.section(".initrd").unwrap().into_owned())
    };
    let content = lengthen(100_000).unwrap();
    assert_eq!((content.len(), &content[..9]), (100_000, &b"an initrd"[..]));
    assert!(content[9..].iter().all(|byte| *byte == 0));
    assert!(matches!(lengthen(u32::MAX), Err(ImageError::TooLong(_))));
}

#[test]
fn the_measurements_of_a_unified_image_are_read() {
    let bench = Bench::new();
    let unsigned = bench.unified("initrd");
    let file = fs::read(&unsigned).unwrap();
    let change = serde_json::to_value(BootChange::unified(&file).unwrap()).unwrap();
    let image = &change["unified"];
    assert_eq!(image["command-line"], "root=/dev/sda quiet");
    assert_eq!(image["is-signed"], false);
    let kernel = fs::read(STUB).unwrap();
    let kernel = PeImage::parse(&kernel).unwrap().authenticode(HashAlgorithm::Sha384);
    assert_eq!(image["kernel"]["sha384"], kernel.to_string());
    let initrd = from_hex(image["initrd"]["sha256"].as_str().unwrap());
    assert_eq!(initrd, HashAlgorithm::Sha256.digest(&[b"initrd"]).as_bytes());

    let signed = fs::read(bench.sign(&unsigned)).unwrap();
    let signed = serde_json::to_value(BootChange::unified(&signed).unwrap()).unwrap();
    assert_eq!(signed["unified"]["is-signed"], true);
    assert_eq!(signed["unified"]["kernel"], image["kernel"]);
}

#[test]
fn other_files_are_refused_as_unified_images_with_the_reason() {
    let bench = Bench::new();
    let stub = fs::read(STUB).unwrap();
    let change = |file: &[u8]| BootChange::unified(file).unwrap_err();
    assert_eq!(change(&stub), ImageError::NotUnified(".linux"));
    assert_eq!(change(b"#!/bin/sh"), ImageError::NotPe);
    assert_eq!(change(&stub[..stub.len() / 2]), ImageError::Truncated("section"));
    let microcode = bench.write("microcode", b"code");
    let with_microcode = bench.with_sections(&[(".ucode", &microcode)]);
    assert_eq!(change(&fs::read(with_microcode).unwrap()), ImageError::Unpredictable(".ucode"));
}

/// A folder with a signing key.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Boot images", "-keyout"])
            .arg(bench.path("key.pem"))
            .arg("-out")
            .arg(bench.path("certificate.pem")));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Builds a unified kernel image. Its kernel is a second copy of the stub.
    fn unified(&self, initrd: &str) -> PathBuf {
        let command_line = self.write("command line", b"root=/dev/sda quiet\0");
        let initrd = self.write("initrd", initrd.as_bytes());
        self.with_sections(&[(".cmdline", &command_line), (".initrd", &initrd), (".linux", Path::new(STUB))])
    }

    /// Adds sections to the stub, one after another in memory, as systemd's documentation does.
    fn with_sections(&self, sections: &[(&str, &Path)]) -> PathBuf {
        let number = fs::read_dir(self.0.path()).unwrap().count();
        let image = self.path(&format!("{number}.efi"));
        let mut command = Command::new("objcopy");
        let mut address = 0x20_0000;
        for (name, content) in sections {
            command.arg("--add-section").arg(format!("{name}={}", content.display()));
            command.arg("--change-section-vma").arg(format!("{name}={address:#x}"));
            address += 0x100_0000;
        }
        run(command.arg(STUB).arg(&image));
        image
    }

    fn sign(&self, image: &Path) -> PathBuf {
        let name = image.file_name().unwrap().to_str().unwrap();
        let signed = self.path(&format!("{name}.signed"));
        run(Command::new("sbsign")
            .arg("--key")
            .arg(self.path("key.pem"))
            .arg("--cert")
            .arg(self.path("certificate.pem"))
            .arg("--output")
            .arg(&signed)
            .arg(image));
        signed
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
