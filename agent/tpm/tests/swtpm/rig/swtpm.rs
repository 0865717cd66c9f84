use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// One swtpm process with its state in a directory.
pub(crate) struct Swtpm {
    dir: PathBuf,
    process: Child,
}

impl Swtpm {
    pub(crate) fn start(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), process: launch(dir) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = launch(&self.dir);
    }

    fn stop(&mut self) {
        // By its own id; it may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("swtpm.sock")
}

fn launch(dir: &Path) -> Child {
    let socket = socket(dir);
    let _ = fs::remove_file(&socket);
    let mut process = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"])
        .arg("--tpmstate")
        .arg(format!("dir={}", dir.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", socket.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("swtpm is installed");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        assert!(process.try_wait().unwrap().is_none(), "swtpm ended at once");
        assert!(Instant::now() < deadline, "swtpm opens no socket");
        thread::sleep(Duration::from_millis(5));
    }
    process
}

/// Connects, for as long as a start may take.
pub(crate) fn connect(socket: &Path) -> UnixStream {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Makes endorsement keys and certifies them by a certificate authority that lives in the same directory.
pub(crate) fn manufacture(dir: &Path) {
    let authority = dir.join("authority");
    fs::create_dir(&authority).unwrap();
    let at = |name: &str| authority.join(name).display().to_string();
    fs::write(
        at("localca.conf"),
        format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            authority.display(),
            at("signkey.pem"),
            at("issuercert.pem"),
            at("certserial")
        ),
    )
    .unwrap();
    fs::write(
        at("localca.options"),
        "--platform-manufacturer Pawl\n--platform-version 1\n--platform-model Test\n",
    )
    .unwrap();
    fs::write(
        at("setup.conf"),
        format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            at("localca.conf"),
            at("localca.options")
        ),
    )
    .unwrap();
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--create-ek-cert", "--lock-nvram", "--config", &at("setup.conf"), "--tpm-state"])
        .arg(dir)
        .output()
        .expect("swtpm_setup is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
