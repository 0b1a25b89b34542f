//! Confines a process before foreign code is compiled or run in it.
//!
//! The grader starts itself again, with [`WORD`] as the first argument. The new process gives up its rights, and then becomes
//! the program (`exec`). On Linux with Landlock, the program and all processes that it starts
//!
//! - read and execute only the system's files ([`SYSTEM`]) and those in the given folders,
//! - create and write files only in the given folders, and, if they are compilers, remove and rename files there; besides, they can
//!   write to `/dev/null`,
//! - open no TCP connection and no TCP port (from Linux 6.7),
//! - control no devices (from 6.10),
//! - send signals only to each other, and connect to no abstract Unix socket of others (from 6.12).
//!
//! Besides, the program has no open descriptor but the first three, and no file that it writes can be larger than
//! [`LARGEST_FILE`]. Root's program becomes another user, or has none of root's capabilities: then it can read what root owns
//! and what everybody may read, as far as Landlock lets it.
//!
//! Landlock needs Linux 5.13. A filter of system calls (seccomp, on x86-64 and aarch64) refuses what Landlock does not restrict:
//! the program opens no socket, looks into no other process, and, if it is a test, changes no file's mode, owner or times. A
//! kernel that lacks either confines the less; [`gaps`] says so. On other systems than Linux nothing is confined.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The first argument that makes the grader confine itself.
pub const WORD: &str = "confine";

/// The largest file that a confined program can write, in bytes: many times the largest that the compiler writes.
#[cfg(target_os = "linux")]
const LARGEST_FILE: u64 = 256 << 20;

/// What is confined. Compilers set modes and times of files; tests do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Cargo, and all that it starts.
    Compiler,
    /// A test's process.
    Test,
}

impl Kind {
    /// Its name on the command line.
    fn word(self) -> &'static str {
        match self {
            Kind::Compiler => "compiler",
            Kind::Test => "test",
        }
    }
}

/// What a process may do.
pub struct Allowance {
    /// What it is.
    pub kind: Kind,
    /// Bytes of memory for data.
    pub memory: u64,
    /// The limit on threads and processes of its user, all together.
    pub processes: u64,
    /// Files and folders that it may read, besides the system's.
    pub read: Vec<PathBuf>,
    /// Folders that it may read and write.
    pub write: Vec<PathBuf>,
    /// The user that it becomes; None: the grader's own.
    pub user: Option<u32>,
}

/// What every program may read. Of `/etc` and `/dev`, only what compilers and the C library ask for: some of the rest belongs to root
/// alone, and root's compilers are confined too.
#[cfg(target_os = "linux")]
const SYSTEM: [&str; 27] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/etc/alternatives",
    "/etc/clang",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/ld-nix.so.preload",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/timezone",
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// A command that runs `program` with no more than `allowance`.
pub fn command(program: &Path, allowance: &Allowance) -> Command {
    // This name stands for the program that runs now, even if its file was replaced.
    let grader = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().unwrap_or_default()
    };
    let mut command = Command::new(grader);
    command
        .arg(WORD)
        .arg(allowance.kind.word())
        .arg(allowance.memory.to_string())
        .arg(allowance.processes.to_string());
    command.args(allowance.user.iter().flat_map(|user| ["user".to_string(), user.to_string()]));
    for (list, flag) in [(&allowance.read, "read"), (&allowance.write, "write")] {
        list.iter().for_each(|path| _ = command.arg(flag).arg(path));
    }
    command.arg("--").arg(program);
    command
}

/// The `main` of the confined process: `arguments` are those behind [`WORD`]. Returns only when something fails.
pub fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let kind = arguments.next();
    let Some(kind) = [Kind::Compiler, Kind::Test]
        .into_iter()
        .find(|one| kind.as_ref().is_some_and(|kind| kind == one.word()))
    else {
        return misused();
    };
    let mut number = || arguments.next()?.to_str()?.parse().ok();
    let (Some(memory), Some(processes)) = (number(), number()) else { return misused() };
    let mut allowance =
        Allowance { kind, memory, processes, read: Vec::new(), write: Vec::new(), user: None };
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
        eprintln!("cannot confine {}: {e:#}", program.display());
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
    eprintln!("\"{WORD}\" is for the grader's own use; see `grade --help`");
    ExitCode::from(2)
}

/// What this machine cannot confine, in sentences; none if it can confine everything that the grader asks for.
pub fn gaps() -> Vec<&'static str> {
    #[cfg(target_os = "linux")]
    return linux::gaps();
    #[cfg(not(target_os = "linux"))]
    vec!["this system is not Linux: the code under test can do what you can"]
}

