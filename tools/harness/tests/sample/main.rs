//! Tests that end in every way a test can end, for the tests of the harness.

use crossbeam_channel::bounded;
use harness::PassedLine;
use harness::record::{self, Finding};
use labrpc::{ClientEnd, Network, Receiver, Server, Service, make_service};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The last line of the tests that pass.
const PASSED: PassedLine = PassedLine { seconds: 0.0, servers: 3, rpcs: 12, rpc_width: 5, operations: 1 };

/// Longer than any test waits.
const FOREVER: Duration = Duration::from_secs(600);

/// The variable that sets the time limit of each test, in seconds. Without it the limit is as long as that of the lab's
/// tests: on an overloaded machine, a test that does not hang must not reach it.
const LIMIT: &str = "SAMPLE_LIMIT";

fn main() -> ExitCode {
    let limit = std::env::var(LIMIT).ok().and_then(|seconds| seconds.parse().ok());
    harness::run_within(
        limit.map_or(harness::LIMIT, Duration::from_secs),
        &[
            ("passes", passes),
            ("panics", panics),
            ("panics_on_a_thread", panics_on_a_thread),
            ("panics_in_a_go_statement", panics_in_a_go_statement),
            ("dies_by_exit", exits),
            ("dies_by_abort", aborts),
            ("hangs", hangs),
            ("deadlocks", deadlocks),
            ("leaves_a_go_statement", leaves_a_go_statement),
            ("leaves_a_thread", leaves_a_thread),
            ("leaves_a_thread_without_a_name", leaves_a_thread_without_a_name),
            ("leaves_threads_of_some_kinds", leaves_threads_of_some_kinds),
            ("leaves_a_thread_that_spins", leaves_a_thread_that_spins),
            ("leaves_a_thread_that_panics", leaves_a_thread_that_panics),
            ("leaves_a_thread_extra", leaves_a_thread),
            ("forges", forges),
            ("writes_to_the_harnesss_channel", writes_to_the_channel),
            ("looks_for_the_token", looks_for_the_token),
            ("leaves_a_process", leaves_a_process),
            ("leaves_a_process_and_exits", leaves_a_process_and_exits),
            ("prints_without_end", prints_without_end),
            ("prints_one_long_line", prints_one_long_line),
            ("breaks_a_history", breaks_a_history),
            ("logs_without_end", logs_without_end),
            ("dies_not", passes),
            ("waits_without_end", waits_without_end),
            ("spins", spins),
            ("fails_now_and_then", fails_now_and_then),
            ("shares_a_lock", shares_a_lock),
            ("leaves_nobody", leaves_nobody),
            ("logs_what_is_locked", logs_what_is_locked),
            ("panics_at_length", panics_at_length),
            ("panics_without_its_file", panics_without_its_file),
            ("misses_an_element", misses_an_element),
            ("differs_from_run_to_run", differs_from_run_to_run),
            ("starts_a_thousand_threads", starts_a_thousand_threads),
            ("starts_threads_without_end", starts_threads_without_end),
            ("overflows_its_stack", overflows_its_stack),
            ("needs_a_large_stack", needs_a_large_stack),
            ("ends_threads_with_values", ends_threads_with_values),
            ("fills_memory", fills_memory),
            ("pauses_a_server", pauses_a_server),
            ("asks_threads_that_have_not_begun", asks_threads_that_have_not_begun),
            ("exchanges_messages", exchanges_messages),
            ("elects_two_leaders", elects_two_leaders),
            ("leaves_stdout_locked", leaves_stdout_locked),
            ("leaves_threads_at_work", leaves_threads_at_work),
            ("leaves_a_thread_that_aborts", leaves_a_thread_that_aborts),
            ("leaves_a_thread_that_aborts_extra", leaves_a_thread_that_aborts),
            ("holds_a_lock_across_an_rpc", holds_a_lock_across_an_rpc),
            ("sends_with_the_lock_held", sends_with_the_lock_held),
        ],
        &[("measures_time", measures_time), ("is_too_slow", is_too_slow)],
    )
}

