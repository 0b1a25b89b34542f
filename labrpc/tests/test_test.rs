//! The ten tests of Go's labrpc (test_test.go), and tests of what this labrpc has beyond Go's. The harness runs them, as it
//! runs the tests of Raft.

use crossbeam_channel::{RecvTimeoutError, bounded, unbounded};
use labrpc::{ClientEnd, Departure, Latency, Network, Receiver, Server, Service, make_service};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, Serializer};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    const TESTS: &[harness::Test] = &[
        ("test_basic", test_basic),
        ("test_types", test_types),
        ("test_disconnect", test_disconnect),
        ("test_counts", test_counts),
        ("test_concurrent_many", test_concurrent_many),
        ("test_unreliable", test_unreliable),
        ("test_concurrent_one", test_concurrent_one),
        ("test_regression1", test_regression1),
        ("test_killed", test_killed),
        ("test_benchmark", test_benchmark),
        ("a_replaced_servers_answer_is_thrown_away", a_replaced_servers_answer_is_thrown_away),
        ("a_reply_that_is_held_back_arrives", a_reply_that_is_held_back_arrives),
        ("the_arguments_of_a_stalled_caller_are_read_late", the_arguments_of_a_stalled_caller_are_read_late),
        (
            "a_message_that_has_left_arrives_though_its_sender_crashes",
            a_message_that_has_left_arrives_though_its_sender_crashes,
        ),
        ("messages_through_a_slow_end_take_longer", messages_through_a_slow_end_take_longer),
        (
            "cleanup_ends_pending_calls_at_once_and_later_ones_too",
            cleanup_ends_pending_calls_at_once_and_later_ones_too,
        ),
        (
            "the_thread_of_a_go_statement_is_reused_and_named",
            the_thread_of_a_go_statement_is_reused_and_named,
        ),
        ("a_go_statement_is_running_from_the_start", a_go_statement_is_running_from_the_start),
        ("a_thread_for_each_call_works_with_few_threads", a_thread_for_each_call_works_with_few_threads),
        ("handlers_that_wait_leave_threads_for_others", handlers_that_wait_leave_threads_for_others),
        ("a_request_without_a_thread_is_lost_in_the_end", a_request_without_a_thread_is_lost_in_the_end),
    ];
    harness::run_with_simulated(TESTS, &[("calls_to_nobody_make_room", calls_to_nobody_make_room)])
}

#[derive(Serialize, Deserialize, Default)]
struct JunkArgs {
    x: i32,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct JunkReply {
    x: String,
}

#[derive(Default)]
struct JunkServer {
    log1: Mutex<Vec<String>>,
    log2: Mutex<Vec<i32>>,
    /// The handlers of "Hang" return when this channel is closed.
    hang: Option<crossbeam_channel::Receiver<()>>,
}

impl JunkServer {
    #[expect(clippy::ptr_arg, reason = "a handler takes the type that was decoded")]
    fn handler1(&self, args: &String, reply: &mut i32) {
        self.log1.lock().push(args.clone());
        *reply = args.parse().expect("the test sends a number");
    }

    fn handler2(&self, args: &i32, reply: &mut String) {
        self.log2.lock().push(*args);
        *reply = format!("handler2-{args}");
    }

    /// Go's Handler3 sleeps for 20 s.
    fn hang(&self, args: &i32, reply: &mut i32) {
        let ended = self.hang.as_ref().expect("the test sets it").recv();
        assert!(ended.is_err(), "nobody sends");
        *reply = -args;
    }

