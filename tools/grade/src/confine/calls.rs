//! A filter of system calls (seccomp). The kernel refuses what the filter forbids, and the program goes on.
//!
//! Safe Rust reaches the kernel only through libraries, and the rules for hand-ins leave few of these. The filter is what still
//! holds if code gets past both.

use super::Kind;
use anyhow::{Context, Result};
use libc::{EPERM, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, sock_filter,
};
use std::collections::BTreeMap;

/// Sockets of every kind. The test's harness has the one that it needs already, as standard input.
const SOCKETS: [c_long; 6] = [
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];

/// Looking into other processes, or running more of them than meet the eye.
const OTHER_PROCESSES: [c_long; 6] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
];

/// Memory, messages and keys that outlive the process or that the limits do not count.
const SHARED: [c_long; 17] = [
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_memfd_create,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Parts of the kernel that no program here needs, and that have had more than their share of faults. The operations that are
/// handed to io_uring pass by every filter.
const KERNEL: [c_long; 10] = [
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_personality,
];

/// What only the machine's owner does. A grader that runs as root could do some of it.
const MACHINE: [c_long; 26] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_quotactl,
];

/// A pair of sockets that know only each other. The standard library starts some programs with one, and cargo is among its users.
const PAIR: [c_long; 1] = [libc::SYS_socketpair];

/// Mode, owner, times and other attributes of files, which Landlock does not restrict. A compiler needs them.
const ATTRIBUTES: [c_long; 11] = [
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_fremovexattr,
];

/// Older names of the same, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_ATTRIBUTES: [c_long; 6] = [
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ATTRIBUTES: [c_long; 0] = [];

/// `fchmodat2`, which libc does not name everywhere; new calls have one number on all architectures.
const FCHMODAT2: c_long = 452;

/// The first call (`setxattrat`) that came after this filter. Those from here on do not exist for the program. Neither do the
/// calls of x86-64's second, 32-bit interface, whose numbers are far larger.
const FIRST_UNKNOWN: u32 = 463;

/// The bits of `clone` that make namespaces: in one of its own, a process is root.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The bit of `open` that makes a file without a name. What a test writes must be seen in its folder.
const TEMPORARY: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Puts this thread, and all that it starts, under the filter.
pub(super) fn restrict(kind: Kind) -> Result<()> {
    for program in [forbidden(kind)?, unknown()] {
        apply_filter(&program)?;
    }
    Ok(())
}

/// Refuses calls with EPERM.
fn forbidden(kind: Kind) -> Result<BpfProgram> {
    let of_tests: &[&[c_long]] = match kind {
        Kind::Compiler => &[],
        Kind::Test => &[&PAIR, &ATTRIBUTES, &OLD_ATTRIBUTES],
    };
    let always: [&[c_long]; 5] = [&SOCKETS, &OTHER_PROCESSES, &SHARED, &KERNEL, &MACHINE];
    let calls = always.iter().chain(of_tests).flat_map(|calls| calls.iter());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.map(|call| (*call, Vec::new())).collect();
    rules.insert(
        libc::SYS_clone,
        NAMESPACES.into_iter().map(|bit| has_bit(0, bit)).collect::<Result<_, _>>()?,
    );
    if kind == Kind::Test {
        rules.insert(libc::SYS_openat, vec![has_bit(2, TEMPORARY)?]);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, vec![has_bit(1, TEMPORARY)?]);
    }
    let here = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM as u32), here)?;
    filter.try_into().context("the filter of system calls is no program for this kernel")
}

/// The calls in which this argument has this bit.
fn has_bit(argument: u8, bit: i32) -> Result<SeccompRule, seccompiler::BackendError> {
    let is_set = SeccompCmpOp::MaskedEq(bit as u64);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is_set, bit as u64)?])
}

/// Says ENOSYS, as an older kernel would, of calls that came after this filter, and of `clone3` and `openat2`: their arguments lie in
/// memory, which a filter cannot read. The C library then does with older calls.
fn unknown() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The number of the call is the first word of what a filter is given.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 3, 0, libc::SYS_clone3 as u32),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 2, 0, libc::SYS_openat2 as u32),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, 0, FIRST_UNKNOWN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}
