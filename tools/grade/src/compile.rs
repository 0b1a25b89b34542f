//! Builds: first what is not the student's, then the hand-in.

use crate::confine::{self, Allowance};
use crate::layout::{self, Folders};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How many bytes of a build's output are kept, and how many of its errors are shown.
const KEPT: u64 = 16 << 20;
const SHOWN_ERRORS: usize = 3;
const SHOWN_BYTES: usize = 6000;

/// Memory for the compiler.
const MEMORY: u64 = 4 << 30;

/// A process limit below which cargo must not use all processors: rustc starts threads of its own.
const FEW_PROCESSES: u64 = 400;

/// The Rust toolchain, found without rustup's help, which a build cannot call: it has another home.
pub struct Toolchain {
    sysroot: PathBuf,
    version: String,
}

impl Toolchain {
    pub fn find() -> Result<Toolchain, String> {
        let ask = |what: &[&str]| -> Result<String, String> {
            let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
            let output = Command::new(rustc).args(what).stderr(Stdio::inherit()).output();
            let output = output.map_err(|e| format!("rustc is missing ({e}); install Rust with rustup"))?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        Ok(Toolchain { sysroot: ask(&["--print", "sysroot"])?.into(), version: ask(&["-vV"])? })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }
}

/// Builds in the work folder.
pub struct Builder<'a> {
    pub toolchain: &'a Toolchain,
    pub folders: &'a Folders,
    /// The sources of all dependencies, if they come with the workspace.
    pub vendor: Option<PathBuf>,
    /// Whether titles can be simulated.
    pub simulator: bool,
}

/// How a build ended.
enum Ended {
    Well(String),
    Badly(String, String),
    TimeUp,
}

