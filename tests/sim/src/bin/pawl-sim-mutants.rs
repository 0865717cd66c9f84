//! Puts faults back into a copy of the code, and checks that the simulator finds each: `./dev sim --mutants`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::Parser;
use pawl_sim::mutants::{Mutant, Mutants, UnitTest};
use pawl_sim::promises::Promise;

/// Builds the simulator with each mutant in turn, and runs it until it breaks a promise that the mutant names.
#[derive(Parser)]
#[command(name = "pawl-sim-mutants")]
struct Arguments {
    /// Only mutants whose names contain one of these texts [default: all].
    names: Vec<String>,
    /// Limit of processor time for each simulator and mutant, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Number of simulators that run at a time [default: one per processor].
    #[arg(long)]
    simulators: Option<usize>,
}

/// Seeds per simulator: more than a simulator can run within its time limit.
const SEEDS: usize = 1_000_000;
/// A simulator that hangs uses no processor time. The search ends after this many times the limit, in real time.
const PATIENCE: u32 = 30;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pawl-sim-mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What became of a mutant.
enum Outcome {
    Found {
        by: String,
        seed: String,
    },
    /// It broke only these other promises.
    Survived(BTreeSet<String>),
    DoesNotBuild(String),
}

/// Returns whether each mutant was found, and nothing broke without a mutant.
fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = env::current_dir()?;
    let mut mutants = Mutants::of(&workspace)?.mutant;
    mutants.retain(|mutant| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| mutant.name.contains(name.as_str()))
    });
    // Where the next mutant is in the same crate, no other crate is built for it.
    mutants.sort_by_key(Mutant::builds);
    let copy = Copy::new(&workspace)?;
    copy.build()?;
    fs::copy(copy.simulator(), copy.healthy())?;
    println!("{:<66} {:>5}  {:<14} {:<34} {:>8} {:>7}", "mutant", "fault", "", "by", "seed", "seconds");
    let (mut found, mut survived, mut broken) = (0, 0, BTreeSet::new());
    for mutant in &mutants {
        let (outcome, seconds) = examine(&copy, mutant, arguments, &mut broken)
            .map_err(|error| format!("{}: {error}", mutant.name))?;
        let (result, by, seed) = match outcome {
            Outcome::Found { by, seed } => ("found", by, seed),
            Outcome::Survived(others) => ("SURVIVED", Vec::from_iter(others).join(", "), String::new()),
            Outcome::DoesNotBuild(error) => {
                eprintln!("{}: {error}", mutant.name);
                ("DOES NOT BUILD", String::new(), String::new())
            }
        };
        *(if result == "found" { &mut found } else { &mut survived }) += 1;
        let fault = mutant.fault.map(|fault| fault.to_string()).unwrap_or_default();
        println!("{:<66} {fault:>5}  {result:<14} {by:<34} {seed:>8} {seconds:>7.1}", mutant.name);
    }
    println!("{found} found, {survived} not found");
    Ok(survived == 0 && broken.is_empty())
}

/// Puts one mutant in, looks for it, and takes it out. Returns how many seconds it took to find it. `broken` gets what the
/// code breaks without the mutant.
fn examine(
    copy: &Copy,
    mutant: &Mutant,
    arguments: &Arguments,
    broken: &mut BTreeSet<String>,
) -> Result<(Outcome, f64)> {
    let mutated = mutant.files(&copy.tree)?;
    let mut healthy = Vec::new();
    for (file, _) in &mutated {
        healthy.push((file.clone(), fs::read_to_string(copy.tree.join(file))?));
    }
    copy.put(&mutated)?;
    let outcome = match &mutant.test {
        Some(test) => copy.test(test),
        None => match copy.build() {
            Ok(()) => copy.search(mutant, arguments, broken),
            Err(error) => Ok((Outcome::DoesNotBuild(error.to_string()), 0.0)),
        },
    };
    copy.put(&healthy)?;
    outcome
}

/// A copy of the tracked files, in which mutants are built.
struct Copy {
    tree: PathBuf,
    build: PathBuf,
}

