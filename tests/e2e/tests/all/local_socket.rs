//! Callers who flood the daemon's socket: root, the daemon's user and every other user still get an
//! answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
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

/// Answered once the device is no longer entitled.
const WAIT: &str = r"GET /v1/entitlement?wait=false HTTP/1.1\r\nHost: x\r\n\r\n";

/// Its body does not come.
const UNFINISHED_BODY: &str = r"POST /v1/actions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";

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

/// Sends COUNT requests REQUEST, each on a connection of its own, from as many processes as hold eight each, and holds
/// the connections.
const WAITING_CALLS: &str = r#"
    use Socket; $| = 1; my ($path, $count, $request) = @ARGV; my ($parent, @held) = ($$);
    $request =~ s/\\r\\n/\r\n/g;
    pipe(my $ready, my $done) or die $!;
    for (1 .. $count / 8) {
        next if fork;
        for (1 .. 8) {
            socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
            connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
            syswrite($caller, $request);
            push @held, $caller;
        }
        syswrite($done, "x");
        sleep 1 while getppid() == $parent;
        exit;
    }
    sysread($ready, my $byte, 1) for 1 .. $count / 8;
    print "flooded\n"; sleep 600;
"#;

/// Asks whether the device is no longer entitled, COUNT times from one process, and prints the status lines that came
/// within a second; the rest wait.
const ONE_WAITING_PROCESS: &str = r#"
    use Socket; $| = 1; my ($path, $count) = @ARGV; my @held;
    for (1 .. $count) {
        socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
        syswrite($caller, "GET /v1/entitlement?wait=false HTTP/1.1\r\nHost: x\r\n\r\n");
        push @held, $caller;
    }
    print "flooded\n";
    for my $caller (@held) { my $line = <$caller>; print $line; }
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
    // More than all places of all users.
    let _flood = flood(&rig, &device, UNFINISHED_BODIES, "200");

    let start = Instant::now();
    assert!(pawlctl(&device).status.success(), "the daemon's own user: {:?}", pawlctl(&device));
    assert_served(&device, WORKLOAD, "another user");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[test]
fn unfinished_bodies_of_a_users_processes_give_way_to_its_next_call() {
    let (rig, device) = device();
    let _flood = flood_by(&rig, &device, WORKLOAD, WAITING_CALLS, &["64", UNFINISHED_BODY]);
    assert_served(&device, WORKLOAD, "the user whose bodies do not end");
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
fn a_connection_that_sends_no_request_is_closed_after_its_deadline() {
    let (rig, device) = device();
    let log = rig.directory().log("silent");
    let silent = user(
        WORKLOAD,
        r#"
        use Socket; my ($path) = @ARGV;
        socket(my $caller, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($caller, pack_sockaddr_un($path)) or die "connect: $!";
        print sysread($caller, my $byte, 1) == 0 ? "closed" : "answered";
        "#,
        &device,
        &[],
    );
    let mut caller = Process::spawn("silent", &silent, &log).unwrap();
    caller.wait_for_end().unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "closed");
}

#[test]
fn pawlctl_gets_through_a_flood_of_connections() {
    let (rig, device) = device();
    let _flood = flood(&rig, &device, CONNECTIONS, "200");
    let failed: Vec<Output> =
        (0..50).map(|_| pawlctl(&device)).filter(|output| !output.status.success()).collect();
    assert!(failed.is_empty(), "{} of 50 failed: {:?}", failed.len(), failed[0]);
}

#[test]
fn calls_that_wait_for_the_entitlement_take_no_place_of_other_calls() {
    let (rig, device) = device();
    let _flood = flood_by(&rig, &device, WORKLOAD, WAITING_CALLS, &["64", WAIT]);

    assert_served(&device, WORKLOAD, "the user whose calls wait");
    assert!(pawlctl(&device).status.success(), "the daemon's own user: {:?}", pawlctl(&device));
}

#[test]
fn users_whose_calls_wait_lock_no_other_user_out() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can call as several users");
        return;
    }
    let (rig, device) = device();
    let _floods: Vec<Process> = (0..4)
        .map(|number| flood_by(&rig, &device, ATTACKER - 10 - number, WAITING_CALLS, &["64", WAIT]))
        .collect();

    assert_served(&device, WORKLOAD, "another user");
    let mut unit = hold(&rig, &device);
    let log = rig.directory().log("another-wait");
    let wait_once = user(WORKLOAD, ONE_WAITING_PROCESS, &device, &["1"]);
    let mut other = Process::spawn("another-wait", &wait_once, &log).unwrap();
    wait::until("another user's call waits", wait::SOON, || {
        other.check_running()?;
        anyhow::ensure!(other.log()?.contains("flooded"), "not yet");
        Ok(())
    })
    .unwrap();
    assert!(pawlctl(&device).status.success(), "the daemon's own user: {:?}", pawlctl(&device));
    unit.check_running().unwrap();

    device.wipe("the end of the entitlement").unwrap();
    assert_eq!(unit.wait_for_end().unwrap().code(), Some(0), "{}", unit.log().unwrap());
    other.wait_for_end().unwrap();
    assert!(other.log().unwrap().contains("HTTP/1.1 200"), "{}", other.log().unwrap());
}

