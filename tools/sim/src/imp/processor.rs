//! The processor and the priority of a simulation.

/// Keeps the calling thread, and those that it starts, on one processor (see `Options::processor`): handing the baton
/// over takes a tenth of the time there.
pub(crate) fn pin(processor: Option<usize>) {
    // SAFETY: all zeros is a valid set of processors, and the calls are told the size of the set.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            // The simulation works without pinning, only slower.
            return;
        }
        let allowed: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)).collect();
        let cpu = match processor {
            Some(n) if !allowed.is_empty() => allowed[n % allowed.len()],
            _ => libc::sched_getcpu().max(0) as usize,
        };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
    }
}

/// Gives the calling thread, and those that it starts, the lowest priority. A simulation has dozens of threads, and
/// each of them runs for a short time only. At normal priority the kernel would prefer these threads to a program with
/// one thread, and give the simulation nearly all of a busy machine.
pub(crate) fn step_back() {
    const NICE: libc::c_int = 19;
    // SAFETY: the call takes only numbers. If it fails, the priority stays as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