impl Copy {
    /// Copies what differs from the last copy, and removes what is gone: the rest is not built again. From here on nothing
    /// is read from the workspace, which may change meanwhile.
    fn new(workspace: &Path) -> Result<Self> {
        let folder = workspace.join("target/sim-mutants");
        let copy = Self { tree: folder.join("tree"), build: folder.join("build") };
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace).output()?;
        let listed = String::from_utf8(listed.stdout)?;
        // A link to a folder, or a file that was removed and not committed yet, is no file.
        let names = listed.split_terminator('\0').map(Path::new);
        let names: BTreeSet<&Path> = names.filter(|name| workspace.join(name).is_file()).collect();
        fs::create_dir_all(&copy.tree)?;
        copy.remove_others(&copy.tree, &names)?;
        for name in names {
            let (contents, to) = (fs::read(workspace.join(name))?, copy.tree.join(name));
            if fs::read(&to).ok().as_ref() != Some(&contents) {
                fs::create_dir_all(to.parent().unwrap_or(&copy.tree))?;
                fs::write(to, contents)?;
            }
        }
        Ok(copy)
    }

    /// Removes the files of a folder of the copy that have none of these names.
    fn remove_others(&self, folder: &Path, names: &BTreeSet<&Path>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.remove_others(&path, names)?;
            } else if !names.contains(path.strip_prefix(&self.tree)?) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn put(&self, files: &[(PathBuf, String)]) -> Result<()> {
        for (file, text) in files {
            fs::write(self.tree.join(file), text)?;
        }
        Ok(())
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(command).current_dir(&self.tree).arg("--target-dir").arg(&self.build);
        cargo.args(["--quiet", "--profile", "sim", "--config", "profile.sim.incremental=true"]);
        // Each mutant is built once and runs for seconds: of these crates as little as possible is compiled again.
        cargo.args(["--config", "profile.sim.opt-level=1"]);
        for name in ["pawld", "pawl-control-plane", "pawl-verifier", "pawl-sim"] {
            cargo.arg("--config").arg(format!("profile.sim.package.{name}.codegen-units=256"));
        }
        cargo
    }

    fn build(&self) -> Result<()> {
        let built = self.cargo("build").args(["--package", "pawl-sim", "--bin", "pawl-sim"]).output()?;
        if built.status.success() {
            return Ok(());
        }
        Err(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr)).into())
    }

    fn simulator(&self) -> PathBuf {
        self.build.join("sim/pawl-sim")
    }

    /// The simulator without a mutant.
    fn healthy(&self) -> PathBuf {
        self.build.join("sim/pawl-sim-healthy")
    }

    /// Runs simulators, each with seeds of its own, until one of the mutant's promises is broken that the code keeps without
    /// the mutant, or the time is over.
    fn search(
        &self,
        mutant: &Mutant,
        arguments: &Arguments,
        broken: &mut BTreeSet<String>,
    ) -> Result<(Outcome, f64)> {
        let limit = Duration::from_secs(arguments.seconds);
        let count = arguments.simulators.or_else(|| thread::available_parallelism().map(usize::from).ok());
        let (prints, printed) = mpsc::channel();
        let mut simulators = Vec::new();
        for number in 0..count.unwrap_or(1) {
            let mut simulator = Command::new(self.simulator())
                .args([SEEDS.to_string(), "--keep-going".to_owned(), "--first".to_owned()])
                .arg((number * SEEDS + 1).to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let lines = BufReader::new(simulator.stdout.take().ok_or("the simulator has no output")?).lines();
            simulators.push(Simulator(simulator));
            let prints = prints.clone();
            thread::spawn(move || {
                let failures = lines.map_while(std::io::Result::ok).filter(|line| line.starts_with("seed "));
                // The receiver is gone once the mutant is found.
                let _ = failures.map(|line| prints.send(line)).take_while(std::result::Result::is_ok).count();
            });
        }
        drop(prints);
        let (begun, mut others) = (Instant::now(), BTreeSet::new());
        loop {
            let used = simulators.iter().map(Simulator::processor_time).max().unwrap_or_default();
            match printed.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    let (seed, by) = failure(&line);
                    if !mutant.breaks.contains(&by) {
                        others.insert(by);
                    } else if let Some(line) = self.breaks_without(&seed, &by)? {
                        println!("WITHOUT A MUTANT: {line}");
                        broken.insert(line);
                    } else {
                        return Ok((Outcome::Found { by, seed }, used.as_secs_f64()));
                    }
                }
                Err(RecvTimeoutError::Timeout) if used < limit && begun.elapsed() < limit * PATIENCE => {}
                Err(_) => return Ok((Outcome::Survived(others), used.as_secs_f64())),
            }
        }
    }

    /// Runs a seed without a mutant. Returns what is printed of it, if the same promise breaks.
    fn breaks_without(&self, seed: &str, by: &str) -> Result<Option<String>> {
        let ran = Command::new(self.healthy()).args(["--keep-going", "--seed", seed]).output()?;
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        let line = printed.lines().find(|line| line.starts_with("seed ") && failure(line).1 == by);
        Ok(line.map(str::to_owned))
    }

    /// Runs a test, which must exist and fail.
    fn test(&self, UnitTest { package, name, is_of_program }: &UnitTest) -> Result<(Outcome, f64)> {
        let target = if *is_of_program { "--bins" } else { "--lib" };
        let mut build = self.cargo("test");
        build.args(["--package", package, target, "--no-run"]);
        let built = build.output()?;
        if !built.status.success() {
            return Ok((Outcome::DoesNotBuild(String::from_utf8_lossy(&built.stderr).into_owned()), 0.0));
        }
        let begun = Instant::now();
        let ran = self.cargo("test").args(["--package", package, target, name]).output()?;
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        if output.contains("running 0 tests") {
            return Err(format!("{package} has no test {name}").into());
        }
        let outcome = match ran.status.success() {
            true => Outcome::Survived(BTreeSet::new()),
            false => Outcome::Found { by: format!("test {name}"), seed: String::new() },
        };
        Ok((outcome, begun.elapsed().as_secs_f64()))
    }
}

/// Reads `seed 17: the promise: what was seen`. Returns the seed and the promise's name.
fn failure(line: &str) -> (String, String) {
    let (seed, rest) = line.trim_start_matches("seed ").split_once(": ").unwrap_or((line, ""));
    let promise = Promise::ALL.iter().find(|promise| rest.starts_with(promise.text()));
    (seed.to_owned(), promise.map_or_else(|| rest.to_owned(), |promise| format!("{promise:?}")))
}

/// A running simulator, killed when it is dropped.
struct Simulator(Child);

impl Simulator {
    /// Returns how long processors have run it: on a busy machine that is less than the time that has passed.
    fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // proc_pid_stat(5): utime and stime, in hundredths of a second, are fields 14 and 15; the name, which may have
        // spaces, ends with the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