/// Sleeps for a minute of virtual time. Always simulated.
fn measures_time() {
    harness::begin("Test: sample");
    let begun = Instant::now();
    sleep(Duration::from_secs(60));
    let elapsed = begun.elapsed();
    assert!((60..61).contains(&elapsed.as_secs()), "a minute took {elapsed:?}");
    harness::passed(PASSED);
}

/// Fails. Always simulated.
fn is_too_slow() {
    harness::begin("Test: sample");
    let begun = Instant::now();
    sleep(Duration::from_secs(60));
    assert!(begun.elapsed() < Duration::from_secs(60), "it took a minute");
}

fn passes() {
    harness::begin("Test: sample");
    drop(harness::operation("client 1", "get(\"x\")"));
    labrpc::go("server 1: ends", || log::debug!("a line of the log"));
    harness::passed(PASSED);
}

/// A thread that holds standard output, and one that holds standard error, outlive the test.
fn leaves_stdout_locked() {
    harness::begin("Test: sample");
    let held = Arc::new(Barrier::new(2));
    let holds = held.clone();
    std::thread::spawn(move || {
        let _locks = (std::io::stdout().lock(), std::io::stderr().lock());
        holds.wait();
        loop {
            sleep(FOREVER);
        }
    });
    held.wait();
    harness::passed(PASSED);
}

/// Threads that print, log, allocate, start threads, take locks and look at their stacks outlive the test: the process ends
/// while they do.
fn leaves_threads_at_work() {
    harness::begin("Test: sample");
    let lock = Arc::new(Mutex::new(0_u64));
    let works: [fn(&Mutex<u64>); 7] = [
        |_| print!("{}", "\r".repeat(100)),
        |_| eprint!("{}", "\r".repeat(100)),
        |_| log::debug!("at work"),
        |_| drop(vec![0_u8; 100_000]),
        |_| drop(std::thread::spawn(|| {}).join()),
        |lock| *lock.lock() += 1,
        |_| drop(std::backtrace::Backtrace::force_capture().to_string()),
    ];
    for work in works {
        for _ in 0..2 {
            let lock = lock.clone();
            std::thread::spawn(move || {
                loop {
                    work(&lock);
                    sleep(Duration::from_millis(1));
                }
            });
        }
    }
    harness::passed(PASSED);
}

/// A thread that outlives the test ends the process.
fn leaves_a_thread_that_aborts() {
    harness::begin("Test: sample");
    std::thread::spawn(|| {
        sleep(Duration::from_millis(100));
        std::process::abort();
    });
    harness::passed(PASSED);
}

fn panics() {
    harness::begin("Test: sample");
    harness::passed(PASSED);
    panic!("expected one leader, got none");
}

fn misses_an_element() {
    record::about_text("x 0 1 y");
    panic!("missing element \"x 0 1 y\" in Append result");
}

/// A server that asks another one before it answers.
struct Asker(Option<ClientEnd>);

#[derive(Serialize, Deserialize, Default)]
struct GetArgs {
    key: String,
    attempt: u64,
}

#[derive(Serialize, Deserialize, Default)]
struct GetReply {
    value: Option<String>,
}

impl Asker {
    fn get(&self, args: &GetArgs, reply: &mut GetReply) {
        if let Some(other) = &self.0 {
            other.call("Sample.Get", args, reply);
        } else if args.attempt == 3 {
            sleep(FOREVER);
        } else {
            reply.value = Some(format!("</script> of {}", args.key));
        }
    }
}

impl Receiver for Asker {
    fn service(self: Arc<Asker>) -> Service {
        Service::new("Sample").method("Get", &self, Asker::get)
    }
}

/// A server whose handler needs its lock.
struct LockedServer(Mutex<u64>);

impl LockedServer {
    fn touch(&self, _: &(), reply: &mut u64) {
        *reply = *self.0.lock();
    }
}

impl Receiver for LockedServer {
    fn service(self: Arc<LockedServer>) -> Service {
        Service::new("Sample").method("Touch", &self, LockedServer::touch)
    }
}