#[test]
fn a_process_whose_calls_wait_leaves_places_to_the_others_of_its_user() {
    let (rig, device) = device();
    let log = rig.directory().log("one-process");
    let calls = user(WORKLOAD, ONE_WAITING_PROCESS, &device, &["40"]);
    let mut process = Process::spawn("one-process", &calls, &log).unwrap();
    wait::until("its calls stand", wait::SOON, || {
        process.check_running()?;
        anyhow::ensure!(process.log()?.contains("flooded"), "not yet");
        Ok(())
    })
    .unwrap();
    let other = flood_by(&rig, &device, WORKLOAD, WAITING_CALLS, &["8", WAIT]);

    device.wipe("the end of the entitlement").unwrap();
    process.wait_for_end().unwrap();
    let answers = process.log().unwrap();
    let (served, refused) =
        (answers.matches("HTTP/1.1 200").count(), answers.matches("HTTP/1.1 429").count());
    assert!(served == 8 && refused > 0, "{answers}");
    drop(other);
}

#[test]
fn actions_for_which_the_control_plane_does_not_answer_take_no_place_of_other_calls() {
    let (rig, device) = device();
    rig.control_plane.freeze().unwrap();
    let body = r#"{"action":"x","resource":"x","digest":"0000000000000000000000000000000000000000000000000000000000000000","session":"x"}"#;
    let request =
        format!(r"POST /v1/actions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _flood = flood_by(&rig, &device, WORKLOAD, WAITING_CALLS, &["64", &request]);

    assert_served(&device, WORKLOAD, "the user whose actions wait");
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
    flood_by(rig, device, ATTACKER, script, &[count])
}

fn flood_by(rig: &Rig, device: &Device, attacker: u32, script: &str, arguments: &[&str]) -> Process {
    let name = format!("flood-{attacker}");
    let log = rig.directory().log(&name);
    let mut flood = Process::spawn(&name, &user(attacker, script, device, arguments), &log).unwrap();
    wait::until("the flood stands", wait::SOON, || {
        flood.check_running()?;
        anyhow::ensure!(flood.log()?.contains("flooded"), "not yet: {}", flood.log()?);
        Ok(())
    })
    .unwrap();
    flood
}

/// What `pawl-entitled.service` runs, once it waits for the end of the entitlement.
fn hold(rig: &Rig, device: &Device) -> Process {
    let log = rig.directory().log("hold");
    let notified = rig.directory().path().join("notified");
    let listener = UnixDatagram::bind(&notified).unwrap();
    listener.set_read_timeout(Some(wait::SOON)).unwrap();
    let mut command = device.pawlctl_command(&["entitled", "--hold"]).unwrap();
    command.env("NOTIFY_SOCKET", &notified);
    let unit = Process::spawn("hold", &command, &log).unwrap();
    let mut message = [0; 64];
    let length = listener.recv(&mut message).unwrap();
    assert!(message[..length].starts_with(b"READY=1"), "{}", unit.log().unwrap());
    unit
}

/// The daemon answers this user's `GET /v1/status` at once.
fn assert_served(device: &Device, caller: u32, who: &str) {
    let start = Instant::now();
    let output = user(caller, STATUS, device, &[]).output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.starts_with("HTTP/1.1 200"), "{who}: {output:?}");
    assert!(start.elapsed() < AT_ONCE, "{who}: {:?}", start.elapsed());
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
