//! Snapshots at the level of Raft, as in MIT's later tests (2D): a service that does nothing but take snapshots, while
//! followers lag, crash and restart, and messages are lost or late.
//!
//! These tests need what students may name as they like: [`raft::Raft::snapshot`], and an [`ApplyMsg`] that carries a
//! snapshot.

// The harness of Raft's tests names the crate `raft`. Here that is the reference solution, compiled once more.
extern crate reference_tests as raft;

#[path = "../../../../raft/tests/config.rs"]
#[allow(dead_code, reason = "these tests need a part of the harness of Raft's tests")]
mod config;

use config::{Command, Config, Logs, Service, decode_command};
use raft::ApplyMsg;
use rand::RngExt;
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A service takes a snapshot after each entry whose index is a multiple of this number (MIT: `SnapShotInterval`).
const SNAPSHOT_INTERVAL: usize = 10;

/// How large the state that Raft saves may be, in bytes (MIT: `MAXLOGSIZE`). This is many times the size of the entries
/// between two snapshots.
const MAX_STATE: usize = 2000;

fn main() -> ExitCode {
    // Always simulated: in real time these tests take four minutes.
    harness::run_with_simulated(&[], &TESTS)
}

const TESTS: [harness::Test; 7] = [
    ("test_snapshots_basic_extra", test_snapshots_basic_extra),
    ("test_snapshots_disconnect_extra", test_snapshots_disconnect_extra),
    ("test_snapshots_disconnect_unreliable_extra", test_snapshots_disconnect_unreliable_extra),
    ("test_snapshots_crash_extra", test_snapshots_crash_extra),
    ("test_snapshots_crash_unreliable_extra", test_snapshots_crash_unreliable_extra),
    ("test_snapshots_late_extra", test_snapshots_late_extra),
    ("test_snapshots_crash_after_any_save_extra", test_snapshots_crash_after_any_save_extra),
];

/// The service of one instance of a server. Its state is the list of all commands, and so is a snapshot.
struct Snapshotter {
    server: usize,
    /// The commands that were applied, from index 1 on.
    state: Vec<Command>,
    logs: Arc<Logs>,
    cfg: Weak<Config>,
}

impl Snapshotter {
    fn make(server: usize, logs: &Arc<Logs>, cfg: &Weak<Config>) -> Service {
        let (logs, cfg) = (logs.clone(), cfg.clone());
        let mut service = Snapshotter { server, state: Vec::new(), logs, cfg };
        Box::new(move |msg| service.apply(msg))
    }

    fn apply(&mut self, msg: &ApplyMsg) {
        // A service may be slow. Messages then gather in Raft.
        if rand::rng().random_ratio(1, 10) {
            sleep(Duration::from_millis(rand::rng().random_range(1..5)));
        }
        if msg.snapshot_valid {
            self.install(msg);
        } else if msg.command_valid {
            self.execute(msg);
        }
    }

    /// Replaces the state by a snapshot. The snapshot must not be older than the state, and must hold what the other
    /// servers have applied.
    fn install(&mut self, msg: &ApplyMsg) {
        let (server, index, applied) = (self.server, msg.snapshot_index, self.state.len());
        assert!(
            index >= applied,
            "apply error: server {server} has applied index {applied}, and gets an older snapshot, up to index {index}"
        );
        self.state = labgob::decode(&msg.snapshot)
            .unwrap_or_else(|e| panic!("apply error: server {server} gets a snapshot that nobody took: {e}"));
        let holds = self.state.len();
        assert!(
            holds == index,
            "apply error: server {server} gets a snapshot up to index {index}, which holds {holds} commands"
        );
        for (i, cmd) in self.state.iter().enumerate() {
            self.logs.note_applied(server, i + 1, *cmd);
        }
        // Loading a snapshot takes time. Meanwhile Raft may get a newer snapshot, and entries after that.
        sleep(Duration::from_millis(rand::rng().random_range(0..100)));
    }

    /// Applies a command, and perhaps takes a snapshot. The command must be the next one.
    fn execute(&mut self, msg: &ApplyMsg) {
        let (server, index, next) = (self.server, msg.command_index, self.state.len() + 1);
        assert!(
            index == next,
            "apply error: server {server} applies index {index}, but the next index is {next}"
        );
        let cmd = decode_command(server, msg);
        self.state.push(cmd);
        self.logs.note_applied(server, index, cmd);
        // The server is not known while it starts.
        if index % SNAPSHOT_INTERVAL == 0
            && let Some(rf) = self.cfg.upgrade().and_then(|cfg| cfg.raft(server))
        {
            let snapshot = labgob::encode(&self.state).expect("a list of commands can be encoded");
            rf.snapshot(index, snapshot);
        }
    }
}

fn random() -> Command {
    rand::rng().random_range(0..Command::MAX)
}

/// What happens to one server in each round.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Stays,
    Disconnects,
    Crashes,
}

/// Rounds of agreements by three servers that take snapshots. In each round, one of them misses some commands and then must
/// catch up (MIT: `snapcommon`).
struct Rounds {
    title: &'static str,
    victim: Victim,
    rounds: usize,
    unreliable: bool,
    /// Whether one message in ten is late.
    late: bool,
}

