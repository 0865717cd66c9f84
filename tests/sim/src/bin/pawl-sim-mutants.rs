//! Puts faults back into a copy of the code, and shows that each is found: `./dev sim --mutants`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::Parser;
use pawl_sim::mutants::{Mutant, Mutants, UnitTest};
use pawl_sim::promises::Promise;

/// Builds the simulator with one mutant after the other, and runs it until the mutant is found.
#[derive(Parser)]
#[command(name = "pawl-sim-mutants")]
struct Arguments {
    /// Mutants whose name has one of these texts; all without any.
    names: Vec<String>,
    /// Seconds for which the simulator looks for each.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Lifetimes on each processor.
    #[arg(long, default_value_t = 500)]
    lifetimes: u64,
}

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
    Found { by: String, seed: String },
    Survived,
}

/// Returns whether each mutant was found, and nothing without a mutant.
fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = env::current_dir()?;
    let mutants = Mutants::of(&workspace)?.mutant;
    let is_chosen = |mutant: &&Mutant| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| mutant.name.contains(name.as_str()))
    };
    let copy = Copy::new(&workspace)?;
    copy.build()?;
    // What breaks without a mutant says nothing about mutants: these seeds are left out.
    let mut known = BTreeSet::new();
    copy.simulate(arguments.lifetimes, None, |line| {
        println!("WITHOUT A MUTANT: {line}");
        known.insert(line.to_owned());
        false
    })?;
    println!("{:<62} {:>5}  {:<9} {:<40} {:>12} {:>8}", "mutant", "fault", "", "by", "seed", "seconds");
    let (mut found, mut survived) = (0, 0);
    for mutant in mutants.iter().filter(is_chosen) {
        let (outcome, seconds) =
            examine(&copy, mutant, arguments, &known).map_err(|error| format!("{}: {error}", mutant.name))?;
        let (result, by, seed) = match outcome {
            Outcome::Found { by, seed } => ("found", by, seed),
            Outcome::Survived => ("SURVIVED", String::new(), String::new()),
        };
        *(if result == "found" { &mut found } else { &mut survived }) += 1;
        // One that is found by another promise than it was made for is found all the same.
        let mark =
            if by.is_empty() || mutant.test.is_some() || mutant.breaks.contains(&by) { "" } else { " *" };
        let fault = mutant.fault.map(|fault| fault.to_string()).unwrap_or_default();
        println!("{:<62} {fault:>5}  {result:<9} {:<40} {seed:>12} {seconds:>8.1}", mutant.name, by + mark);
    }
    println!("{found} found, {survived} survived (* by another promise than it was made for)");
    Ok(survived == 0 && known.is_empty())
}

/// Puts one mutant in, looks for it, and takes it out. Returns how many seconds it took to find it.
fn examine(
    copy: &Copy,
    mutant: &Mutant,
    arguments: &Arguments,
    known: &BTreeSet<String>,
) -> Result<(Outcome, f64)> {
    let files = mutant.files(&copy.workspace)?;
    copy.put(&files)?;
    let outcome = match &mutant.test {
        Some(test) => copy.test(test),
        None => copy.build().and_then(|()| {
            let begun = Instant::now();
            let mut outcome = Outcome::Survived;
            copy.simulate(arguments.lifetimes, Some(Duration::from_secs(arguments.seconds)), |line| {
                let is_new = !known.contains(line);
                if is_new {
                    outcome = found(line);
                }
                is_new
            })?;
            Ok((outcome, begun.elapsed().as_secs_f64()))
        }),
    };
    copy.restore(&files)?;
    outcome
}

/// A copy of the tracked files, in which mutants are built.
struct Copy {
    workspace: PathBuf,
    tree: PathBuf,
    build: PathBuf,
}

