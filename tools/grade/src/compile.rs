//! Builds the lab's own crates, or takes their build from the cache, and then builds the hand-in.

use crate::cargo_messages::{shown_errors, test_binary};
use crate::confine::{self, Allowance, Kind};
use crate::folders::Folders;
use crate::lab::Lab;
use crate::limits;
use crate::processor_time;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, getuid, kill_process_group};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How many bytes of a build's output are kept.
const KEPT: u64 = 16 << 20;

/// Bytes of memory for the compiler.
const MEMORY: u64 = 4 << 30;

/// The test targets of raft and of kvraft: the lab's tests, and the program that hunts.
const TESTS: &str = "test_test";
const HUNT: &str = "hunt";

/// Stands in for the compiler when a hand-in is built.
const COMPILER: &str = include_str!("rustc.sh");

/// The compiler's options for programs that do little work of their own: compiling them well takes longer than it saves.
const NOT_OPTIMISED: &str = "-Copt-level=0";

/// The compiler's options for a hand-in that runs in simulation only. In one part it is compiled nearly as fast as with a lower level.
/// With that, a solution that encodes its whole log at each save takes six times as long to simulate.
const IN_ONE_PART: &str = "-Copt-level=2 -Ccodegen-units=1 -Clto=off";

/// How often to look at the processor time of a build.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// With a lower limit on processes than this, cargo runs at most two compilers at a time: each starts threads of its own.
const FEW_PROCESSES: u64 = 400;

/// The Rust toolchain itself, not rustup's links to it: a build has another HOME, where rustup would find nothing.
pub struct Toolchain {
    sysroot: PathBuf,
    version: String,
}

impl Toolchain {
    pub fn find() -> Result<Toolchain> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |question: &[&str]| -> Result<String> {
            let output = Command::new(&rustc).args(question).stderr(Stdio::inherit()).output();
            let output =
                output.with_context(|| format!("cannot start {rustc:?}; install Rust with rustup"))?;
            ensure!(output.status.success(), "{rustc:?} {} failed", question.join(" "));
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        Ok(Toolchain { sysroot: ask(&["--print", "sysroot"])?.into(), version: ask(&["-vV"])? })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }
}

/// Builds in the work folders.
pub struct Builder<'a> {
    pub toolchain: &'a Toolchain,
    pub folders: &'a Folders,
    /// The lab whose tests are built.
    pub lab: Lab,
    /// The sources of all dependencies, if they come with the workspace.
    pub vendor: Option<PathBuf>,
    /// True if something will be simulated.
    pub simulator: bool,
    /// True if the program that hunts is built too.
    pub hunts: bool,
    /// True if it hunts for long. The integrity gate makes only a few runs.
    pub hunts_long: bool,
    /// True if tests run in real time too. Then everything is built as students build it, but for the gate's program.
    pub in_real_time: bool,
}

/// The programs that were built with a hand-in.
pub struct Programs {
    /// The test binary.
    pub tests: PathBuf,
    /// The program that hunts, if there is to be a hunt.
    pub hunt: Option<PathBuf>,
}

/// What became of a hand-in.
pub enum Built {
    /// Its programs.
    Programs(Programs),
    /// The reason why there are none.
    Broken(String),
}

/// How a build ended.
enum Ended {
    /// With cargo's messages.
    Well(String),
    /// With cargo's messages and what it printed for people.
    Badly(String, String),
    /// It took too long. With the processor time that it got, if this system tells it.
    TimeUp(Option<Duration>),
    /// It used too much processor time.
    Overspent,
}

/// How long a build may take.
#[derive(Clone, Copy)]
struct Limit {
    time: Duration,
    /// Processor time, of all its processes together. Unlike time, it does not depend on what else the machine does.
    processor_time: Option<Duration>,
}