    fn handler4(&self, args: &JunkArgs, reply: &mut JunkReply) {
        reply.x = format!("struct {}", args.x);
    }
}

impl Receiver for JunkServer {
    fn service(self: Arc<Self>) -> Service {
        Service::new("JunkServer")
            .method("Handler1", &self, Self::handler1)
            .method("Handler2", &self, Self::handler2)
            .method("Hang", &self, Self::hang)
            .method("Handler4", &self, Self::handler4)
    }
}

/// A network with the server "s".
fn network(js: &Arc<JunkServer>) -> Network {
    let net = Network::new();
    net.add_server("s", server(js));
    net
}

fn server(js: &Arc<JunkServer>) -> Server {
    let mut server = Server::new();
    server.add_service(make_service(js.clone()));
    server
}

/// An end that may talk to the server "s".
fn enabled_end(net: &Network, name: impl ToString + Copy) -> ClientEnd {
    let end = net.make_end(name);
    net.connect(name, "s");
    net.enable(name, true);
    end
}

fn handler2(end: &ClientEnd, arg: i32) -> Option<String> {
    let mut reply = String::new();
    end.call("JunkServer.Handler2", &arg, &mut reply).then_some(reply)
}

#[cfg_attr(rust_analyzer, test)]
fn test_basic() {
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");

    assert_eq!(handler2(&end, 111).as_deref(), Some("handler2-111"));
    let mut reply = 0;
    assert!(end.call("JunkServer.Handler1", "9099", &mut reply));
    assert_eq!(reply, 9099);
}

#[cfg_attr(rust_analyzer, test)]
fn test_types() {
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    let mut reply = JunkReply { x: "what was in the reply before is gone".to_string() };
    assert!(end.call("JunkServer.Handler4", &JunkArgs { x: 5 }, &mut reply));
    assert_eq!(reply, JunkReply { x: "struct 5".to_string() });
}

#[cfg_attr(rust_analyzer, test)]
fn test_disconnect() {
    let net = network(&Arc::default());
    let end = net.make_end("e");
    net.connect("e", "s");
    assert_eq!(handler2(&end, 111), None, "a fresh end is disabled");
    net.enable("e", true);
    assert_eq!(handler2(&end, 112).as_deref(), Some("handler2-112"));
    net.enable("e", false);
    assert_eq!(handler2(&end, 113), None);

    let unconnected = net.make_end("unconnected");
    net.enable("unconnected", true);
    assert_eq!(handler2(&unconnected, 114), None);
    assert_eq!(net.get_total_count(), 4, "lost RPCs count too");
    assert_eq!(net.get_count("s"), 1);
}

#[cfg_attr(rust_analyzer, test)]
fn test_counts() {
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    for i in 0..17 {
        assert_eq!(handler2(&end, i), Some(format!("handler2-{i}")));
    }
    assert_eq!(net.get_count("s"), 17);
    assert_eq!(net.get_total_count(), 17);
}

#[cfg_attr(rust_analyzer, test)]
fn test_concurrent_many() {
    let net = network(&Arc::default());
    std::thread::scope(|scope| {
        for client in 0..20 {
            let net = &net;
            scope.spawn(move || {
                let end = enabled_end(net, client);
                for j in 0..10 {
                    let arg = client * 100 + j;
                    assert_eq!(handler2(&end, arg), Some(format!("handler2-{arg}")));
                }
            });
        }
    });
    assert_eq!(net.get_count("s"), 200);
}

#[cfg_attr(rust_analyzer, test)]
fn test_unreliable() {
    let js = Arc::<JunkServer>::default();
    let net = network(&js);
    net.reliable(false);
    let (done, replies) = unbounded();
    for client in 0..300 {
        let end = enabled_end(&net, client);
        end.go_to("JunkServer.Handler2", &client, &done, move |reply: Option<String>| (client, reply));
    }
    drop(done);
    let mut ok = 0;
    for (client, reply) in &replies {
        if let Some(reply) = reply {
            assert_eq!(reply, format!("handler2-{client}"));
            ok += 1;
        }
    }
    assert!(0 < ok && ok < 300, "{ok} of 300 RPCs succeeded on an unreliable network");
    let executed = js.log2.lock().len();
    assert!(ok < executed && executed < 300, "{executed} requests arrived, {ok} replies");
}

#[cfg_attr(rust_analyzer, test)]
fn test_concurrent_one() {
    let js = Arc::<JunkServer>::default();
    let net = network(&js);
    let end = enabled_end(&net, "e");
    std::thread::scope(|scope| {
        for i in 100..120 {
            let end = &end;
            scope.spawn(move || assert_eq!(handler2(end, i), Some(format!("handler2-{i}"))));
        }
    });
    assert_eq!(js.log2.lock().len(), 20);
    assert_eq!(net.get_count("s"), 20);
}

/// An RPC that is delayed while the end is disabled must not delay later ones.
#[cfg_attr(rust_analyzer, test)]
fn test_regression1() {
    let js = Arc::<JunkServer>::default();
    let net = network(&js);
    let end = net.make_end("e");
    net.connect("e", "s");
    let lost: Vec<_> = (0..20).map(|i| end.go::<i32, String>("JunkServer.Handler2", &i)).collect();
    std::thread::sleep(Duration::from_millis(100));

    let start = Instant::now();
    net.enable("e", true);
    assert_eq!(handler2(&end, 99).as_deref(), Some("handler2-99"));
    assert!(start.elapsed() < Duration::from_millis(30), "an RPC took {:?} after enable", start.elapsed());

    for reply in lost {
        assert_eq!(reply.recv(), Ok(None));
    }
    assert_eq!(*js.log2.lock(), [99]);
    assert_eq!(net.get_count("s"), 1);
}

/// An RPC that is stuck in a server gets unstuck when the server is deleted.
#[cfg_attr(rust_analyzer, test)]
fn test_killed() {
    let (_hanging, hang) = bounded(0);
    let net = network(&Arc::new(JunkServer { hang: Some(hang), ..JunkServer::default() }));
    let end = enabled_end(&net, "e");
    let done = end.go::<i32, i32>("JunkServer.Hang", &99);
    assert_eq!(done.recv_timeout(Duration::from_millis(1100)), Err(RecvTimeoutError::Timeout));
    // The network looks at the call 1.1 s after it was sent, 1.2 s after, and so on. Delete the server in between, so that
    // neither "still pending at 1.1 s" nor "within 100 ms" depends on which thread is faster.
    std::thread::sleep(Duration::from_millis(50));
    net.delete_server("s");
    assert_eq!(done.recv_timeout(Duration::from_millis(100)), Ok(None));
}

/// Go's benchmark; it prints the time and asserts nothing about it.
#[cfg_attr(rust_analyzer, test)]
fn test_benchmark() {
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    let n = 100_000;
    let start = Instant::now();
    for _ in 0..n {
        assert_eq!(handler2(&end, 111).as_deref(), Some("handler2-111"));
    }
    println!("{:?} for {n}", start.elapsed());
}

/// A reply that comes after its server was replaced is discarded.
#[cfg_attr(rust_analyzer, test)]
fn a_replaced_servers_answer_is_thrown_away() {
    let (hanging, hang) = bounded(0);
    let net = network(&Arc::new(JunkServer { hang: Some(hang), ..JunkServer::default() }));
    let end = enabled_end(&net, "e");
    let done = end.go::<i32, i32>("JunkServer.Hang", &99);
    while net.get_count("s") == 0 {
        std::thread::yield_now();
    }
    net.add_server("s", server(&Arc::default()));
    drop(hanging);
    assert_eq!(done.recv(), Ok(None));
    assert_eq!(handler2(&end, 1).as_deref(), Some("handler2-1"));
}

/// A reply that is held back for reordering arrives, even if its end was disabled and its server deleted meanwhile.
#[cfg_attr(rust_analyzer, test)]
fn a_reply_that_is_held_back_arrives() {
    let net = Network::new();
    net.add_server("r", server(&Arc::default()));
    net.long_reordering(true);
    let end = net.make_end("e");
    net.connect("e", "r");
    net.enable("e", true);
    let calls: Vec<_> = (0..30).map(|i| end.go::<i32, String>("JunkServer.Handler2", &i)).collect();
    while is_running("server r: JunkServer.Handler2 handler") {
        std::thread::yield_now();
    }
    net.enable("e", false);
    net.delete_server("r");
    for (i, call) in calls.iter().enumerate() {
        assert_eq!(call.recv(), Ok(Some(format!("handler2-{i}"))));
    }
}

/// Arguments that note the time at which they are read.
struct Read(Mutex<Option<Instant>>);

impl Serialize for Read {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        *self.0.lock() = Some(Instant::now());
        serializer.serialize_i32(7)
    }
}