/// Two servers, and an end to each of them.
fn locked_servers(net: &Network) -> [(Arc<LockedServer>, ClientEnd); 2] {
    [0, 1].map(|number| {
        let locked = Arc::new(LockedServer(Mutex::new(0)));
        let mut server = Server::new();
        server.add_service(make_service(locked.clone()));
        net.add_server(number, server);
        let name = format!("to {number}");
        let end = net.make_end(&name);
        net.connect(&name, number);
        net.enable(&name, true);
        (locked, end)
    })
}

/// Each of two servers asks the other while it holds its own lock.
fn holds_a_lock_across_an_rpc() {
    harness::begin("Test: sample");
    let net = Network::new();
    let [(first, to_first), (second, to_second)] = locked_servers(&net);
    record::servers(2);
    (0..2).for_each(record::up);
    record::end_of_server("to 0", 1);
    record::end_of_server("to 1", 0);
    let asked = [first.clone(), second.clone()];
    harness::observe(move |server| Some((*asked[server].0.lock(), false)));
    let both_hold_theirs = Arc::new(Barrier::new(2));
    for (number, own, other) in [(0, first, to_second), (1, second, to_first)] {
        let both_hold_theirs = both_hold_theirs.clone();
        labrpc::go(format!("server {number}: asks"), move || {
            let mut state = own.0.lock();
            both_hold_theirs.wait();
            other.call("Sample.Touch", &(), &mut *state);
        });
    }
    sleep(FOREVER);
}

/// A server sends with its lock held, and the receiver needs the lock before it receives.
fn sends_with_the_lock_held() {
    harness::begin("Test: sample");
    let net = Network::new();
    let [(server, end), _] = locked_servers(&net);
    let (apply_ch, applied) = bounded::<u64>(0);
    let (holds, held) = bounded::<()>(0);
    labrpc::go("server 0: applier", move || {
        let state = server.0.lock();
        drop(holds);
        let _ = apply_ch.send(*state);
    });
    let _ = held.recv();
    // Its answer comes only after the send, which waits for it.
    end.call("Sample.Touch", &(), &mut 0u64);
    let _ = applied.recv();
}

/// A client asks server 0, which asks server 1. The second of its requests is cut off, the third has no reply.
fn exchanges_messages() {
    harness::begin("Test: sample");
    record::servers(2);
    let net = Network::new();
    let end = |name: &str, to: usize| {
        let end = net.make_end(name);
        net.connect(name, to);
        net.enable(name, true);
        end
    };
    let (client, other) = (end("client to 0", 0), end("0 to 1", 1));
    record::end_of_client("client to 0", "client 7");
    record::end_of_server("0 to 1", 0);
    for (number, asks) in [Some(other), None].into_iter().enumerate() {
        let mut server = Server::new();
        server.add_service(make_service(Arc::new(Asker(asks))));
        net.add_server(number, server);
        record::up(number);
    }
    let ask = move |attempt: u64, reply: &mut GetReply| {
        client.call("Sample.Get", &GetArgs { key: "k".to_string(), attempt }, reply)
    };
    for _ in 0..700 {
        ask(0, &mut GetReply::default());
    }
    sleep(Duration::from_millis(20));
    let get = harness::operation("client 7", "get(\"k\")");
    net.enable("client to 0", false);
    ask(1, &mut GetReply::default());
    net.enable("client to 0", true);
    let mut reply = GetReply::default();
    assert!(ask(2, &mut reply));
    get.returned(&reply.value.unwrap_or_default());
    record::about_client("client 7");
    labrpc::go("another client", move || {
        ask(3, &mut GetReply::default());
    });
    sleep(Duration::from_millis(50));
    panic!("get wrong value");
}