impl Builder<'_> {
    /// Builds what no student wrote. Takes the build from the cache if the cache fits, and fills the cache otherwise.
    pub fn build_pristine(&self, cache: Option<&Path>, limit: Duration) -> Result<()> {
        self.write_config()?;
        // Cargo removes from Cargo.lock what this build does not need; the stamp is made before that.
        let stamp = self.stamp()?;
        let warm = cache.is_some_and(|cache| self.copy_cache(cache, &stamp));
        workspace::lay_empty_files(&self.folders.workspace())?;
        // Confined as the hand-in is: if something is closed to compilers, the grader fails here, and not the hand-in later.
        let mut command = self.cargo();
        command.args(["build", "--offline", "--lib"]);
        command.args([
            "-p",
            "harness",
            "-p",
            "labrpc",
            "-p",
            "labgob",
            "-p",
            "linearizability",
            "-p",
            "hunt",
        ]);
        self.set_up(&mut command);
        match run(command, Limit { time: limit, processor_time: None })? {
            Ended::Well(_) => {}
            Ended::Badly(_, errors) if getuid().is_root() => bail!(
                "the lab's own crates do not build. Root's compilers can read only what root owns and what everybody may read, \
                 whatever folders it lies in:\n{errors}"
            ),
            Ended::Badly(_, errors) => bail!("the lab's own crates do not build:\n{errors}"),
            Ended::TimeUp(_) | Ended::Overspent => {
                bail!("the lab's own crates were not built within {} s", limit.as_secs())
            }
        }
        if let Some(cache) = cache.filter(|_| !warm) {
            // Ignore an error: the next grading then builds as slowly as this one.
            let _ = self.fill_cache(cache, &stamp);
        }
        Ok(())
    }

    /// Builds the tests with the hand-in. `limit`: how much processor time it may use; where the system does not tell that, how
    /// much time. `left`: how much time there is.
    ///
    /// # Errors
    /// Also when the machine was too busy for the build: that is not the hand-in's fault.
    pub fn build_handin(&self, limit: Duration, left: Duration) -> Result<Built> {
        let mut command = self.cargo();
        command.args(["test", "--offline", "--no-run", "-p", self.lab.package(), "--test", TESTS]);
        command.args(["--message-format", "json"]);
        if self.hunts {
            command.args(["--test", HUNT]);
        }
        self.set_up(&mut command);
        self.stand_in_for_compiler(&mut command)?;
        let time = if processor_time::IS_KNOWN { left } else { limit.min(left) };
        Ok(match run(command, Limit { time, processor_time: Some(limit) })? {
            Ended::Well(messages) => {
                let program =
                    |target| test_binary(&messages, target).context("cargo does not say what it has built");
                let hunt = self.hunts.then(|| program(HUNT)).transpose()?;
                Built::Programs(Programs { tests: program(TESTS)?, hunt })
            }
            Ended::Badly(messages, errors) => Built::Broken(shown_errors(&messages, &errors)),
            Ended::Overspent => {
                Built::Broken(format!("It did not compile within {} s of processor time.", limit.as_secs()))
            }
            Ended::TimeUp(None) => Built::Broken(format!("It did not compile within {} s.", time.as_secs())),
            Ended::TimeUp(Some(got)) => bail!(
                "the hand-in was not compiled within {} s, and had got only {} s of processor time: the machine is too \
                 busy; grade again, with less beside it or with a later --deadline",
                time.as_secs(),
                got.as_secs()
            ),
        })
    }

    /// What the hand-in's macros have expanded to in this package, as the compiler has printed it. None: this compiler cannot.
    pub fn expanded(&self, package: &str) -> Option<String> {
        fs::read_to_string(self.expanded_folder().join(package).with_extension("rs")).ok()
    }

    fn expanded_folder(&self) -> PathBuf {
        self.folders.root().join("expanded")
    }

    /// Makes cargo call [`COMPILER`], which adds options to those of cargo and prints expanded code. Cargo does not see these
    /// options, so it takes what was built without them for up to date: they are for the crates of the hand-in alone.
    fn stand_in_for_compiler(&self, command: &mut Command) -> Result<()> {
        let (program, expanded) = (self.folders.root().join("rustc.sh"), self.expanded_folder());
        fs::create_dir_all(&expanded)
            .and_then(|()| fs::write(&program, COMPILER))
            .and_then(|()| fs::set_permissions(&program, PermissionsExt::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", program.display()))?;
        let unless = |is_needed: bool, options: &'static str| if is_needed { "" } else { options };
        command
            .env("RUSTC_WRAPPER", program)
            .env("GRADE_EXPANDED", expanded)
            .env("GRADE_LIBRARY", unless(self.in_real_time, IN_ONE_PART))
            .env("GRADE_TESTS", unless(self.in_real_time, NOT_OPTIMISED))
            .env("GRADE_HUNT", unless(self.hunts_long, NOT_OPTIMISED));
        Ok(())
    }

    /// Cargo in a confined process.
    fn cargo(&self) -> Command {
        let folders = self.folders;
        let mut read = vec![self.toolchain.sysroot.clone(), folders.root().to_path_buf()];
        match &self.vendor {
            Some(vendor) => read.push(vendor.clone()),
            // Nothing else of cargo's home: it may hold credentials.
            None => read.extend(["registry", "git", "config.toml"].map(|part| self.cargo_home().join(part))),
        }
        let write = vec![folders.root().to_path_buf()];
        let (kind, processes) = (Kind::Compiler, limits::processes());
        let allowance = Allowance { kind, memory: MEMORY, processes, read, write, user: None };
        confine::command(&self.toolchain.program("cargo"), &allowance)
    }

    fn set_up(&self, command: &mut Command) {
        let folders = self.folders;
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let few = limits::process_limit().is_some_and(|limit| limit < FEW_PROCESSES);
        let jobs = if few { jobs.min(2) } else { jobs };
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().current_dir(folders.workspace());
        command
            .env("PATH", path)
            .env("HOME", folders.home())
            .env("TMPDIR", folders.temporary())
            .env("CARGO_HOME", self.cargo_home())
            .env("CARGO_TARGET_DIR", folders.target())
            .env("CARGO_BUILD_JOBS", jobs.to_string())
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TERM_COLOR", "never")
            .env("RUSTC", self.toolchain.program("rustc"))
            .env("RUSTFLAGS", self.flags());
    }

    /// Forbids unsafe code, except in the dependencies and in the simulator, which needs it.
    ///
    /// Without seeds and a hunt, the simulator is built as a crate that does nothing. With them, unsafe code is denied
    /// instead of forbidden: the simulator allows itself what is denied, and a hand-in cannot, because the roots of its crates
    /// forbid it.
    fn flags(&self) -> &'static str {
        if self.simulator { "-Dunsafe_code" } else { "-Funsafe_code --cfg lab_without_sim" }
    }

    /// Cargo's home: the user's own, unless the workspace has the sources of all dependencies.
    fn cargo_home(&self) -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
        match &self.vendor {
            Some(_) => self.folders.home().join("cargo"),
            None => std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from),
        }
    }

    fn write_config(&self) -> Result<()> {
        let Some(vendor) = &self.vendor else { return Ok(()) };
        workspace::use_vendored_sources(&self.folders.workspace(), vendor)
    }

    /// What a cache must have been built from, if this build is to use it.
    ///
    /// Cargo looks at the times of files only. A file that is older than the build, and another one, would be overlooked.
    fn stamp(&self) -> Result<String> {
        let workspace = self.folders.workspace();
        let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
        let sources = workspace::fingerprint(&workspace)
            .with_context(|| format!("cannot read {}", workspace.display()))?;
        // The sources that come with the workspace lie below a folder that each grading makes anew.
        let home = if self.vendor.is_some() { PathBuf::new() } else { self.cargo_home() };
        let (version, flags) = (&self.toolchain.version, self.flags());
        Ok(format!("{version}\n{flags}\n{}\n{sources:016x}\n{lock}", home.display()))
    }

    /// Copies the cache into the work folders. Returns false if there is none that fits.
    fn copy_cache(&self, cache: &Path, stamp: &str) -> bool {
        fs::read_to_string(cache.join("stamp")).is_ok_and(|of| of == stamp)
            && workspace::copy_folder(&cache.join("target"), &self.folders.target()).is_ok()
    }

    /// Must run before a student's code is compiled.
    fn fill_cache(&self, cache: &Path, stamp: &str) -> io::Result<()> {
        let cache = std::path::absolute(cache)?;
        let parent = cache.parent().unwrap_or(&cache);
        fs::create_dir_all(parent)?;
        // In the same file system, so that the whole cache can be moved to its place at once.
        let filled = tempfile::Builder::new().prefix("grade-cache-").tempdir_in(parent)?;
        let new = filled.path().join("cache");
        workspace::copy_folder(&self.folders.target(), &new.join("target"))?;
        fs::write(new.join("stamp"), stamp)?;
        if cache.exists() {
            fs::remove_dir_all(&cache)?;
        }
        fs::rename(&new, &cache)
    }
}

