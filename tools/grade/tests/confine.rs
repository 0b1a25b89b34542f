//! What a confined program has and can do: the grader confines a shell, a compiler or this test, and its output is read.

#![cfg(target_os = "linux")]

use rustix::process::getuid;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// A command that the grader confines: `kind` is "test" or "compiler".
fn confine(kind: &str, read: &[&Path], write: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grade"));
    command.args(["confine", kind, "4000000000", "1000000"]);
    read.iter().for_each(|path| _ = command.arg("read").arg(path));
    command.arg("write").arg(write).arg("--");
    command
}

/// What a confined shell prints for this script. The process that confines it inherits what `before` leaves in a shell.
fn confined(before: &str, script: &str) -> String {
    let start = format!("{before}; exec \"$0\" confine test 1000000000 1000000 -- /bin/sh -c \"$1\"");
    let output = Command::new("/bin/sh")
        .args(["-c", &start, env!("CARGO_BIN_EXE_grade"), script])
        .output()
        .expect("there is a shell");
    text(&output)
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn descriptors_of_the_caller_are_closed() {
    // The last one is that of the folder that ls reads.
    assert_eq!(confined("exec 7</dev/null 9>/dev/null", "ls /proc/self/fd"), "0\n1\n2\n3\n");
}

#[test]
fn files_have_a_largest_size() {
    let line = confined(":", "grep \"^Max file size\" /proc/self/limits");
    assert!(line.split_whitespace().any(|word| word == (256 << 20).to_string()), "{line}");
}

/// The variable that tells [`attempts`] its folder.
const FOLDER: &str = "CONFINED_FOLDER";

/// What [`attempts`] prints when a confined process of this kind runs it: a line for each attempt.
fn attempts_of(kind: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    let this = std::env::current_exe().expect("this program has a file");
    let output = confine(kind, &[&this], folder.path())
        .arg(&this)
        .args(["--exact", "attempts", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .output()
        .expect("it can be started");
    text(&output)
}

#[test]
#[ignore = "runs in the confined processes of the other tests"]
fn attempts() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("another test has set it"));
    let file = folder.join("file");
    let path = folder.join("socket");
    // libtest has begun a line.
    println!();
    let tell = |what: &str, result: io::Result<()>| {
        let code = result.map_or_else(|e| e.raw_os_error().unwrap_or(-1), |()| 0);
        println!("{what}: {code}");
    };
    tell("udp", std::net::UdpSocket::bind("127.0.0.1:0").map(drop));
    tell("tcp", std::net::TcpStream::connect("127.0.0.1:9").map(drop));
    tell("unix socket", UnixListener::bind(&path).map(drop));
    tell("unix connection", UnixStream::connect("/run/none").map(drop));
    tell("unix datagrams", UnixDatagram::unbound().map(drop));
    tell("pair", UnixStream::pair().map(drop));
    tell("mode", fs::set_permissions(&file, fs::Permissions::from_mode(0o600)));
    let own = getuid().as_raw();
    tell("owner", chown(&file, Some(own), None));
    tell(
        "times",
        File::options().write(true).open(&file).and_then(|f| f.set_modified(SystemTime::UNIX_EPOCH)),
    );
    tell("thread", std::thread::Builder::new().spawn(|| ()).map(drop));
    tell("process", Command::new("/bin/true").status().map(drop));
    // The standard library forks for this one.
    tell("process of a user", Command::new("/bin/true").uid(own).status().map(drop));
    tell("write", fs::write(&file, "text"));
    let without_name = fs::OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(&folder);
    tell("file without a name", without_name.map(drop));
    tell(
        "renaming",
        fs::write(folder.join("a"), "").and_then(|()| fs::rename(folder.join("a"), folder.join("b"))),
    );
    tell("removing", fs::remove_file(&file));
    tell("link", symlink("file", folder.join("link")));
    for (name, number, argument) in CALLS {
        tell(name, call(*number, *argument));
    }
}

/// Calls with arguments that they cannot accept, so that nothing happens where they are allowed. The kernel says something else then
/// than EPERM, at least to root.
const CALLS: &[(&str, libc::c_long, usize)] = &[
    ("ptrace", libc::SYS_ptrace, usize::MAX),
    ("process_vm_readv", libc::SYS_process_vm_readv, usize::MAX),
    ("keyctl", libc::SYS_keyctl, usize::MAX),
    ("mount", libc::SYS_mount, 0),
    ("bpf", libc::SYS_bpf, usize::MAX),
    ("perf_event_open", libc::SYS_perf_event_open, 0),
    ("userfaultfd", libc::SYS_userfaultfd, usize::MAX),
    ("io_uring_setup", libc::SYS_io_uring_setup, 0),
    ("memfd_create", libc::SYS_memfd_create, 0),
    ("shmget", libc::SYS_shmget, usize::MAX),
    ("unshare", libc::SYS_unshare, usize::MAX),
    (
        "a clone with a namespace",
        libc::SYS_clone,
        libc::CLONE_NEWUSER as usize | libc::CLONE_SIGHAND as usize,
    ),
    ("clone3", libc::SYS_clone3, 0),
    ("openat2", libc::SYS_openat2, 0),
    ("setxattrat", 463, usize::MAX),
];

/// Makes a system call with one argument; the others are 0.
fn call(number: libc::c_long, argument: usize) -> io::Result<()> {
    // SAFETY: with these arguments the calls read and write no memory of this process, and change nothing in it.
    let result = unsafe { libc::syscall(number, argument, 0, 0, 0, 0, 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The code of an attempt's line.
fn code(lines: &str, what: &str) -> i32 {
    let start = format!("{what}: ");
    let line = lines.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("nothing about {what}:\n{lines}")).parse().expect("a number")
}

#[test]
fn a_test_opens_no_socket_and_changes_no_attribute_of_a_file() {
    let lines = attempts_of("test");
    for what in
        ["udp", "tcp", "unix socket", "unix connection", "unix datagrams", "pair", "mode", "owner", "times"]
    {
        assert_eq!(code(&lines, what), libc::EPERM, "{what}\n{lines}");
    }
}

#[test]
fn a_test_reaches_no_part_of_the_kernel_that_it_does_not_need() {
    let lines = attempts_of("test");
    for (name, ..) in CALLS {
        let refused =
            if ["clone3", "openat2", "setxattrat"].contains(name) { libc::ENOSYS } else { libc::EPERM };
        assert_eq!(code(&lines, name), refused, "{name}\n{lines}");
    }
}

/// The grader looks at what is in its folder.
#[test]
fn a_test_hides_no_file() {
    let lines = attempts_of("test");
    assert_eq!(code(&lines, "file without a name"), libc::EPERM, "{lines}");
    assert_eq!(code(&lines, "removing"), libc::EACCES, "{lines}");
}

#[test]
fn what_is_not_refused_goes_on() {
    let lines = attempts_of("test");
    for what in ["thread", "process", "write", "link"] {
        assert_eq!(code(&lines, what), 0, "{what}\n{lines}");
    }
}

#[test]
fn a_compiler_changes_attributes_of_its_files_and_opens_no_socket() {
    let lines = attempts_of("compiler");
    for what in [
        "mode",
        "owner",
        "times",
        "thread",
        "process",
        "process of a user",
        "pair",
        "file without a name",
        "renaming",
        "removing",
    ] {
        assert_eq!(code(&lines, what), 0, "{what}\n{lines}");
    }
    for what in ["udp", "tcp", "unix socket", "ptrace", "io_uring_setup"] {
        assert_eq!(code(&lines, what), libc::EPERM, "{what}\n{lines}");
    }
}

/// What a confined compiler says of a file with this text. `folder` has the file's other files.
fn compiled(folder: &Path, source: &str) -> (bool, String) {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("there is a compiler");
    let sysroot = PathBuf::from(text(&sysroot).trim());
    fs::write(folder.join("source.rs"), source).expect("a file");
    let output = confine("compiler", &[&sysroot], folder)
        .arg(sysroot.join("bin/rustc"))
        .args(["--crate-type", "lib", "--edition", "2024", "--out-dir"])
        .args([folder, &folder.join("source.rs")])
        .output()
        .expect("it can be started");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The rules for hand-ins refuse such words. Here nobody looks at the rules.
#[test]
fn a_compiler_cannot_be_made_to_read_other_files() {
    let [own, others] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    fs::write(own.path().join("own"), "text").expect("a file");
    fs::write(others.path().join("secret"), "text").expect("a file");
    let includes =
        |file: &Path| compiled(own.path(), &format!("pub const TEXT: &[u8] = include_bytes!({file:?});"));
    let (is_compiled, errors) = includes(&own.path().join("own"));
    assert!(is_compiled, "{errors}");
    for file in [&others.path().join("secret"), Path::new("/etc/shadow")] {
        let (is_compiled, errors) = includes(file);
        assert!(!is_compiled && errors.contains("Permission denied"), "{file:?}: {errors}");
    }
}

#[test]
fn roots_compilers_have_none_of_its_capabilities() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = confine("compiler", &[], folder.path())
        .args(["/bin/sh", "-c", "grep ^Cap[PE] /proc/self/status"])
        .output()
        .expect("it can be started");
    let lines = text(&output);
    assert!(
        lines.lines().count() == 2 && lines.lines().all(|line| line.ends_with("\t0000000000000000")),
        "{lines}"
    );
}