#[derive(Default, Serialize, Deserialize)]
struct TermArgs {
    term: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct VoteReply {
    term: u64,
    vote_granted: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct PutArgs {
    client: u64,
    seq: u64,
}

/// Votes for everybody.
struct Voter;

impl Voter {
    fn request_vote(&self, args: &TermArgs, reply: &mut VoteReply) {
        *reply = VoteReply { term: args.term, vote_granted: true };
    }

    fn append_entries(&self, _: &TermArgs, _: &mut u64) {}

    fn put(&self, args: &PutArgs, _: &mut u64) {
        log::debug!("executes number {} of client {}", args.seq, args.client);
    }
}

impl Receiver for Voter {
    fn service(self: Arc<Voter>) -> Service {
        Service::new("Sample")
            .method("RequestVote", &self, Voter::request_vote)
            .method("AppendEntries", &self, Voter::append_entries)
            .method("Put", &self, Voter::put)
    }
}

/// Server 2 votes for servers 0 and 1 in term 5. Both lead after that, which only their messages tell. A client puts something.
fn elects_two_leaders() {
    const PAUSE: Duration = Duration::from_millis(30);
    harness::begin("Test: sample");
    record::servers(3);
    (0..3).for_each(record::up);
    let net = Network::new();
    let mut server = Server::new();
    server.add_service(make_service(Arc::new(Voter)));
    net.add_server(2, server);
    let end = |name: &str| {
        let end = net.make_end(name);
        net.connect(name, 2);
        net.enable(name, true);
        end
    };
    record::leads(2, 1);
    sleep(PAUSE);
    record::end_of_client("of the client", "client 4");
    let client = end("of the client");
    for seq in 1..=3 {
        let _put = harness::operation("client 4", format!("put(\"{seq}\")"));
        client.call("Sample.Put", &PutArgs { client: 816_347, seq }, &mut 0u64);
    }
    for (candidate, name) in [(0, "of 0"), (1, "of 1")] {
        record::end_of_server(name, candidate);
        let end = end(name);
        sleep(PAUSE);
        end.call("Sample.RequestVote", &TermArgs { term: 5 }, &mut VoteReply::default());
        end.call("Sample.AppendEntries", &TermArgs { term: 5 }, &mut 0u64);
    }
    sleep(PAUSE);
    record::about_server(1);
    panic!("election safety: servers 0 and 1 lead in term 5");
}

/// JSON writes each of its bytes as six.
fn panics_at_length() {
    panic!("{}", "\u{1f}".repeat(100_000));
}

/// Panics when the program's file, which has the lines of the backtrace, cannot be read to its end: it is a pipe without a
/// writer. The kernel gives a program this name when its file is gone.
fn panics_without_its_file() {
    let program = std::env::current_exe().expect("the program has a file");
    std::fs::remove_file(&program).expect("the file can be removed");
    let pipe = format!("{} (deleted)", program.display());
    let made = Command::new("mkfifo").arg(pipe).stdin(Stdio::null()).status();
    assert!(made.is_ok_and(|made| made.success()), "mkfifo works");
    panic!("commit index went back");
}

fn panics_on_a_thread() {
    let thread = std::thread::Builder::new().name("server 1: own thread".to_string());
    thread.spawn(|| panic!("index out of bounds")).expect("a thread starts");
    sleep(FOREVER);
}

fn panics_in_a_go_statement() {
    record::servers(3);
    (0..3).for_each(record::up);
    labrpc::go("server 2: applier", || panic!("apply out of order"));
    sleep(FOREVER);
}

fn exits() {
    println!("test result: ok. 12 passed");
    std::process::exit(0);
}

fn aborts() {
    std::process::abort();
}

fn hangs() {
    harness::begin("Test: sample");
    drop(harness::operation("client 1", "put(\"x\")"));
    let _operation = harness::operation("client 1", "get(\"x\")");
    labrpc::go("server 1: stuck", || sleep(FOREVER));
    sleep(FOREVER);
}

fn deadlocks() {
    let locks = [Arc::new(Mutex::new(())), Arc::new(Mutex::new(()))];
    let both_hold_one = Arc::new(Barrier::new(2));
    for i in 0..2 {
        let (first, second) = (locks[i].clone(), locks[1 - i].clone());
        let both_hold_one = both_hold_one.clone();
        labrpc::go(format!("server {i}: locker"), move || {
            let _first = first.lock();
            both_hold_one.wait();
            let _second = second.lock();
        });
    }
    sleep(FOREVER);
}

/// No locks, so this is nothing that parking_lot could find.
fn waits_without_end() {
    let (_tx, rx) = bounded::<()>(0);
    labrpc::go("server 1: waits for a message", {
        let rx = rx.clone();
        move || {
            let _ = rx.recv();
        }
    });
    let _ = rx.recv();
}

fn spins() {
    let flag = Arc::new(AtomicU32::new(0));
    labrpc::go("server 1: sets the flag", {
        let flag = flag.clone();
        move || flag.store(1, Ordering::SeqCst)
    });
    // In one line: the message names the line in which the thread happens to be.
    while flag.load(Ordering::SeqCst) == 0 {}
}

/// Two threads read a number, and then write one more.
fn fails_now_and_then() {
    harness::begin("Test: sample");
    let begun = Instant::now();
    let number = Arc::new(Mutex::new(0));
    let add = |i: u32| {
        let number = number.clone();
        harness::spawn_client(format!("client {i}"), move || {
            sleep(Duration::from_millis(rand::random_range(0..10)));
            let old = *number.lock();
            log::debug!("client {i} has read {old}");
            sleep(Duration::from_millis(1));
            *number.lock() = old + 1;
        })
    };
    let tasks: Vec<_> = (0..2).map(add).collect();
    tasks.into_iter().for_each(harness::Task::wait);
    assert!(*number.lock() == 2, "lost update at {:?}", begun.elapsed());
    harness::passed(PASSED);
}

/// Shares a lock with the thread that asks servers for their state, which may lose the processor while it holds the lock.
fn shares_a_lock() {
    harness::begin("Test: sample");
    let lock = Arc::new(Mutex::new(()));
    // Simulated threads change at allocations, of which ten take a microsecond.
    let work = |n| (0..n).for_each(|i| drop(std::hint::black_box(Box::new(i))));
    record::servers(1);
    harness::observe({
        let lock = lock.clone();
        move |_| {
            let _held = lock.lock();
            work(20_000);
            None
        }
    });
    let clients = (0..2).map(|i| {
        let lock = lock.clone();
        harness::spawn_client(format!("client {i}"), move || {
            for _ in 0..2000 {
                work(1000);
                drop(lock.lock());
            }
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(harness::Task::wait);
    harness::passed(PASSED);
}

/// Formatting it takes a lock.
struct Locked(Arc<Mutex<u32>>);

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.lock())
    }
}

fn logs_what_is_locked() {
    harness::begin("Test: sample");
    let number = Arc::new(Mutex::new(0));
    let counts = harness::spawn_client("client 1", {
        let number = number.clone();
        move || {
            for _ in 0..20 {
                let mut number = number.lock();
                sleep(Duration::from_millis(1));
                *number += 1;
            }
        }
    });
    let number = Locked(number);
    for _ in 0..20 {
        log::debug!("server 1: {number}");
        sleep(Duration::from_micros(100));
    }
    counts.wait();
    harness::passed(PASSED);
}

/// The last thread that could run ends.
fn leaves_nobody() {
    let (tx, rx) = bounded::<()>(1);
    std::thread::spawn(|| log::debug!("server 1: ends"));
    let _ = rx.recv();
    drop(tx);
}

/// All of them run at the same time.
fn starts_a_thousand_threads() {
    harness::begin("Test: sample");
    let all_run = Arc::new(Barrier::new(1001));
    let threads: Vec<_> = (0..1000)
        .map(|_| {
            let all_run = all_run.clone();
            std::thread::spawn(move || {
                all_run.wait();
            })
        })
        .collect();
    sleep(Duration::from_millis(1));
    if let Ok(kernel_threads) = std::fs::read_dir("/proc/self/task") {
        println!("  kernel threads: {}", kernel_threads.count());
    }
    all_run.wait();
    threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    harness::passed(PASSED);
}

fn starts_threads_without_end() {
    loop {
        drop(std::thread::spawn(|| sleep(FOREVER)));
    }
}

fn overflows_its_stack() {
    fn recurse(n: u64) -> u64 {
        if n == 0 { 0 } else { 1 + std::hint::black_box(recurse(n - 1)) }
    }
    let thread = std::thread::Builder::new().name("my own thread".to_string());
    let thread = thread.spawn(|| println!("{}", recurse(u64::MAX))).expect("a thread starts");
    let _ = thread.join();
}

fn needs_a_large_stack() {
    fn fill(n: usize) -> usize {
        let bytes = std::hint::black_box([1u8; 1 << 20]);
        if n == 0 { 0 } else { fill(n - 1) + usize::from(bytes[n]) }
    }
    let thread = std::thread::Builder::new().stack_size(100 << 20);
    let thread = thread.spawn(|| assert_eq!(fill(64), 64)).expect("a thread starts");
    thread.join().expect("it does not panic");
    harness::passed(PASSED);
}

/// Ten million bytes take five milliseconds, and a thousand nothing.
fn fills_memory() {
    let times = [10_000_000, 1000].map(|size| {
        let begun = Instant::now();
        std::hint::black_box(Vec::<u8>::with_capacity(size));
        begun.elapsed()
    });
    let ms = Duration::from_millis;
    assert!(times[0] >= ms(5) && times[0] < ms(6) && times[1] < ms(1), "{times:?}");
    harness::passed(PASSED);
}

/// Each of the threads begins with the initial value, and drops what it has put there when it ends.
fn ends_threads_with_values() {
    struct Last(crossbeam_channel::Sender<u32>, u32);
    impl Drop for Last {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            let _ = self.0.send(self.1);
        }
    }
    thread_local! {
        static NUMBER: std::cell::Cell<u32> = const { std::cell::Cell::new(7) };
        static LARGE: std::cell::Cell<[u8; 200_000]> = const { std::cell::Cell::new([0; 200_000]) };
        static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
    }
    let (ended, numbers) = crossbeam_channel::unbounded();
    for i in 0..5 {
        let ended = ended.clone();
        let thread = std::thread::spawn(move || {
            assert_eq!(NUMBER.replace(i), 7);
            assert_eq!(LARGE.replace([1; 200_000]), [0; 200_000]);
            assert!(LAST.replace(Some(Last(ended, i))).is_none());
        });
        thread.join().expect("it does not panic");
        assert_eq!(numbers.try_recv(), Ok(i));
    }
    harness::passed(PASSED);
}

fn differs_from_run_to_run() {
    log::debug!("process {}", std::process::id());
}

fn leaves_a_go_statement() {
    record::servers(4);
    labrpc::go("server 3: lingers", || sleep(FOREVER));
    harness::passed(PASSED);
}

fn leaves_a_thread() {
    let thread = std::thread::Builder::new().name("my own thread".to_string());
    thread.spawn(|| sleep(FOREVER)).expect("a thread starts");
    harness::passed(PASSED);
}

/// What the threads of servers do that are never killed: they wait in every way, or poll.
fn leaves_threads_of_some_kinds() {
    record::servers(3);
    let (never, messages) = crossbeam_channel::unbounded::<()>();
    // The channel stays open.
    std::mem::forget(never);
    let held: &'static Mutex<()> = Box::leak(Box::default());
    std::mem::forget(held.lock());
    for server in 0..3 {
        labrpc::go(format!("server {server}: ticker"), || {
            loop {
                sleep(Duration::from_millis(10));
            }
        });
    }
    labrpc::go("server 1: applier", move || _ = messages.recv());
    std::thread::spawn(move || drop(held.lock()));
    // So that all of them are where they wait. Nothing depends on it but the words of the warning.
    sleep(Duration::from_millis(100));
    harness::passed(PASSED);
}

/// Simulated, this thread lets no other run.
fn leaves_a_thread_that_spins() {
    harness::begin("Test: sample");
    let over = Arc::new(AtomicBool::new(false));
    let spins = over.clone();
    labrpc::go("server 2: waits in a loop", move || {
        while !over.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1));
        }
        while over.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    });
    harness::passed(PASSED);
    spins.store(true, Ordering::SeqCst);
}

