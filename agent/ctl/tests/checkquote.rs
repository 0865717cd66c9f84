//! tpm2-tools read the files that `pawlctl evidence --export` writes: `tpm2_checkquote` accepts the exported quote of a software
//! TPM.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Server, reply};

/// A swtpm process for one test.
struct Swtpm {
    process: Child,
    directory: tempfile::TempDir,
}

impl Swtpm {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
            .arg(format!("--tpmstate=dir={path}"))
            .arg(format!("--server=type=unixio,path={path}/tpm"))
            .arg(format!("--ctrl=type=unixio,path={path}/tpm.ctrl"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !["tpm", "tpm.ctrl"].iter().all(|socket| directory.path().join(socket).exists()) {
            assert!(Instant::now() < deadline, "swtpm does not start");
            sleep(Duration::from_millis(10));
        }
        Self { process, directory }
    }

    /// Runs one of the tpm2-tools in the TPM's directory. Returns whether it succeeded.
    fn tool(&self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        Command::new(words.next().unwrap())
            .args(words)
            .current_dir(self.directory.path())
            .env("TPM2TOOLS_TCTI", format!("swtpm:path={}/tpm", self.directory.path().display()))
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn hex(&self, file: &str) -> String {
        hex::encode(fs::read(self.directory.path().join(file)).unwrap())
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn tpm2_checkquote_accepts_the_exported_quote() {
    let tpm = Swtpm::start();
    assert!(tpm.tool(
        "tpm2_createprimary -Q -C e -G ecc256:ecdsa-sha256:null -c ak.ctx -f pem -o ak.pem \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign"
    ));
    assert!(tpm.tool(&format!(
        "tpm2_quote -Q -c ak.ctx -l sha256:0,7,10 -q {NONCE} -m attest -s signature -o pcrs -F values"
    )));
    let evidence = serde_json::json!({
        "attest": tpm.hex("attest"), "signature": tpm.hex("signature"), "ak_pem": tpm.text("ak.pem"),
        "nonce": NONCE, "pcrs": {"0": "00".repeat(32), "7": "00".repeat(32), "10": "00".repeat(32)},
        "boot_log": null, "ima_log": null, "notes": [],
    });
    let server = Server::always(reply(200, &evidence.to_string()));
    let export = tpm.directory.path().join("export");
    let run = server.pawlctl(&["evidence", "--export", export.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{run:?}");

    assert_eq!(
        fs::read(export.join("pcrs.bin")).unwrap(),
        fs::read(tpm.directory.path().join("pcrs")).unwrap()
    );
    let check = |directory: &Path| {
        let directory = directory.display();
        tpm.tool(&format!(
            "tpm2_checkquote -Q -u {directory}/ak.pem -m {directory}/attest.bin -s {directory}/signature.bin \
             -g sha256 -q {} -f {directory}/pcrs.bin -F values -l sha256:0,7,10",
            fs::read_to_string(export.join("nonce.hex")).unwrap().trim()
        ))
    };
    assert!(check(&export));
    fs::write(export.join("pcrs.bin"), [1; 96]).unwrap();
    assert!(!check(&export), "other PCR values than the quoted ones");
}