impl Copy {
    /// Copies what differs from the last copy: the rest is not built again.
    fn new(workspace: &Path) -> Result<Self> {
        let folder = workspace.join("target/sim-mutants");
        let copy =
            Self { workspace: workspace.to_owned(), tree: folder.join("tree"), build: folder.join("build") };
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace).output()?;
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            copy.copy(Path::new(name))?;
        }
        Ok(copy)
    }

    fn copy(&self, file: &Path) -> Result<()> {
        let (from, to) = (self.workspace.join(file), self.tree.join(file));
        // A link to a folder, or a file that was removed and not committed yet.
        if !from.is_file() {
            return Ok(());
        }
        let contents = fs::read(&from)?;
        if fs::read(&to).ok().as_ref() != Some(&contents) {
            fs::create_dir_all(to.parent().unwrap_or(&self.tree))?;
            fs::write(to, contents)?;
        }
        Ok(())
    }

    fn put(&self, files: &[(PathBuf, String)]) -> Result<()> {
        for (file, text) in files {
            fs::write(self.tree.join(file), text)?;
        }
        Ok(())
    }

    fn restore(&self, files: &[(PathBuf, String)]) -> Result<()> {
        files.iter().try_for_each(|(file, _)| self.copy(file))
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(command).current_dir(&self.tree).arg("--target-dir").arg(&self.build);
        cargo.args(["--quiet", "--profile", "sim", "--config", "profile.sim.incremental=true"]);
        cargo
    }

    fn build(&self) -> Result<()> {
        let built = self.cargo("build").args(["--package", "pawl-sim", "--bin", "pawl-sim"]).output()?;
        if built.status.success() {
            return Ok(());
        }
        Err(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr)).into())
    }

    /// Runs one simulator for each processor, each with seeds of its own, until `is_enough` of a failure that is printed,
    /// or the time is over.
    fn simulate(
        &self,
        lifetimes: u64,
        limit: Option<Duration>,
        mut is_enough: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        let (prints, printed) = mpsc::channel();
        let mut simulators = Vec::new();
        for number in 0..thread::available_parallelism().map_or(1, usize::from) {
            let mut simulator = Command::new(self.build.join("sim/pawl-sim"))
                .arg(lifetimes.to_string())
                .args(["--keep-going", "--first"])
                .arg((number * 1_000_000 + 1).to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let lines = BufReader::new(simulator.stdout.take().ok_or("the simulator has no output")?).lines();
            simulators.push(Simulator(simulator));
            let prints = prints.clone();
            thread::spawn(move || {
                let failures = lines.map_while(std::io::Result::ok).filter(|line| line.starts_with("seed "));
                // Nobody listens any more once there is enough.
                let _ = failures.map(|line| prints.send(line)).take_while(std::result::Result::is_ok).count();
            });
        }
        drop(prints);
        let begun = Instant::now();
        loop {
            let left = limit.map_or(Duration::from_secs(3600), |limit| limit.saturating_sub(begun.elapsed()));
            match printed.recv_timeout(left) {
                Ok(line) if !is_enough(&line) => {}
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// Runs a test, which must exist and fail.
    fn test(&self, UnitTest { package, name }: &UnitTest) -> Result<(Outcome, f64)> {
        let mut build = self.cargo("test");
        build.args(["--package", package, "--lib", "--no-run"]);
        let built = build.output()?;
        if !built.status.success() {
            return Err(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr)).into());
        }
        let begun = Instant::now();
        let ran = self.cargo("test").args(["--package", package, "--lib", name]).output()?;
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        if output.contains("running 0 tests") {
            return Err(format!("{package} has no test {name}").into());
        }
        let outcome = match ran.status.success() {
            true => Outcome::Survived,
            false => Outcome::Found { by: format!("test {name}"), seed: String::new() },
        };
        Ok((outcome, begun.elapsed().as_secs_f64()))
    }
}

/// Reads `seed 17: the promise: what was seen`.
fn found(line: &str) -> Outcome {
    let (seed, rest) = line.trim_start_matches("seed ").split_once(": ").unwrap_or((line, ""));
    let promise = Promise::ALL.iter().find(|promise| rest.starts_with(promise.text()));
    let by = promise.map_or_else(|| rest.to_owned(), |promise| format!("{promise:?}"));
    Outcome::Found { by, seed: seed.to_owned() }
}

/// A running simulator, killed when it is dropped.
struct Simulator(Child);

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