/// The thread panics when the test is cleaned up, as one does that sends to a service that is gone.
fn leaves_a_thread_that_panics() {
    harness::begin("Test: sample");
    let (tx, rx) = bounded::<()>(0);
    let (panics, wait) = bounded::<()>(0);
    labrpc::go("server 2: applier", move || {
        let _panics = panics;
        tx.send(()).expect("the service is there");
    });
    harness::passed(PASSED);
    drop(rx);
    // The thread keeps the channel: a panic does not unwind it.
    let _ = wait.recv_timeout(Duration::from_millis(100));
}

/// Linux gives such a thread the name of the thread that starts it.
fn leaves_a_thread_without_a_name() {
    labrpc::go("server 3: starts another", || drop(std::thread::spawn(|| sleep(FOREVER))));
    harness::passed(PASSED);
}

/// Keeps the harness from printing, too.
fn prints_without_end() {
    let mut stdout = std::io::stdout().lock();
    while writeln!(stdout, "tick").is_ok() {}
}

/// The report comes at the end of this line.
fn prints_one_long_line() {
    print!("{}", "x".repeat(100_000));
}

/// What a cheat could print: the harness's own words, but not its token.
fn forges() {
    println!("{}", forged("0"));
    println!("{}", forged(&"0".repeat(32)));
    println!("test forges ... ok");
    panic!("it is not");
}