/// The stall is like losing the processor: what the thread is about to send may change meanwhile.
#[cfg_attr(rust_analyzer, test)]
fn the_arguments_of_a_stalled_caller_are_read_late() {
    let stall = Duration::from_millis(20);
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    let other = enabled_end(&net, "f");
    net.stall("e", stall);
    for (end, stalls) in [(&other, false), (&end, true), (&end, false)] {
        let (begun, args, mut reply) = (Instant::now(), Read(Mutex::default()), String::new());
        assert!(end.call("JunkServer.Handler2", &args, &mut reply));
        assert_eq!(reply, "handler2-7");
        let late = args.0.lock().expect("it was sent").duration_since(begun);
        // On a busy machine, a caller that is not stalled may be late too.
        assert!(late >= stall || !stalls, "read after {late:?}");
    }
}

#[cfg_attr(rust_analyzer, test)]
fn a_message_that_has_left_arrives_though_its_sender_crashes() {
    for delayed in [false, true] {
        let js = Arc::<JunkServer>::default();
        let net = Arc::new(network(&js));
        let usual = delayed.then_some(Duration::from_millis(1)..=Duration::from_millis(2));
        net.latency(Latency { usual, ..Latency::default() });
        let end = enabled_end(&net, "e");
        let (departed, departures) = unbounded();
        let weak = Arc::downgrade(&net);
        net.on_departure(move |departure| {
            let net = weak.upgrade().expect("the test has it");
            match departure {
                Departure::Request { end } => departed.send(format!("request through {end}")),
                Departure::Reply { server } => {
                    net.delete_server(server);
                    departed.send(format!("reply of {server}"))
                }
            }
            .expect("the test receives");
        });
        // The server crashes as its reply leaves.
        assert_eq!(handler2(&end, 1).as_deref(), Some("handler2-1"));
        let mut seen: Vec<String> = departures.try_iter().collect();
        seen.sort();
        assert_eq!(seen, ["reply of s", "request through e"]);
        // The client crashes as its request leaves.
        net.add_server("s", server(&js));
        let weak = Arc::downgrade(&net);
        net.on_departure(move |departure| {
            if let Departure::Request { end } = departure {
                weak.upgrade().expect("the test has it").enable(end, false);
            }
        });
        assert_eq!(handler2(&end, 2), None, "a client that has crashed gets no reply");
        assert_eq!(*js.log2.lock(), [1, 2]);
    }
}