#[cfg(target_os = "linux")]
mod linux {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    use super::calls;
    use super::{Allowance, Kind, LARGEST_FILE, SYSTEM};
    use anyhow::{Context, Result};
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
        path_beneath_rules,
    };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::thread::{
        CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    };
    use std::os::fd::RawFd;

    /// The version of Landlock that is asked for; an older kernel does what it can.
    const VERSION: ABI = ABI::V6;

    pub(super) fn confine(allowance: &Allowance) -> Result<()> {
        // When memory runs out, the kernel ends this process first. Ignore an error: some containers lack the file.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        limit(Resource::Data, allowance.memory)?;
        limit(Resource::Nproc, allowance.processes)?;
        limit(Resource::Core, 0)?;
        limit(Resource::Fsize, LARGEST_FILE)?;
        close_descriptors().context("cannot list the open descriptors")?;
        restrict(allowance).context("Landlock")?;
        // A program that becomes another user loses its capabilities by that.
        if rustix::process::getuid().is_root() && allowance.user.is_none() {
            drop_capabilities().context("cannot give up root's capabilities")?;
        }
        // As with Landlock, a kernel that cannot do it does not keep the hand-in from being graded: `gaps` has said so.
        let _ = refuse_calls(allowance.kind);
        Ok(())
    }

    /// Puts this thread, and all that it starts, under the filter of system calls.
    fn refuse_calls(kind: Kind) -> Result<()> {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        return calls::restrict(kind);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        anyhow::bail!("there is no filter for the calls of a {}", kind.word());
    }

    /// Gives up what root can do beyond other users, for the programs that this process becomes and starts too.
    fn drop_capabilities() -> rustix::io::Result<()> {
        for capability in CapabilitySet::all().iter() {
            // Ignore an error: this kernel does not know it, or this process does not have it.
            let _ = remove_capability_from_bounding_set(capability);
        }
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
    }

    /// Closes what the grader's caller has left open: all but standard input, output and error.
    fn close_descriptors() -> std::io::Result<()> {
        let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|descriptor| *descriptor > 2)
            .collect();
        for descriptor in open {
            // Ignore an error: this descriptor was that of the folder itself, and is closed.
            let _ = nix::unistd::close(descriptor);
        }
        Ok(())
    }

    /// Restricts this thread, and all that it starts.
    fn restrict(allowance: &Allowance) -> Result<RulesetStatus> {
        let (all, read) = (AccessFs::from_all(VERSION), AccessFs::from_read(VERSION));
        // A test can hide nothing from the grader, which looks at how much is in its folder.
        let write = match allowance.kind {
            Kind::Compiler => all,
            Kind::Test => all & !(AccessFs::RemoveFile | AccessFs::RemoveDir),
        };
        // Paths that do not exist are left out.
        let status = Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(VERSION))?
            .scope(Scope::from_all(VERSION))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(&allowance.read, read))?
            .add_rules(path_beneath_rules(&allowance.write, write))?
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_file(VERSION)))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    /// Lowers a limit, never raises it.
    fn limit(resource: Resource, value: u64) -> Result<()> {
        let Rlimit { current, maximum } = getrlimit(resource);
        let lower = |old: Option<u64>| Some(old.map_or(value, |old| old.min(value)));
        Ok(setrlimit(resource, Rlimit { current: lower(current), maximum: lower(maximum) })?)
    }

    pub(super) fn gaps() -> Vec<&'static str> {
        let nothing = Allowance {
            kind: Kind::Test,
            memory: 0,
            processes: 0,
            read: Vec::new(),
            write: Vec::new(),
            user: None,
        };
        // Restricts a thread that ends at once, to see whether the kernel does it.
        let tried =
            std::thread::spawn(move || (restrict(&nothing), refuse_calls(nothing.kind).is_ok())).join();
        let (landlock, filter) = tried.map_or((None, false), |(landlock, filter)| (landlock.ok(), filter));
        let of_landlock = match landlock {
            Some(RulesetStatus::FullyEnforced) => None,
            Some(RulesetStatus::PartiallyEnforced) => {
                Some("this kernel's Landlock is older than Linux 6.12: signals, or more, are not confined")
            }
            _ => Some("this kernel has no Landlock: the code under test can do what this user can"),
        };
        let of_the_filter = (!filter).then_some(
            "this kernel filters no system calls (seccomp): sockets, and mode, owner and times of files, are not confined",
        );
        of_landlock.into_iter().chain(of_the_filter).collect()
    }
}
