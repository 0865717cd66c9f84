use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// A TPM emulator for one test, and the tools that use it.
pub(crate) struct Swtpm {
    child: Child,
    tcti: String,
    folder: TempDir,
}

impl Swtpm {
    /// Starts a new TPM without endorsement certificates.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        Self::start_in(folder)
    }

    /// Starts a TPM like a vendor's, with certified endorsement keys at 0x81010001 (RSA) and 0x81010016 (P-384). The
    /// CA's certificates are `issuercert.pem` and `swtpm-localca-rootca-cert.pem` in the folder `ca`.
    pub(crate) fn manufacture() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(path("state")).unwrap();
        fs::create_dir(path("ca")).unwrap();
        let ca = path("ca");
        fs::write(
            path("localca.conf"),
            format!(
                "statedir = {ca}\nsigningkey = {ca}/signkey.pem\n\
                 issuercert = {ca}/issuercert.pem\ncertserial = {ca}/certserial\n"
            ),
        )
        .unwrap();
        fs::write(
            path("localca.options"),
            "--platform-manufacturer Pawl\n--platform-version 1\n--platform-model Test\n",
        )
        .unwrap();
        fs::write(
            path("setup.conf"),
            format!(
                "create_certs_tool = swtpm_localca\n\
                 create_certs_tool_config = {}\ncreate_certs_tool_options = {}\n\
                 active_pcr_banks = sha1,sha256\n",
                path("localca.conf"),
                path("localca.options")
            ),
        )
        .unwrap();
        run(Command::new("swtpm_setup")
            .args(["--tpm2", "--create-ek-cert", "--overwrite", "--tpm-state", &path("state")])
            .args(["--config", &path("setup.conf"), "--logfile", &path("setup.log")]));
        Self::start_in(folder)
    }

    fn start_in(folder: TempDir) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "swtpm did not start");
            let Some(port) = free_pair_of_ports() else { continue };
            let mut child = Command::new("swtpm")
                .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
                .args(["--tpmstate", &format!("dir={}", folder.path().join("state").display())])
                .args(["--server", &format!("type=tcp,bindaddr=127.0.0.1,port={port}")])
                .args(["--ctrl", &format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1)])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if answers(&mut child, port + 1, deadline) {
                return Self { child, tcti: format!("swtpm:host=127.0.0.1,port={port}"), folder };
            }
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    /// Runs one of tpm2-tools in the folder; file names are relative to it.
    pub(crate) fn tool(&self, tool: &str, arguments: &[&str]) -> Vec<u8> {
        let output = run(self.command(tool).args(arguments));
        // There is no resource manager that would flush objects.
        run(self.command("tpm2_flushcontext").arg("--transient-object"));
        output
    }

    /// Runs a tool as [`Swtpm::tool`] does, but the TPM may refuse. Returns whether the tool succeeded.
    pub(crate) fn try_tool(&self, tool: &str, arguments: &[&str]) -> bool {
        let output = self.command(tool).args(arguments).output().unwrap();
        run(self.command("tpm2_flushcontext").arg("--transient-object"));
        output.status.success()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Returns the TPMT_PUBLIC of an object that is persistent or whose context is in a file.
    pub(crate) fn public(&self, object: &str) -> Vec<u8> {
        self.tool("tpm2_readpublic", &["-c", object, "-o", "public.tss", "-f", "tss"]);
        self.read("public.tss").split_off(2)
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.current_dir(self.folder.path()).env("TPM2TOOLS_TCTI", &self.tcti).env("TSS2_LOG", "all+NONE");
        command
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Returns the first of two free ports. The TSS expects the control channel at the port after the TPM's.
fn free_pair_of_ports() -> Option<u16> {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok().map(|_| port)
}

fn answers(child: &mut Child, port: u16, deadline: Instant) -> bool {
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