/// The same, written to where the harness reports.
fn writes_to_the_channel() {
    let channel = std::io::stdin().as_fd().try_clone_to_owned().expect("standard input is open");
    let lines =
        ["passed", "{", "\"Passed\"", &forged(""), &forged(&"0".repeat(32)), &"x".repeat(200_000), "\0"];
    let mut channel = File::from(channel);
    lines.iter().for_each(|line| writeln!(channel, "{line}").expect("it is writable"));
    panic!("it is not");
}

/// The harness's message that the test has passed, with a token that is wrong.
fn forged(token: &str) -> String {
    format!("{{\"Passed\":{{\"token\":\"{token}\",\"line\":null}}}}")
}

/// Opens everything that safe code can open, prints what it finds, and fails.
fn looks_for_the_token() {
    for file in ["mem", "environ", "cmdline", "fd/0"] {
        match std::fs::read(format!("/proc/self/{file}")) {
            Ok(text) => println!("{file}: {}", String::from_utf8_lossy(&text)),
            Err(e) => println!("{file}: {}", e.kind()),
        }
    }
    match File::open("/proc/self/mem") {
        Ok(_) => println!("the memory is open"),
        Err(_) => println!("the memory is closed"),
    }
    panic!("looked");
}

/// Does one of everything that a picture shows.
fn breaks_a_history() {
    harness::begin("Test: sample");
    record::servers(3);
    let (asked, answered) = crossbeam_channel::unbounded();
    harness::observe(move |server| {
        // Nobody may wait for it any more.
        let _ = asked.send(server);
        Some((7, server == 1))
    });
    let link = |connected: bool, links: &[(usize, usize)]| {
        // Changes within a millisecond are one change.
        sleep(Duration::from_millis(2));
        links.iter().for_each(|(i, j)| record::link(*i, *j, connected));
    };
    (0..3).for_each(record::up);
    link(true, &[(0, 1), (0, 2), (1, 2)]);
    record::unreliable(true);
    record::long_reordering(true);
    let done = |who: &str, what: &str, result: &str| {
        let operation = harness::operation(who, what);
        let id = operation.id();
        sleep(Duration::from_millis(2));
        operation.returned(result);
        id
    };
    let order = vec![done("client 1", "put(\"k\", \"a\")", ""), done("client 2", "append(\"k\", \"b\")", "")];
    done("client 1", "put(\"other\", \"x </script> y\")", "");
    record::started(1, "start(1) = index 1, term 7");
    record::applied(1, "apply index 1: 1");
    let (logged, wait) = bounded::<()>(0);
    labrpc::go("server 1: applier", move || {
        log::debug!("server 1, term 7: applies");
        drop(logged);
    });
    // Nothing is sent: this waits for the thread's end.
    let _ = wait.recv();
    // After four answers each server has been asked, and its answer is noted: the next round has begun.
    for _ in 0..4 {
        // With a limit: a simulation takes a test for deadlocked that only a watcher can wake.
        answered.recv_timeout(FOREVER).expect("the harness asks");
    }
    link(false, &[(0, 1), (1, 2)]);
    record::down(1);
    let broken = done("client 2", "get(\"k\")", "held by nobody");
    let part = order.iter().copied().chain([broken]).collect();
    record::found(vec![Finding {
        order,
        refused: vec![broken],
        part,
        note: "key \"k\" was held by nobody".into(),
    }]);
    panic!("history of 4 operations is not linearizable");
}

