//! Takes from a process what it does not need, before foreign code is compiled or run in it.
//!
//! The grader starts itself with [`WORD`]; that process gives things up, and becomes the program in question. On Linux
//! with Landlock (5.13, all of it from 6.12) it can then read the system, its toolchain and its own files only, write
//! to its own folders only, open no TCP connection and send no signal out. Elsewhere nothing of this holds.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The first argument that makes the grader confine itself.
pub const WORD: &str = "confine";

/// What a process may do.
pub struct Allowance {
    /// Bytes of memory for data.
    pub memory: u64,
    /// Threads and processes of this user, all together.
    pub processes: u64,
    /// Files and folders it may read, beside the system's.
    pub read: Vec<PathBuf>,
    /// Folders it may write to.
    pub write: Vec<PathBuf>,
    /// The user it becomes; None: it stays who it is.
    pub user: Option<u32>,
}

/// What every program reads.
#[cfg(target_os = "linux")]
const SYSTEM: [&str; 9] = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/dev", "/nix/store"];

/// A command that runs `program` with no more than `allowance`.
pub fn command(program: &Path, allowance: &Allowance) -> Command {
    // By this name it is what runs now, whatever has become of the file.
    let grader = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().unwrap_or_default()
    };
    let mut command = Command::new(grader);
    command.arg(WORD).arg(allowance.memory.to_string()).arg(allowance.processes.to_string());
    command.args(allowance.user.iter().flat_map(|user| ["user".to_string(), user.to_string()]));
    for (list, flag) in [(&allowance.read, "read"), (&allowance.write, "write")] {
        list.iter().for_each(|path| _ = command.arg(flag).arg(path));
    }
    command.arg("--").arg(program);
    command
}

/// The confined process: `arguments` are those behind [`WORD`]. Returns only when that fails.
pub fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let mut number = || arguments.next()?.to_str()?.parse().ok();
    let (Some(memory), Some(processes)) = (number(), number()) else { return misused() };
    let mut allowance = Allowance { memory, processes, read: Vec::new(), write: Vec::new(), user: None };
    loop {
        let Some(flag) = arguments.next() else { return misused() };
        if flag == "--" {
            break;
        }
        let Some(value) = arguments.next() else { return misused() };
        match flag.to_str() {
            Some("read") => allowance.read.push(value.into()),
            Some("write") => allowance.write.push(value.into()),
            Some("user") => allowance.user = value.to_str().and_then(|user| user.parse().ok()),
            _ => return misused(),
        }
    }
    let Some(program) = arguments.next() else { return misused() };
    #[cfg(target_os = "linux")]
    if let Err(e) = linux::confine(&allowance) {
        eprintln!("cannot confine {}: {e}", program.display());
        return ExitCode::FAILURE;
    }
    let mut command = Command::new(&program);
    if let Some(user) = allowance.user {
        command.uid(user).gid(user);
    }
    let error = command.args(arguments).exec();
    eprintln!("cannot start {}: {error}", program.display());
    ExitCode::FAILURE
}

fn misused() -> ExitCode {
    eprintln!("\"{WORD}\" is for the grader's own use");
    ExitCode::from(2)
}

/// What of it this machine can do, in words; None: all of it.
pub fn gaps() -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    return linux::gaps();
    #[cfg(not(target_os = "linux"))]
    Some("only Linux can: the code under test can do what you can")
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Allowance, SYSTEM};
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
        path_beneath_rules,
    };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::error::Error;

    /// What is asked for; an older kernel does what it can.
    const VERSION: ABI = ABI::V6;

    pub(super) fn confine(allowance: &Allowance) -> Result<(), Box<dyn Error>> {
        // When memory runs out, the kernel ends this process first. Not every container has the file.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        limit(Resource::Data, allowance.memory)?;
        limit(Resource::Nproc, allowance.processes)?;
        limit(Resource::Core, 0)?;
        restrict(allowance)?;
        Ok(())
    }

    /// Restricts this thread, and all that it starts.
    fn restrict(allowance: &Allowance) -> Result<RulesetStatus, Box<dyn Error>> {
        let (all, read) = (AccessFs::from_all(VERSION), AccessFs::from_read(VERSION));
        // What does not exist is left out.
        let status = Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(VERSION))?
            .scope(Scope::from_all(VERSION))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(&allowance.read, read))?
            .add_rules(path_beneath_rules(&allowance.write, all))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_file(VERSION)))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    /// Lowers a limit, never raises it.
    fn limit(resource: Resource, value: u64) -> Result<(), Box<dyn Error>> {
        let Rlimit { current, maximum } = getrlimit(resource);
        let lower = |old: Option<u64>| Some(old.map_or(value, |old| old.min(value)));
        Ok(setrlimit(resource, Rlimit { current: lower(current), maximum: lower(maximum) })?)
    }

    pub(super) fn gaps() -> Option<&'static str> {
        let nothing = Allowance { memory: 0, processes: 0, read: Vec::new(), write: Vec::new(), user: None };
        // A thread that ends at once tries it.
        let tried = std::thread::spawn(move || restrict(&nothing).map_err(|e| e.to_string())).join();
        match tried {
            Ok(Ok(RulesetStatus::FullyEnforced)) => None,
            Ok(Ok(RulesetStatus::PartiallyEnforced)) => {
                Some("this kernel's Landlock is older than Linux 6.12: signals, or more, are not confined")
            }
            _ => Some("this kernel has no Landlock: the code under test can do what this user can"),
        }
    }
}