impl Rounds {
    fn run(self) {
        let n = 3;
        let cfg = Config::with_services(n, self.unreliable, Snapshotter::make);
        cfg.begin(self.title);
        cfg.one(random(), n, true);
        cfg.set_stragglers(self.late);

        for round in 0..self.rounds {
            let leader = cfg.check_one_leader();
            // In every third round the leader is the victim.
            let victim = if round % 3 == 1 { leader } else { (leader + 1) % n };
            match self.victim {
                Victim::Stays => {}
                Victim::Disconnects => cfg.disconnect(victim),
                Victim::Crashes => cfg.crash1(victim),
            }
            let alive = if self.victim == Victim::Stays { n } else { n - 1 };
            cfg.one(random(), alive, true);
            // Sometimes so few that there is no new snapshot.
            let count = rand::rng().random_range(SNAPSHOT_INTERVAL / 2..2 * SNAPSHOT_INTERVAL);
            for i in 0..n {
                if let Some(rf) = cfg.raft(i).filter(|_| cfg.is_connected(i)) {
                    (0..count).for_each(|_| _ = rf.start(&random()));
                }
            }
            cfg.one(random(), alive, true);
            match self.victim {
                Victim::Stays => continue,
                Victim::Disconnects => {}
                Victim::Crashes => cfg.start1(victim),
            }
            cfg.connect(victim);
            cfg.one(random(), n, true);
        }

        cfg.set_stragglers(false);
        cfg.set_unreliable(false);
        cfg.one(random(), n, true);
        check_logs_are_trimmed(&cfg);
        // All start from their snapshots.
        restart_all(&cfg);
        cfg.one(random(), n, true);

        cfg.end();
        cfg.cleanup();
    }
}

fn restart_all(cfg: &Config) {
    (0..cfg.n).for_each(|i| cfg.crash1(i));
    (0..cfg.n).for_each(|i| cfg.start1(i));
    (0..cfg.n).for_each(|i| cfg.connect(i));
}

/// Checks that every server has replaced most of its log by a snapshot. A server may be applying its last entries.
fn check_logs_are_trimmed(cfg: &Config) {
    let begun = Instant::now();
    loop {
        let sizes: Vec<usize> = (0..cfg.n).map(|i| cfg.raft_state_size(i)).collect();
        if sizes.iter().all(|size| *size <= MAX_STATE) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "a log is not trimmed: Raft's states have {sizes:?} bytes, and may have {MAX_STATE}"
        );
        sleep(Duration::from_millis(10));
    }
}

fn test_snapshots_basic_extra() {
    let title = "Test (extra): snapshots basic";
    Rounds { title, victim: Victim::Stays, rounds: 20, unreliable: false, late: false }.run();
}

fn test_snapshots_disconnect_extra() {
    let title = "Test (extra): install snapshots (disconnect)";
    Rounds { title, victim: Victim::Disconnects, rounds: 20, unreliable: false, late: false }.run();
}

fn test_snapshots_disconnect_unreliable_extra() {
    let title = "Test (extra): install snapshots (disconnect, unreliable)";
    Rounds { title, victim: Victim::Disconnects, rounds: 60, unreliable: true, late: false }.run();
}

fn test_snapshots_crash_extra() {
    let title = "Test (extra): install snapshots (crash)";
    Rounds { title, victim: Victim::Crashes, rounds: 20, unreliable: false, late: false }.run();
}

fn test_snapshots_crash_unreliable_extra() {
    let title = "Test (extra): install snapshots (crash, unreliable)";
    Rounds { title, victim: Victim::Crashes, rounds: 60, unreliable: true, late: false }.run();
}

/// Messages overtake each other: entries that follow a snapshot may arrive before it, and a snapshot after newer entries.
fn test_snapshots_late_extra() {
    let title = "Test (extra): snapshots that arrive late";
    Rounds { title, victim: Victim::Disconnects, rounds: 30, unreliable: false, late: true }.run();
}

/// A server crashes right after a save, which is chosen at random: of a snapshot, of new entries, or of a term. Then all
/// restart. What the server has saved by then must fit together.
fn test_snapshots_crash_after_any_save_extra() {
    const ROUNDS: usize = 40;
    let n = 3;
    let cfg = Config::with_services(n, false, Snapshotter::make);
    cfg.begin("Test (extra): a crash after any save of a snapshot");

    for round in 0..ROUNDS {
        cfg.one(random(), n, true);
        let starter = harness::spawn("starts commands", {
            let cfg = cfg.clone();
            move || {
                for i in (0..n).cycle().take(n * SNAPSHOT_INTERVAL) {
                    cfg.raft(i).into_iter().for_each(|rf| _ = rf.start(&random()));
                    sleep(Duration::from_millis(1));
                }
            }
        });
        cfg.crash_at_save(round % n, rand::rng().random_range(1..=10));
        starter.wait();
        restart_all(&cfg);
    }
    cfg.one(random(), n, true);
    check_logs_are_trimmed(&cfg);

    cfg.end();
    cfg.cleanup();
}