/// More than can be kept, and each line longer than is kept.
fn logs_without_end() {
    harness::begin("Test: sample");
    let text = "x".repeat(1000);
    for i in 0..100_000 {
        log::debug!("server 2: line {i} {text}");
    }
    panic!("enough");
}

#[expect(clippy::zombie_processes, reason = "that is the point")]
fn leaves_a_process() {
    let left = Command::new("sleep").arg("600").spawn().expect("sleep starts");
    println!("left: {}.", left.id());
    harness::passed(PASSED);
}

/// The process that is left holds standard input and output.
fn leaves_a_process_and_exits() {
    leaves_a_process();
    std::process::exit(0);
}

/// Asks threads where they are; some of them have not begun. For simulations only.
fn asks_threads_that_have_not_begun() {
    let begun = Arc::new(AtomicUsize::new(0));
    let start = |_| {
        let begun = begun.clone();
        std::thread::spawn(move || begun.fetch_add(1, Ordering::Relaxed))
    };
    let started: Vec<_> = (0..30).map(start).collect();
    let ids: Vec<usize> =
        sim::threads().expect("the test is simulated").into_iter().map(|(id, _)| id).collect();
    sim::whereabouts(&ids);
    assert!(begun.load(Ordering::Relaxed) < started.len(), "all threads have run before they were asked");
    for thread in started {
        thread.join().expect("a thread that was asked early runs as any other");
    }
}

