//! Callers who flood the daemon's socket: root, the daemon's user and every other user still get an
//! answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, Process, program, wait};

/// Two users who may do no more than open the socket.
const ATTACKER: u32 = 65_534;
const WORKLOAD: u32 = 65_533;

/// Below the deadline that ends a connection which waits for its caller.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Holds COUNT connections, each with a request whose body does not end.
const UNFINISHED_BODIES: &str = r#"
    use Socket; $| = 1; my ($path, $count) = @ARGV; my @held;
    for (1 .. $count) {
        socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
        syswrite($caller, "POST /v1/wipe HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
        push @held, $caller;
    }
    print "flooded\n"; sleep 600;
"#;

/// Connects over and over, and holds the last COUNT connections, which send nothing.
const CONNECTIONS: &str = r#"
    use Socket; $| = 1; my ($path, $count) = @ARGV; my (@held, $made); $SIG{PIPE} = 'IGNORE';
    while (1) {
        socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
        push @held, $caller if connect($caller, pack_sockaddr_un($path));
        shift @held if @held > $count;
        print "flooded\n" if ++$made == $count;
    }
"#;

/// Asks once and prints the status line.
const STATUS: &str = r#"
    use Socket; my ($path) = @ARGV;
    socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
    connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
    syswrite($caller, "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    print scalar <$caller>;
"#;

#[test]
fn unfinished_bodies_of_one_user_lock_nobody_out() {
    let (rig, device) = device();
    let _flood = flood(&rig, &device, UNFINISHED_BODIES, "70");

    let start = Instant::now();
    assert!(pawlctl(&device).status.success(), "the daemon's own user: {:?}", pawlctl(&device));
    let workload = user(WORKLOAD, STATUS, &device, &[]).output().unwrap();
    let answer = String::from_utf8_lossy(&workload.stdout);
    assert!(answer.starts_with("HTTP/1.1 200"), "another user: {workload:?}");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[test]
fn a_body_that_does_not_end_is_given_up_after_its_deadline() {
    let (rig, device) = device();
    let log = rig.directory().log("unfinished");
    let mut wait_for_answer = user(
        WORKLOAD,
        r#"
        use Socket; my ($path) = @ARGV;
        socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
        syswrite($caller, "POST /v1/wipe HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
        print scalar <$caller>;
        "#,
        &device,
        &[],
    );
    wait_for_answer.env("LC_ALL", "C");
    let mut caller = Process::spawn("unfinished", &wait_for_answer, &log).unwrap();
    caller.wait_for_end().unwrap();
    let answer = fs::read_to_string(&log).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn pawlctl_gets_through_a_flood_of_connections() {
    let (rig, device) = device();
    let _flood = flood(&rig, &device, CONNECTIONS, "200");
    let failed: Vec<Output> =
        (0..50).map(|_| pawlctl(&device)).filter(|output| !output.status.success()).collect();
    assert!(failed.is_empty(), "{} of 50 failed: {:?}", failed.len(), failed[0]);
}

/// A device whose socket's folder everybody may enter, as `/run/pawl`.
fn device() -> (Rig, Device) {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    for folder in [rig.directory().path(), device.api().socket().parent().unwrap()] {
        fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
    }
    (rig, device)
}

/// Starts a flood by another user, and waits until it stands.
fn flood(rig: &Rig, device: &Device, script: &str, count: &str) -> Process {
    let log = rig.directory().log("flood");
    let mut flood = Process::spawn("flood", &user(ATTACKER, script, device, &[count]), &log).unwrap();
    wait::until("the flood stands", wait::SOON, || {
        flood.check_running()?;
        anyhow::ensure!(flood.log()?.contains("flooded"), "not yet: {}", flood.log()?);
        Ok(())
    })
    .unwrap();
    flood
}

/// A script that runs as this user, in the group of the socket. Only root can become another user: for
/// anybody else all callers are the daemon's own user, whose own places then have to do.
fn user(user: u32, script: &str, device: &Device, arguments: &[&str]) -> Command {
    let mut command;
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.arg(format!("--reuid={user}")).arg(format!("--regid={}", getegid()));
        command.args(["--clear-groups", "--", "perl"]);
    } else {
        eprintln!("not root: the flood comes from the daemon's own user");
        command = Command::new("perl");
    }
    command.args(["-e", script]).arg(Path::new(device.api().socket())).args(arguments);
    command.current_dir("/");
    command
}

fn pawlctl(device: &Device) -> Output {
    let mut command = Command::new(program("pawlctl").unwrap());
    command.arg("status").arg("--socket").arg(device.api().socket()).output().unwrap()
}