#[cfg_attr(rust_analyzer, test)]
fn messages_through_a_slow_end_take_longer() {
    let longest = Duration::from_millis(20);
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    net.slow("e", longest);
    let begun = Instant::now();
    assert_eq!(handler2(&end, 1).as_deref(), Some("handler2-1"));
    // The request takes at least half of the longest time, and so does the reply.
    assert!(begun.elapsed() >= longest, "it took {:?}", begun.elapsed());
    // The end is not slow for ever: with this time, the next call would fail the test.
    net.slow("e", Duration::from_secs(1000));
    net.slow("e", Duration::ZERO);
    assert_eq!(handler2(&end, 2).as_deref(), Some("handler2-2"));
}

fn is_running(name: &str) -> bool {
    labrpc::running().iter().any(|task| task.name.to_string() == name)
}

#[cfg_attr(rust_analyzer, test)]
fn cleanup_ends_pending_calls_at_once_and_later_ones_too() {
    let (_hanging, hang) = bounded(0);
    let net = network(&Arc::new(JunkServer { hang: Some(hang), ..JunkServer::default() }));
    net.long_delays(true);
    let end = enabled_end(&net, "e");
    let stuck = end.go::<i32, i32>("JunkServer.Hang", &1);
    let unconnected = net.make_end("unconnected");
    let lost: Vec<_> = (0..20).map(|i| unconnected.go::<i32, String>("JunkServer.Handler2", &i)).collect();

    net.cleanup();
    assert_eq!(stuck.try_recv(), Ok(None));
    for reply in lost {
        assert_eq!(reply.try_recv(), Ok(None));
    }
    assert_eq!(handler2(&end, 1), None);
}

#[cfg_attr(rust_analyzer, test)]
fn the_thread_of_a_go_statement_is_reused_and_named() {
    let (tx, rx) = bounded(0);
    for _ in 0..50 {
        let tx = tx.clone();
        labrpc::go("server 7: reuse", move || {
            tx.send((labrpc::current_task(), std::thread::current().id())).expect("the test waits");
        });
        let (name, _thread) = rx.recv().expect("the task sends");
        assert_eq!(name, Some("server 7: reuse".into()));
    }
    // The 50 tasks run one after the other. A new thread is needed only if the last one is not on the idle list yet.
    while is_running("server 7: reuse") {
        std::thread::yield_now();
    }
    assert!(labrpc::idle_threads() > 0);
}