impl Builder<'_> {
    /// Builds what no student wrote, with help of the cache.
    pub fn build_pristine(&self, cache: Option<&Path>, limit: Duration) -> Result<(), String> {
        self.write_config()?;
        // Cargo takes from Cargo.lock what is not needed; the cache is for what it was before.
        let stamp = self.stamp();
        let warm = cache.is_some_and(|cache| self.copy_cache(cache, &stamp));
        // Cargo loads every member's manifest, and wants to see its files.
        for (_, place) in *crate::archive::FILES {
            let place = self.folders.workspace().join(place);
            std::fs::write(&place, "").map_err(|e| format!("cannot write {}: {e}", place.display()))?;
        }
        let mut command = Command::new(self.toolchain.program("cargo"));
        command.args(["build", "--offline", "--lib", "-p", "titles", "-p", "labrpc", "-p", "labgob"]);
        command.args(["-p", "linearizability"]);
        self.set_up(&mut command);
        match run(command, limit)? {
            Ended::Well(_) => {}
            Ended::Badly(_, errors) => return Err(format!("the lab's own crates do not build:\n{errors}")),
            Ended::TimeUp => {
                return Err(format!("the lab's own crates are not built after {} s", limit.as_secs()));
            }
        }
        if let Some(cache) = cache.filter(|_| !warm) {
            self.fill_cache(cache, &stamp);
        }
        Ok(())
    }

    /// Builds the tests with the hand-in; gives the test binary, or why there is none.
    pub fn build_handin(&self, limit: Duration) -> Result<Result<PathBuf, String>, String> {
        let folders = self.folders;
        let mut read = vec![self.toolchain.sysroot.clone(), folders.root().to_path_buf()];
        match &self.vendor {
            Some(vendor) => read.push(vendor.clone()),
            // Nothing else of cargo's home: it may hold credentials.
            None => read.extend(["registry", "git", "config.toml"].map(|part| self.cargo_home().join(part))),
        }
        let write = vec![folders.root().to_path_buf()];
        let allowance = Allowance { memory: MEMORY, processes: crate::processes(), read, write, user: None };
        let mut command = confine::command(&self.toolchain.program("cargo"), &allowance);
        command.args(["test", "--offline", "--no-run", "-p", "kvraft", "--test", "test_test"]);
        command.args(["--message-format", "json"]);
        self.set_up(&mut command);
        Ok(match run(command, limit)? {
            Ended::Well(messages) => {
                Ok(test_binary(&messages).ok_or("cargo does not say what it has built")?)
            }
            Ended::Badly(messages, errors) => Err(shown_errors(&messages, &errors)),
            Ended::TimeUp => Err(format!("It was not compiled after {} s.", limit.as_secs())),
        })
    }

    fn set_up(&self, command: &mut Command) {
        let folders = self.folders;
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = if crate::process_limit().is_some_and(|limit| limit < FEW_PROCESSES) {
            jobs.min(2)
        } else {
            jobs
        };
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

    /// No unsafe code, but for what comes from elsewhere. The simulator cannot do without: it is built as a crate that
    /// does nothing, unless it is needed. Then it allows itself what is denied here; a hand-in cannot, because the roots of
    /// its crates forbid it.
    fn flags(&self) -> &'static str {
        if self.simulator { "-Dunsafe_code" } else { "-Funsafe_code --cfg lab_without_sim" }
    }

    /// The user's own, unless the workspace brings all that is needed.
    fn cargo_home(&self) -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
        match &self.vendor {
            Some(_) => self.folders.home().join("cargo"),
            None => std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from),
        }
    }

    fn write_config(&self) -> Result<(), String> {
        let Some(vendor) = &self.vendor else { return Ok(()) };
        let folder = self.folders.workspace().join(".cargo");
        let text = format!(
            "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = {:?}\n",
            vendor.display().to_string()
        );
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("config.toml"), text))
            .map_err(|e| format!("cannot write cargo's configuration: {e}"))
    }

    /// What the cache was built from.
    fn stamp(&self) -> String {
        let lock = std::fs::read_to_string(self.folders.workspace().join("Cargo.lock")).unwrap_or_default();
        format!("{}\n{}\n{lock}", self.toolchain.version, self.flags())
    }

    /// Whether there was one that fits.
    fn copy_cache(&self, cache: &Path, stamp: &str) -> bool {
        std::fs::read_to_string(cache.join("stamp")).is_ok_and(|of| of == stamp)
            && layout::copy_folder(&cache.join("target"), &self.folders.target()).is_ok()
    }

    /// No student's code has run or been compiled yet. When it fails, the next grading builds as slowly as this one.
    fn fill_cache(&self, cache: &Path, stamp: &str) {
        let filled = cache.with_extension(format!("new-{}", std::process::id()));
        let fill = || -> std::io::Result<()> {
            layout::copy_folder(&self.folders.target(), &filled.join("target"))?;
            std::fs::write(filled.join("stamp"), stamp)?;
            if cache.exists() {
                std::fs::remove_dir_all(cache)?;
            }
            std::fs::rename(&filled, cache)
        };
        if fill().is_err() {
            let _ = std::fs::remove_dir_all(&filled);
        }
    }
}

/// Runs a build in a process group of its own; its standard output and standard error.
fn run(mut command: Command, limit: Duration) -> Result<Ended, String> {
    let deadline = Instant::now() + limit;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| format!("cannot start cargo: {e}"))?;
    let (tx, rx) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for (i, stream) in streams.into_iter().flatten().enumerate() {
        let tx = tx.clone();
        std::thread::spawn(move || {
            let (mut kept, mut stream) = (Vec::new(), stream);
            let _ = stream.by_ref().take(KEPT).read_to_end(&mut kept);
            // The rest is read, so that the writer goes on.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            let _ = tx.send((i, String::from_utf8_lossy(&kept).into_owned()));
        });
    }
    let mut texts = [String::new(), String::new()];
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((i, text)) = rx.recv_timeout(left) else {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Ok(Ended::TimeUp);
        };
        texts[i] = text;
    }
    let status = child.wait().map_err(|e| format!("cannot wait for cargo: {e}"))?;
    let [out, err] = texts;
    Ok(if status.success() { Ended::Well(out) } else { Ended::Badly(out, format!("{err}({status})")) })
}