/// Runs a build in a process group of its own.
fn run(mut command: Command, limit: Limit) -> Result<Ended> {
    let deadline = Instant::now() + limit.time;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().context("cannot start cargo")?;
    let (tx, rx) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for (i, stream) in streams.into_iter().flatten().enumerate() {
        let tx = tx.clone();
        std::thread::spawn(move || {
            let (mut kept, mut stream) = (Vec::new(), stream);
            // Ignore errors: what was read counts.
            let _ = stream.by_ref().take(KEPT).read_to_end(&mut kept);
            // Read the rest too: a full pipe would stop the writer.
            let _ = io::copy(&mut stream, &mut io::sink());
            // An error means that the time is up, and that nobody waits.
            let _ = tx.send((i, String::from_utf8_lossy(&kept).into_owned()));
        });
    }
    let group = Pid::from_child(&child);
    let mut texts = [String::new(), String::new()];
    let mut missing = 2;
    while missing > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Ok((i, text)) = rx.recv_timeout(left.min(LOOK_INTERVAL)) {
            texts[i] = text;
            missing -= 1;
            continue;
        }
        let used = processor_time::of_group(group);
        let is_overspent = limit.processor_time.is_some_and(|limit| used.is_some_and(|used| used >= limit));
        if left.is_zero() || is_overspent {
            // Ignore errors: the group may have ended meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.wait();
            return Ok(if is_overspent { Ended::Overspent } else { Ended::TimeUp(used) });
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    let [out, err] = texts;
    Ok(if status.success() { Ended::Well(out) } else { Ended::Badly(out, format!("{err}({status})")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_without_the_simulator_is_none_for_a_build_with_it() {
        let toolchain = Toolchain { sysroot: PathBuf::new(), version: "rustc 1".to_string() };
        let folders = Folders::make(None).unwrap();
        let pristine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        workspace::copy_pristine(&pristine, &folders.workspace()).unwrap();
        let [without, with] = [false, true].map(|simulator| {
            let lab = Lab::Three;
            let builder = Builder {
                toolchain: &toolchain,
                folders: &folders,
                lab,
                vendor: None,
                simulator,
                hunts: false,
                hunts_long: false,
                in_real_time: true,
            };
            builder.stamp().unwrap()
        });
        assert_ne!(without, with);
    }

    #[test]
    fn a_build_that_takes_too_long_is_stopped_with_all_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        let began = Instant::now();
        let limit = Limit { time: Duration::from_millis(300), processor_time: None };
        assert!(matches!(run(command, limit), Ok(Ended::TimeUp(_))));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_build_that_computes_too_long_is_told_from_one_that_waits() {
        let limit = Limit { time: Duration::from_secs(60), processor_time: Some(Duration::from_millis(200)) };
        let mut computes = Command::new("sh");
        computes.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        assert!(matches!(run(computes, limit), Ok(Ended::Overspent)));
        let mut waits = Command::new("sleep");
        waits.arg("600");
        let ended = run(waits, Limit { time: Duration::from_secs(1), ..limit });
        assert!(matches!(ended, Ok(Ended::TimeUp(Some(used))) if used < Duration::from_millis(200)));
    }

    #[test]
    fn both_outputs_are_kept_whatever_their_size() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero | tr '\\0' x; echo error >&2; exit 3"]);
        let limit = Limit { time: Duration::from_secs(20), processor_time: None };
        let Ok(Ended::Badly(out, err)) = run(command, limit) else { panic!("it fails") };
        assert_eq!(out.len(), 300_000);
        assert!(err.starts_with("error\n") && err.contains("exit status: 3"), "{err}");
    }
}