/// A task counts as running from the moment in which it is handed over, even if its thread has not begun it yet.
#[cfg_attr(rust_analyzer, test)]
fn a_go_statement_is_running_from_the_start() {
    let (hanging, hang) = bounded::<()>(0);
    for i in 0..20 {
        let hang = hang.clone();
        let name = format!("server 8: task {i}");
        labrpc::go(name.clone(), move || assert!(hang.recv().is_err(), "nobody sends"));
        assert!(is_running(&name));
    }
    drop(hanging);
}

/// The number of threads that the pool has in the tests of few threads.
const FEW: usize = 18;

/// Each of these calls waits on a thread of its own for a handler, which needs a thread too.
#[cfg_attr(rust_analyzer, test)]
fn a_thread_for_each_call_works_with_few_threads() {
    labrpc::limit_threads(FEW);
    let net = network(&Arc::default());
    net.latency(Latency {
        usual: Some(Duration::from_millis(1)..=Duration::from_millis(2)),
        ..Latency::default()
    });
    let end = enabled_end(&net, "e");
    let (tx, rx) = unbounded();
    for i in 0..300 {
        let (tx, end) = (tx.clone(), end.clone());
        labrpc::go(format!("server 1: call {i}"), move || {
            tx.send(handler2(&end, i)).expect("the test waits")
        });
        assert!(labrpc::running().iter().all(|task| task.worker <= FEW));
    }
    let replies: Vec<Option<String>> = (0..300).map(|_| rx.recv().expect("each task sends")).collect();
    assert!(replies.iter().all(Option::is_some), "a call failed on a reliable network");
    assert!(labrpc::shortage().is_some_and(|text| text.contains("had to wait for a free thread")));
}

/// As the handlers of a key/value service do, which wait for Raft's.
#[cfg_attr(rust_analyzer, test)]
fn handlers_that_wait_leave_threads_for_others() {
    labrpc::limit_threads(FEW);
    let (hanging, hang) = bounded(0);
    let net = network(&Arc::new(JunkServer { hang: Some(hang), ..JunkServer::default() }));
    let end = enabled_end(&net, "e");
    let stuck: Vec<_> = (0..50).map(|i| end.go::<i32, i32>("JunkServer.Hang", &i)).collect();
    // Another handler runs, and a task, though fifty handlers want to wait.
    assert_eq!(handler2(&end, 7).as_deref(), Some("handler2-7"));
    let (tx, rx) = bounded(1);
    labrpc::go("server 1: task", move || tx.send(()).expect("the test waits"));
    rx.recv().expect("the task runs");
    drop(hanging);
    for reply in stuck {
        // Some may have waited for a thread for too long, and are lost.
        let _ = reply.recv().expect("each call ends");
    }
}

/// Threads that wait for calls whose handlers find no thread do not wait for ever.
#[cfg_attr(rust_analyzer, test)]
fn a_request_without_a_thread_is_lost_in_the_end() {
    labrpc::limit_threads(1);
    let net = network(&Arc::default());
    let end = enabled_end(&net, "e");
    let (tx, rx) = bounded(1);
    labrpc::go("server 1: call", move || tx.send(handler2(&end, 1)).expect("the test waits"));
    assert_eq!(rx.recv(), Ok(None));
}

/// A call to nobody takes up to seven seconds, but not while others need its thread. Always simulated.
#[cfg_attr(rust_analyzer, test)]
fn calls_to_nobody_make_room() {
    labrpc::limit_threads(FEW);
    let net = network(&Arc::default());
    net.long_delays(true);
    let (nobody, end) = (net.make_end("nobody"), enabled_end(&net, "e"));
    for i in 0..300 {
        let nobody = nobody.clone();
        labrpc::go(format!("server 1: call {i} to nobody"), move || assert!(handler2(&nobody, i).is_none()));
    }
    let begun = Instant::now();
    let (tx, rx) = bounded(1);
    labrpc::go("server 1: call", move || tx.send(handler2(&end, 1)).expect("the test waits"));
    assert_eq!(rx.recv(), Ok(Some("handler2-1".to_string())));
    // The test's first calls have been on their way for a moment only.
    assert!(begun.elapsed() < Duration::from_millis(100), "the call waited for {:?}", begun.elapsed());
}