/// Pauses one of two servers, whose threads wait in different ways. For simulations only.
fn pauses_a_server() {
    const PAUSE: Duration = Duration::from_millis(100);
    let over = Arc::new(AtomicBool::new(false));
    let counts: Vec<Arc<AtomicUsize>> = (0..2).map(|_| Arc::default()).collect();
    for (server, count) in counts.iter().enumerate() {
        let (over, count) = (over.clone(), count.clone());
        labrpc::go(format!("server {server}: sleeper"), move || {
            while !over.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1));
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let (tx, rx) = bounded::<()>(0);
    let received = Arc::new(AtomicUsize::new(0));
    labrpc::go("server 0: receiver", {
        let received = received.clone();
        move || rx.iter().for_each(|()| _ = received.fetch_add(1, Ordering::SeqCst))
    });
    let counted = || counts.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
    sleep(PAUSE);
    let (before, begun) = (counted(), Instant::now());
    harness::pause_server(0, PAUSE);
    sleep(PAUSE * 9 / 10);
    let during = counted();
    assert_eq!(before[0], during[0], "server 0 runs");
    assert!(during[1] > before[1] + 50, "server 1 does not run");
    // The receiver waits for this message, and is paused.
    tx.send(()).expect("there is a receiver");
    sleep(Duration::from_millis(1));
    assert_eq!(received.load(Ordering::SeqCst), 0);
    sleep(PAUSE);
    assert_eq!(received.load(Ordering::SeqCst), 1);
    assert!(counted()[0] > during[0] + 50, "server 0 still pauses, after {:?}", begun.elapsed());

    harness::pause_thread(1, PAUSE, |threads| threads - 1);
    let before = counted();
    sleep(PAUSE / 2);
    let during = counted();
    assert_eq!(before[1], during[1], "the thread of server 1 runs");
    assert!(during[0] > before[0] + 25, "server 0 does not run");
    over.store(true, Ordering::SeqCst);
}