/// Cargo's messages, one a line.
fn messages(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

fn test_binary(text: &str) -> Option<PathBuf> {
    let built = messages(text).filter(|message| message["target"]["name"] == "test_test");
    built.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).last()
}

/// The compiler's first errors; without any, what cargo says.
fn shown_errors(text: &str, cargo: &str) -> String {
    let errors: Vec<String> = messages(text)
        .filter(|message| message["message"]["level"] == "error")
        .filter_map(|message| message["message"]["rendered"].as_str().map(str::to_string))
        .filter(|error| !error.starts_with("error: aborting"))
        .collect();
    if errors.is_empty() {
        return format!("It does not compile:\n{}", crate::report::shortened(cargo, SHOWN_BYTES));
    }
    let shown = errors[..errors.len().min(SHOWN_ERRORS)].concat();
    let count = match errors.len() {
        1 => "1 error".to_string(),
        n if n <= SHOWN_ERRORS => format!("{n} errors"),
        n => format!("{n} errors, of which these are the first"),
    };
    format!("It does not compile: {count}\n{}", crate::report::shortened(&shown, SHOWN_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler_says(level: &str, rendered: &str) -> String {
        let message = serde_json::json!({
            "reason": "compiler-message", "message": {"level": level, "rendered": rendered}
        });
        format!("{message}\n")
    }

    #[test]
    fn a_cache_without_the_simulator_is_none_for_a_build_with_it() {
        let toolchain = Toolchain { sysroot: PathBuf::new(), version: "rustc 1".to_string() };
        let folders = Folders::make(None).unwrap();
        let [without, with] = [false, true].map(|simulator| {
            Builder { toolchain: &toolchain, folders: &folders, vendor: None, simulator }.stamp()
        });
        assert_ne!(without, with);
    }

    #[test]
    fn the_first_errors_are_shown_and_warnings_are_not() {
        let mut text = compiler_says("warning", "warning: unused\n");
        (0..5).for_each(|i| text += &compiler_says("error", &format!("error: number {i}\n")));
        text += &compiler_says("error", "error: aborting due to 5 previous errors\n");
        let shown = shown_errors(&text, "");
        assert!(shown.starts_with("It does not compile: 5 errors, of which"), "{shown}");
        assert!(shown.contains("number 0") && shown.contains("number 2"), "{shown}");
        assert!(!shown.contains("number 3") && !shown.contains("unused"), "{shown}");
        assert!(shown_errors("", "error: linker `cc` not found").contains("linker"));
    }

    #[test]
    fn the_test_binary_is_the_one_that_cargo_names() {
        let line = |name: &str, executable: Value| {
            let message = serde_json::json!({"target": {"name": name}, "executable": executable});
            format!("{message}\n")
        };
        let text = line("kvraft", Value::Null) + "not JSON\n" + &line("test_test", "/t/test_test-1".into());
        assert_eq!(test_binary(&text), Some("/t/test_test-1".into()));
        assert_eq!(test_binary(&line("kvraft", "/t/x".into())), None);
    }

    #[test]
    fn a_build_that_takes_too_long_is_stopped_with_all_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        let began = Instant::now();
        assert!(matches!(run(command, Duration::from_millis(300)), Ok(Ended::TimeUp)));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn both_outputs_are_kept_whatever_their_size() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero | tr '\\0' x; echo error >&2; exit 3"]);
        let Ok(Ended::Badly(out, err)) = run(command, Duration::from_secs(20)) else { panic!("it fails") };
        assert_eq!(out.len(), 300_000);
        assert!(err.starts_with("error\n") && err.contains("exit status: 3"), "{err}");
    }
}
