//! Lab 2's seventeen tests (Go: test_test.go), and ten extra tests for bugs that the seventeen do not find.

mod config;

use config::{Command, Config};
use harness::record;
use rand::RngExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long an election may take in these tests: much longer than the paper's timeouts.
const RAFT_ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    harness::run_with_simulated(&TESTS, &SIMULATED)
}

const TESTS: [harness::Test; 23] = [
    ("test_initial_election_2a", test_initial_election_2a),
    ("test_re_election_2a", test_re_election_2a),
    ("test_basic_agree_2b", test_basic_agree_2b),
    ("test_fail_agree_2b", test_fail_agree_2b),
    ("test_fail_no_agree_2b", test_fail_no_agree_2b),
    ("test_concurrent_starts_2b", test_concurrent_starts_2b),
    ("test_rejoin_2b", test_rejoin_2b),
    ("test_backup_2b", test_backup_2b),
    ("test_count_2b", test_count_2b),
    ("test_persist1_2c", test_persist1_2c),
    ("test_persist2_2c", test_persist2_2c),
    ("test_persist3_2c", test_persist3_2c),
    ("test_figure8_2c", test_figure8_2c),
    ("test_unreliable_agree_2c", test_unreliable_agree_2c),
    ("test_figure8_unreliable_2c", test_figure8_unreliable_2c),
    ("test_reliable_churn_2c", test_reliable_churn_2c),
    ("test_unreliable_churn_2c", test_unreliable_churn_2c),
    ("test_one_vote_per_term_extra", test_one_vote_per_term_extra),
    ("test_many_candidates_extra", test_many_candidates_extra),
    ("test_figure8_step_by_step_extra", test_figure8_step_by_step_extra),
    ("test_late_appends_extra", test_late_appends_extra),
    ("test_stale_replies_extra", test_stale_replies_extra),
    ("test_stalled_leader_extra", test_stalled_leader_extra),
];

/// The tests that measure time, or that mostly wait: always simulated.
const SIMULATED: [harness::Test; 5] = [
    ("test_late_votes_extra", test_late_votes_extra),
    ("test_slow_elections_extra", test_slow_elections_extra),
    ("test_timer_after_granted_vote_extra", test_timer_after_granted_vote_extra),
    ("test_timer_after_denied_vote_extra", test_timer_after_denied_vote_extra),
    ("test_timer_after_stale_append_extra", test_timer_after_stale_append_extra),
];

/// A random command. Two commands of a test are hardly ever equal.
fn random() -> Command {
    rand::rng().random_range(0..Command::MAX)
}

/// True with a probability of `chance` per cent.
fn percent(chance: u32) -> bool {
    rand::rng().random_range(0..100) < chance
}

/// A random time, shorter than `below` milliseconds.
fn random_ms(below: u64) -> Duration {
    Duration::from_millis(rand::rng().random_range(0..below))
}

#[cfg_attr(rust_analyzer, test)]
fn test_initial_election_2a() {
    let cfg = Config::new(3, false);
    cfg.begin("Test (2A): initial election");

    cfg.check_one_leader();

    // Wait until all followers know the election's outcome.
    sleep(Duration::from_millis(50));
    let term1 = cfg.check_terms();

    // Without failures, leader and term should stay.
    sleep(2 * RAFT_ELECTION_TIMEOUT);
    let term2 = cfg.check_terms();
    if term1 != term2 {
        println!("warning: term changed even though there were no failures");
    }
    cfg.check_one_leader();

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_re_election_2a() {
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2A): election after network failure");

    let leader1 = cfg.check_one_leader();

    // The leader disconnects: a new one is elected.
    cfg.disconnect(leader1);
    cfg.check_one_leader();

    // The old leader comes back: this must not disturb the new one.
    cfg.connect(leader1);
    let leader2 = cfg.check_one_leader();

    // No majority: no leader.
    cfg.disconnect(leader2);
    cfg.disconnect((leader2 + 1) % n);
    sleep(2 * RAFT_ELECTION_TIMEOUT);
    cfg.check_no_leader();

    // A majority again: one leader.
    cfg.connect((leader2 + 1) % n);
    cfg.check_one_leader();

    // All servers again: one leader.
    cfg.connect(leader2);
    cfg.check_one_leader();

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_basic_agree_2b() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2B): basic agreement");

    for index in 1..=3 {
        assert!(cfg.n_committed(index).0 == 0, "some have committed before start()");
        let got = cfg.one(index as Command * 100, n, false);
        assert!(got == index, "got index {got} but expected {index}");
    }

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_fail_agree_2b() {
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2B): agreement despite follower disconnection");

    cfg.one(101, n, false);

    // A follower disconnects; the others agree.
    let leader = cfg.check_one_leader();
    cfg.disconnect((leader + 1) % n);
    cfg.one(102, n - 1, false);
    cfg.one(103, n - 1, false);
    sleep(RAFT_ELECTION_TIMEOUT);
    cfg.one(104, n - 1, false);
    cfg.one(105, n - 1, false);

    // The follower comes back; all agree.
    cfg.connect((leader + 1) % n);
    cfg.one(106, n, true);
    sleep(RAFT_ELECTION_TIMEOUT);
    cfg.one(107, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_fail_no_agree_2b() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2B): no agreement if too many followers disconnect");

    cfg.one(10, n, false);

    let leader = cfg.check_one_leader();
    for k in 1..=3 {
        cfg.disconnect((leader + k) % n);
    }
    let (index, _, ok) = cfg.start(leader, 20);
    assert!(ok, "leader rejected start()");
    assert!(index == 2, "expected index 2, got {index}");

    sleep(2 * RAFT_ELECTION_TIMEOUT);
    let (count, _) = cfg.n_committed(index);
    assert!(count == 0, "{count} committed but no majority");

    for k in 1..=3 {
        cfg.connect((leader + k) % n);
    }
    // The majority may have elected a leader of its own, which does not have the entry at index 2.
    let leader2 = cfg.check_one_leader();
    let (index2, _, ok2) = cfg.start(leader2, 30);
    assert!(ok2, "leader2 rejected start()");
    assert!((2..=3).contains(&index2), "unexpected index {index2}");

    cfg.one(1000, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_concurrent_starts_2b() {
    let cfg = Config::new(3, false);
    cfg.begin("Test (2B): concurrent Start()s");

    let success = (0..5).any(|attempt| {
        if attempt > 0 {
            // Give the solution some time to settle.
            sleep(3 * RAFT_ELECTION_TIMEOUT);
        }
        concurrent_starts(&cfg)
    });
    assert!(success, "term changed too often");

    cfg.end();
    cfg.cleanup();
}

/// Starts five commands at once, and checks that all are committed. Returns false if the term changed.
fn concurrent_starts(cfg: &Arc<Config>) -> bool {
    let leader = cfg.check_one_leader();
    let (_, term, ok) = cfg.start(leader, 1);
    if !ok {
        return false;
    }
    let wanted = 100..105;
    let starts: Vec<_> = (wanted.clone())
        .map(|cmd| {
            let cfg = cfg.clone();
            harness::spawn(format!("start of {cmd}"), move || match cfg.start(leader, cmd) {
                (index, term1, true) if term1 == term => Some(index),
                _ => None,
            })
        })
        .collect();
    let indexes: Vec<usize> = starts.into_iter().filter_map(harness::Task::wait).collect();
    if (0..cfg.n).any(|i| cfg.term(i) != term) {
        return false;
    }
    let committed: Option<Vec<Command>> =
        indexes.into_iter().map(|index| cfg.wait(index, cfg.n, Some(term))).collect();
    let Some(committed) = committed else { return false };
    for cmd in wanted {
        assert!(committed.contains(&cmd), "cmd {cmd} missing in {committed:?}");
    }
    true
}

#[cfg_attr(rust_analyzer, test)]
fn test_rejoin_2b() {
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2B): rejoin of partitioned leader");

    cfg.one(101, n, true);

    // The leader disconnects, and tries to agree on some entries.
    let leader1 = cfg.check_one_leader();
    cfg.disconnect(leader1);
    for cmd in 102..=104 {
        cfg.start(leader1, cmd);
    }

    // A new leader commits another entry at index 2.
    cfg.one(103, 2, true);

    // The new leader disconnects, and the old one comes back.
    let leader2 = cfg.check_one_leader();
    cfg.disconnect(leader2);
    cfg.connect(leader1);
    cfg.one(104, 2, true);

    // All servers are connected: all agree.
    cfg.connect(leader2);
    cfg.one(105, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_backup_2b() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2B): leader backs up quickly over incorrect follower logs");

    cfg.one(random(), n, true);

    // The leader with one follower starts 50 commands that cannot be committed.
    let leader1 = cfg.check_one_leader();
    let [one, two, three, four] = [1, 2, 3, 4].map(|k| (leader1 + k) % n);
    for i in [two, three, four] {
        cfg.disconnect(i);
    }
    for _ in 0..50 {
        cfg.start(leader1, random());
    }
    sleep(RAFT_ELECTION_TIMEOUT / 2);
    cfg.disconnect(leader1);
    cfg.disconnect(one);

    // The other three commit 50 commands.
    for i in [two, three, four] {
        cfg.connect(i);
    }
    for _ in 0..50 {
        cfg.one(random(), 3, true);
    }

    // The new leader with one follower starts 50 commands that cannot be committed.
    let leader2 = cfg.check_one_leader();
    let other = if leader2 == two { (leader2 + 1) % n } else { two };
    cfg.disconnect(other);
    for _ in 0..50 {
        cfg.start(leader2, random());
    }
    sleep(RAFT_ELECTION_TIMEOUT / 2);

    // The first leader, its follower, and the server that was disconnected last commit 50 commands.
    for i in 0..n {
        cfg.disconnect(i);
    }
    for i in [leader1, one, other] {
        cfg.connect(i);
    }
    for _ in 0..50 {
        cfg.one(random(), 3, true);
    }

    // All servers come back; all agree.
    for i in 0..n {
        cfg.connect(i);
    }
    cfg.one(random(), n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_count_2b() {
    let cfg = Config::new(3, false);
    cfg.begin("Test (2B): RPC counts aren't too high");

    cfg.check_one_leader();
    let election = cfg.rpc_count();
    assert!((1..=30).contains(&election), "too many or few RPCs ({election}) to elect initial leader");

    let success = (0..5).any(|attempt| {
        if attempt > 0 {
            // Give the solution some time to settle.
            sleep(3 * RAFT_ELECTION_TIMEOUT);
        }
        count_agreement(&cfg)
    });
    assert!(success, "term changed too often");

    let before = cfg.rpc_count();
    sleep(RAFT_ELECTION_TIMEOUT);
    let idle = cfg.rpc_count() - before;
    assert!(idle <= 3 * 20, "too many RPCs ({idle}) for 1 second of idleness");

    cfg.end();
    cfg.cleanup();
}

/// Makes the servers agree on ten entries, and checks that this costs few RPCs. Returns false if the term changed.
fn count_agreement(cfg: &Config) -> bool {
    const ENTRIES: usize = 10;
    let leader = cfg.check_one_leader();
    let before = cfg.rpc_count();
    let (start_index, term, true) = cfg.start(leader, 1) else { return false };
    let mut cmds = Vec::new();
    for i in 1..ENTRIES + 2 {
        let cmd = random();
        cmds.push(cmd);
        let (index, term1, ok) = cfg.start(leader, cmd);
        if term1 != term || !ok {
            return false;
        }
        assert!(start_index + i == index, "start() gave index {index}, expected {}", start_index + i);
    }
    for i in 1..=ENTRIES {
        let Some(cmd) = cfg.wait(start_index + i, cfg.n, Some(term)) else { return false };
        let (index, wanted) = (start_index + i, cmds[i - 1]);
        assert!(cmd == wanted, "wrong value {cmd} committed for index {index}; expected {wanted}");
    }
    let rpcs = cfg.rpc_count() - before;
    if (0..cfg.n).any(|i| cfg.term(i) != term) {
        return false;
    }
    assert!(rpcs <= (ENTRIES + 1 + 3) * 3, "too many RPCs ({rpcs}) for {ENTRIES} entries");
    true
}

#[cfg_attr(rust_analyzer, test)]
fn test_persist1_2c() {
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2C): basic persistence");

    cfg.one(11, n, true);

    // Restart all.
    for i in 0..n {
        cfg.start1(i);
    }
    for i in 0..n {
        cfg.disconnect(i);
        cfg.connect(i);
    }
    cfg.one(12, n, true);

    // Restart the leader.
    let leader1 = cfg.check_one_leader();
    cfg.disconnect(leader1);
    cfg.start1(leader1);
    cfg.connect(leader1);
    cfg.one(13, n, true);

    // Restart a leader that was disconnected.
    let leader2 = cfg.check_one_leader();
    cfg.disconnect(leader2);
    cfg.one(14, n - 1, true);
    cfg.start1(leader2);
    cfg.connect(leader2);
    // Wait until the old leader has caught up, before the next server disconnects.
    cfg.wait(4, n, None);

    // Restart a follower that was disconnected.
    let i3 = (cfg.check_one_leader() + 1) % n;
    cfg.disconnect(i3);
    cfg.one(15, n - 1, true);
    cfg.start1(i3);
    cfg.connect(i3);
    cfg.one(16, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_persist2_2c() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2C): more persistence");

    let mut index = 1;
    let mut next = || {
        index += 1;
        9 + index
    };
    for _ in 0..5 {
        cfg.one(next(), n, true);
        let leader1 = cfg.check_one_leader();
        let server = |k| (leader1 + k) % n;

        cfg.disconnect(server(1));
        cfg.disconnect(server(2));
        cfg.one(next(), n - 2, true);

        for k in [0, 3, 4] {
            cfg.disconnect(server(k));
        }
        for k in [1, 2] {
            cfg.start1(server(k));
        }
        for k in [1, 2] {
            cfg.connect(server(k));
        }
        sleep(RAFT_ELECTION_TIMEOUT);

        cfg.start1(server(3));
        cfg.connect(server(3));
        cfg.one(next(), n - 2, true);

        cfg.connect(server(4));
        cfg.connect(server(0));
    }
    cfg.one(1000, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_persist3_2c() {
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2C): partitioned leader and one follower crash, leader restarts");

    cfg.one(101, n, true);

    let leader = cfg.check_one_leader();
    let [one, two] = [1, 2].map(|k| (leader + k) % n);
    cfg.disconnect(two);
    cfg.one(102, 2, true);

    cfg.crash1(leader);
    cfg.crash1(one);
    cfg.connect(two);
    cfg.start1(leader);
    cfg.connect(leader);
    cfg.one(103, 2, true);

    cfg.start1(one);
    cfg.connect(one);
    cfg.one(104, n, true);

    cfg.end();
    cfg.cleanup();
}

/// Sleeps during a round of the Figure 8 tests. The sleep is sometimes long enough for the leader to commit, but mostly
/// too short.
fn figure8_pause() {
    let ms = (RAFT_ELECTION_TIMEOUT / 2).as_millis() as u64;
    sleep(if percent(10) { random_ms(ms) } else { random_ms(13) });
}

/// Figure 8 of the paper: leaders start a command and soon crash, so that a majority has entries of old terms that are not
/// committed.
#[cfg_attr(rust_analyzer, test)]
fn test_figure8_2c() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (2C): Figure 8");

    cfg.one(random(), 1, true);

    let mut up = n;
    for _ in 0..1000 {
        let mut leader = None;
        for i in 0..n {
            if let Some(rf) = cfg.raft(i)
                && rf.start(&random()).2
            {
                leader = Some(i);
            }
        }
        figure8_pause();
        if let Some(leader) = leader {
            cfg.crash1(leader);
            up -= 1;
        }
        if up < 3 {
            let i = rand::rng().random_range(0..n);
            if !cfg.is_up(i) {
                cfg.start1(i);
                cfg.connect(i);
                up += 1;
            }
        }
    }
    for i in 0..n {
        if !cfg.is_up(i) {
            cfg.start1(i);
            cfg.connect(i);
        }
    }
    cfg.one(random(), n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_unreliable_agree_2c() {
    let n = 5;
    let cfg = Config::new(n, true);
    cfg.begin("Test (2C): unreliable agreement");

    let mut agreements = Vec::new();
    for i in 1..50 {
        for cmd in 100 * i..100 * i + 4 {
            let cfg = cfg.clone();
            agreements.push(harness::spawn(format!("agreement on {cmd}"), move || cfg.one(cmd, 1, true)));
        }
        cfg.one(i, 1, true);
    }
    cfg.set_unreliable(false);
    for agreement in agreements {
        agreement.wait();
    }
    cfg.one(100, n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_figure8_unreliable_2c() {
    let n = 5;
    let cfg = Config::new(n, true);
    cfg.begin("Test (2C): Figure 8 (unreliable)");

    let cmd = || rand::rng().random_range(0..10_000);
    cfg.one(cmd(), 1, true);

    let mut connected = n;
    for round in 0..1000 {
        if round == 200 {
            cfg.set_long_reordering(true);
        }
        let mut leader = None;
        for i in 0..n {
            if cfg.start(i, cmd()).2 && cfg.is_connected(i) {
                leader = Some(i);
            }
        }
        figure8_pause();
        if let Some(leader) = leader.filter(|_| percent(50)) {
            cfg.disconnect(leader);
            connected -= 1;
        }
        if connected < 3 {
            let i = rand::rng().random_range(0..n);
            if !cfg.is_connected(i) {
                cfg.connect(i);
                connected += 1;
            }
        }
    }
    for i in 0..n {
        if !cfg.is_connected(i) {
            cfg.connect(i);
        }
    }
    cfg.one(cmd(), n, true);

    cfg.end();
    cfg.cleanup();
}

#[cfg_attr(rust_analyzer, test)]
fn test_reliable_churn_2c() {
    churn(false, "Test (2C): churn");
}

#[cfg_attr(rust_analyzer, test)]
fn test_unreliable_churn_2c() {
    churn(true, "Test (2C): unreliable churn");
}

/// Clients start values while servers crash, restart, disconnect and connect. In the end, each value that a client saw
/// committed must be in the log.
fn churn(unreliable: bool, title: &str) {
    const CLIENTS: u64 = 3;
    let n = 5;
    let cfg = Config::new(n, unreliable);
    cfg.begin(title);

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|me| {
            let (cfg, stop) = (cfg.clone(), stop.clone());
            harness::spawn_client(format!("client {me}"), move || churn_client(&cfg, me, &stop))
        })
        .collect();

    for _ in 0..20 {
        if percent(20) {
            cfg.disconnect(rand::rng().random_range(0..n));
        }
        if percent(50) {
            let i = rand::rng().random_range(0..n);
            if !cfg.is_up(i) {
                cfg.start1(i);
            }
            cfg.connect(i);
        }
        if percent(20) {
            let i = rand::rng().random_range(0..n);
            if cfg.is_up(i) {
                cfg.crash1(i);
            }
        }
        // This is too short for everything to settle before the next round, but long enough for servers to keep up
        // often.
        sleep(RAFT_ELECTION_TIMEOUT * 7 / 10);
    }

    sleep(RAFT_ELECTION_TIMEOUT);
    cfg.set_unreliable(false);
    for i in 0..n {
        if !cfg.is_up(i) {
            cfg.start1(i);
        }
        cfg.connect(i);
    }
    stop.store(true, Ordering::SeqCst);
    let values: Vec<Command> = clients.into_iter().flat_map(harness::Task::wait).collect();

    sleep(RAFT_ELECTION_TIMEOUT);
    let last_index = cfg.one(random(), n, true);
    let log: Vec<Option<Command>> = (1..=last_index).map(|index| cfg.wait(index, n, None)).collect();
    for value in values {
        assert!(
            log.contains(&Some(value)),
            "didn't find a value: {value} was committed, but is not in the log"
        );
    }

    cfg.end();
    cfg.cleanup();
}

/// Starts values on every server that accepts them. Returns the values that it saw committed.
fn churn_client(cfg: &Config, me: u64, stop: &AtomicBool) -> Vec<Command> {
    let mut values = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let value = random();
        let starts = (0..cfg.n).filter_map(|i| cfg.raft(i)).map(|rf| rf.start(&value));
        let Some((index, _, _)) = starts.filter(|(_, _, is_leader)| *is_leader).last() else {
            sleep(Duration::from_millis(79 + me * 17));
            continue;
        };
        // The leader may or may not commit the value: wait, but not for long.
        for ms in [10, 20, 50, 100, 200] {
            let (count, committed) = cfg.n_committed(index);
            if count > 0 {
                if committed == Some(value) {
                    values.push(value);
                }
                break;
            }
            sleep(Duration::from_millis(ms));
        }
    }
    values
}

/// Votes must survive a crash, and so must a candidate's own term and vote. Two of five servers stay behind by a term. The
/// other three elect a leader. The leader and one of its voters restart, and meet the two that were behind. Neither may
/// vote in that term again.
#[cfg_attr(rust_analyzer, test)]
fn test_one_vote_per_term_extra() {
    const ROUNDS: usize = 12;
    /// Shorter than election timeouts.
    const HEAD_START: Duration = Duration::from_millis(100);
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): one vote per term, across crashes");

    // Repeat this, because a server that was behind is not always the first to ask for votes.
    for _ in 0..ROUNDS {
        let leader = settle(&cfg, &[0, 1, 2, 3, 4]);
        let [one, two, three, four] = [1, 2, 3, 4].map(|k| (leader + k) % n);
        cfg.crash1(three);
        cfg.crash1(four);
        cfg.start1(leader);
        cfg.connect(leader);
        let elected = first_leader(&cfg, &[leader, one, two]);
        let voters = [leader, one, two].into_iter().filter(|i| *i != elected);
        let [voter, other] = voters.collect::<Vec<_>>()[..] else {
            unreachable!("three without one are two")
        };

        [elected, voter, other].into_iter().for_each(|i| cfg.crash1(i));
        [three, four].into_iter().for_each(|i| start_and_connect(&cfg, i));
        sleep(HEAD_START);
        [elected, voter].into_iter().for_each(|i| start_and_connect(&cfg, i));
        first_leader(&cfg, &[elected, voter, three, four]);
        start_and_connect(&cfg, other);
    }

    cfg.end();
    cfg.cleanup();
}

fn start_and_connect(cfg: &Config, i: usize) {
    cfg.start1(i);
    cfg.connect(i);
}

/// Waits until one of the servers leads in the newest term, and all of them are in this term. Returns the leader.
fn settle(cfg: &Config, servers: &[usize]) -> usize {
    let begun = Instant::now();
    while begun.elapsed() < 10 * RAFT_ELECTION_TIMEOUT {
        let states: Vec<(u64, bool)> = servers.iter().map(|i| cfg.state(*i)).collect();
        if states.iter().all(|(term, _)| *term == states[0].0)
            && let Some(leader) = states.iter().position(|(_, is_leader)| *is_leader)
        {
            return servers[leader];
        }
        sleep(Duration::from_millis(1));
    }
    panic!("servers {servers:?} have not agreed on a leader in {:?}", begun.elapsed());
}

/// Waits until one of the servers leads, and returns that server.
fn first_leader(cfg: &Config, servers: &[usize]) -> usize {
    let (begun, since) = (Instant::now(), harness::elapsed());
    while begun.elapsed() < 10 * RAFT_ELECTION_TIMEOUT {
        if let Some(leader) = servers.iter().find(|i| cfg.state(**i).1) {
            return *leader;
        }
        sleep(Duration::from_millis(1));
    }
    let (seconds, votes) = (begun.elapsed().as_secs_f64(), record::votes_asked_since(since));
    panic!("servers {servers:?} elected no leader in {seconds:.1} s{votes}");
}

/// Elections on a slow network, where a second candidate often asks for votes before it hears of the first. At most one
/// candidate may lead in a term.
#[cfg_attr(rust_analyzer, test)]
fn test_many_candidates_extra() {
    let n = 5;
    let cfg = Config::new(n, true);
    cfg.begin("Test (extra): many candidates, one leader per term");

    for _ in 0..15 {
        let leader = first_leader(&cfg, &[0, 1, 2, 3, 4]);
        // Restart all servers, so that all election timeouts begin at the same time. Leave the old leader
        // disconnected, so that another server wins.
        for i in 0..n {
            cfg.start1(i);
        }
        for i in (0..n).filter(|i| *i != leader) {
            cfg.connect(i);
        }
        watch_leaders(&cfg, 2 * RAFT_ELECTION_TIMEOUT / 3);
        cfg.connect(leader);
    }

    cfg.end();
    cfg.cleanup();
}

/// A candidate is cut off from all others while replies with votes are still on their way to it. Nobody can vote for it in the
/// terms that it begins then: a vote counts only in the term in which it was given (section 5.2).
#[cfg_attr(rust_analyzer, test)]
fn test_late_votes_extra() {
    let cfg = Config::new(3, false);
    cfg.begin("Test (extra): votes of an earlier term do not count");

    for _ in 0..15 {
        let leader = first_leader(&cfg, &[0, 1, 2]);
        let (term, _) = cfg.state(leader);
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        // Of the two others, one soon asks the other for its vote. Long reordering holds two replies in three back, for up to 2.2 s.
        cfg.set_long_reordering(true);
        cfg.disconnect(leader);
        let begun = Instant::now();
        while others.iter().all(|i| cfg.state(*i).0 <= term) {
            let waited = begun.elapsed();
            assert!(
                waited < 10 * RAFT_ELECTION_TIMEOUT,
                "servers {others:?} hear from no leader, and begin no election"
            );
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(5));
        others.iter().for_each(|i| cfg.disconnect(*i));
        let terms = others.map(|i| (i, cfg.state(i).0));

        let begun = Instant::now();
        while begun.elapsed() < 3 * RAFT_ELECTION_TIMEOUT {
            for (i, cut_off_in) in terms {
                let (term, leads) = cfg.state(i);
                if leads && term > cut_off_in {
                    record::about_server(i);
                    panic!(
                        "server {i} was cut off from all others in term {cut_off_in}, and leads in term {term}, for which nobody \
                         else can have voted"
                    );
                }
            }
            sleep(Duration::from_millis(1));
        }
        cfg.set_long_reordering(false);
        (0..3).for_each(|i| cfg.connect(i));
    }

    cfg.end();
    cfg.cleanup();
}

/// Asks all servers again and again whether they lead: `state` checks Election Safety.
fn watch_leaders(cfg: &Config, duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        for i in 0..cfg.n {
            cfg.state(i);
        }
        sleep(Duration::from_millis(1));
    }
}

/// Figure 8 of the paper, step by step, with the paper's letters: an entry of an older term is not committed yet, even
/// if a majority has it. Random failures seldom lead to this situation.
#[cfg_attr(rust_analyzer, test)]
fn test_figure8_step_by_step_extra() {
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): Figure 8, step by step");
    cfg.one(1, n, true);

    // (a) S1 leads, and replicates an entry on S2 only.
    let s1 = cfg.check_one_leader();
    let s2 = (s1 + 1) % n;
    let others = [(s1 + 2) % n, (s1 + 3) % n, (s1 + 4) % n];
    others.iter().for_each(|i| cfg.disconnect(*i));
    cfg.start(s1, 2);
    sleep(RAFT_ELECTION_TIMEOUT);

    // (b) S3 and S4 elect S5, which adds another entry to its log and replicates it on no other server.
    cfg.disconnect(s1);
    cfg.disconnect(s2);
    others.iter().for_each(|i| cfg.connect(*i));
    let s5 = cfg.check_one_leader();
    let (s3, s4) = match others {
        [a, b, c] if c == s5 => (a, b),
        [a, b, c] if b == s5 => (a, c),
        [_, b, c] => (b, c),
    };
    cfg.disconnect(s3);
    cfg.disconnect(s4);
    cfg.start(s5, 3);

    // (c) S5 disconnects. S1 or S2 is elected and replicates the first entry on S3: a majority has it.
    cfg.disconnect(s5);
    [s1, s2, s3].into_iter().for_each(|i| cfg.connect(i));
    cfg.check_one_leader();
    sleep(RAFT_ELECTION_TIMEOUT);

    // (d) S3 and S4 elect S5, whose last entry is of a later term. S5 overwrites the first entry with its own.
    cfg.disconnect(s1);
    cfg.disconnect(s2);
    cfg.connect(s4);
    cfg.connect(s5);
    cfg.one(4, 3, true);

    // A server that has applied the first entry makes the test fail here at the latest.
    cfg.connect(s1);
    cfg.connect(s2);
    cfg.one(5, n, true);

    cfg.end();
    cfg.cleanup();
}

/// AppendEntries RPCs overtake each other. An RPC that arrives after later ones contains nothing new. A follower that
/// cuts its log where such an RPC's entries end loses entries that it has acknowledged, and the leader never sends
/// them again.
#[cfg_attr(rust_analyzer, test)]
fn test_late_appends_extra() {
    const ROUNDS: usize = 400;
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): appends that arrive late change nothing");
    cfg.one(random(), n, true);

    cfg.set_stragglers(true);
    for _ in 0..ROUNDS {
        for i in 0..n {
            cfg.start(i, random());
        }
        sleep(random_ms(40));
    }
    cfg.set_stragglers(false);
    cfg.one(random(), n, true);

    cfg.end();
    cfg.cleanup();
}

/// A leader of an earlier term leads again, and only now gets the replies to RPCs of the earlier term. They are about
/// entries that have been overwritten since. A leader that counts these replies commits entries that no majority has.
#[cfg_attr(rust_analyzer, test)]
fn test_stale_replies_extra() {
    let cfg = Config::new(5, false);
    cfg.begin("Test (extra): replies from an earlier term count nothing");

    // Repeat this five times, because a reply does not always come at the right moment.
    for _ in 0..5 {
        cfg.one(random(), cfg.n, true);
        lead_twice(&cfg);
        cfg.heal();
    }
    cfg.one(random(), cfg.n, true);

    cfg.end();
    cfg.cleanup();
}

/// One round of the test above. Returns early if an election takes too long.
fn lead_twice(cfg: &Config) {
    let leader = first_leader(cfg, &[0, 1, 2, 3, 4]);
    let [a, b, c, d] = [1, 2, 3, 4].map(|k| (leader + k) % cfg.n);

    // The leader replicates ten entries in a minority. Long reordering holds back the replies to this leader.
    cfg.partition(&[&[leader, a], &[b, c, d]]);
    cfg.set_long_reordering(true);
    start_many(cfg, leader, 10);
    sleep(Duration::from_millis(250));
    cfg.set_long_reordering(false);

    // The majority agrees on an entry, and the old leader gets it.
    let between = first_leader(cfg, &[b, c, d]);
    let index = start_many(cfg, between, 1);
    if !soon(|| cfg.n_committed(index).0 == 3) {
        return;
    }
    cfg.link(leader, &[b, c, d]);
    if !soon(|| cfg.n_committed(index).0 == 4) {
        return;
    }

    // Only the old leader is cut off from the new leader. The old leader becomes a candidate again, and wins.
    let others = [b, c, d].into_iter().filter(|i| *i != between);
    let [e, f] = others.collect::<Vec<_>>()[..] else { unreachable!("three without one are two") };
    cfg.link(leader, &[e, f]);
    if !soon(|| cfg.state(leader).1) {
        return;
    }

    // Again a minority has entries, and a majority agrees on others. Now the late replies come.
    cfg.partition(&[&[leader, e], &[between, f, a]]);
    start_many(cfg, leader, 12);
    let other = first_leader(cfg, &[between, f, a]);
    let index = start_many(cfg, other, 14);
    if soon(|| cfg.n_committed(index).0 == 3) {
        sleep(random_ms(400));
    }
}

/// Starts `count` commands on a server, and returns the index of the last.
fn start_many(cfg: &Config, server: usize, count: usize) -> usize {
    (0..count).map(|_| cfg.start(server, random()).0).last().expect("there is one at least")
}

/// Waits until `it` returns true, but not longer than two elections may take. Returns false if the time is over.
fn soon(mut it: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < 2 * RAFT_ELECTION_TIMEOUT {
        if it() {
            return true;
        }
        sleep(Duration::from_millis(1));
    }
    false
}

/// A leader's thread loses the processor between two appends, or before one is encoded. Meanwhile the server becomes a
/// follower of another leader and takes over its log. The thread must not send an append with the new term or from the
/// new log.
#[cfg_attr(rust_analyzer, test)]
fn test_stalled_leader_extra() {
    let cfg = Config::new(5, false);
    cfg.begin("Test (extra): a leader is overtaken while it sends");

    // Repeat this ten times, because the thread does not always stall at the right moment.
    for _ in 0..10 {
        cfg.one(random(), cfg.n, true);
        overtake(&cfg);
        cfg.heal();
    }
    cfg.one(random(), cfg.n, true);

    cfg.end();
    cfg.cleanup();
}

/// One round of the test above. Returns early if an election takes too long.
fn overtake(cfg: &Config) {
    let leader = first_leader(cfg, &[0, 1, 2, 3, 4]);
    let [a, b, c, d] = [1, 2, 3, 4].map(|k| (leader + k) % cfg.n);

    // The minority's leader gets one command after the other; the majority's leader gets many at once.
    cfg.partition(&[&[leader, a], &[b, c, d]]);
    let start_until = |it: &mut dyn FnMut() -> bool| {
        soon(|| {
            cfg.start(leader, random());
            sleep(random_ms(20));
            it()
        })
    };
    if !start_until(&mut || [b, c, d].iter().any(|i| cfg.state(*i).1)) {
        return;
    }
    let between = first_leader(cfg, &[b, c, d]);
    let index = start_many(cfg, between, 60);
    if !start_until(&mut || cfg.n_committed(index).0 == 3) {
        return;
    }

    // The old leader stalls in the middle of a round of appends, and meanwhile the new leader reaches it. In half of the
    // rounds, the old leader's follower does not hear from the new leader.
    cfg.set_long_reordering(true);
    let next = if percent(50) { a } else { between };
    cfg.stall(leader, next, Duration::from_millis(300));
    let (begun, mut last) = (Instant::now(), (0, Instant::now()));
    start_until(&mut || {
        let count = cfg.server_rpc_count(a);
        if last.0 != count {
            last = (count, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(110) || begun.elapsed() > RAFT_ELECTION_TIMEOUT / 2
    });
    if percent(50) {
        cfg.heal();
    } else {
        cfg.link(leader, &[a, b, c, d]);
    }
    soon(|| cfg.n_committed(index).0 >= 4);
    sleep(random_ms(500));

    // Another server is elected and commits. A server whose log mixes the two logs makes the test fail when it applies
    // them.
    cfg.set_long_reordering(false);
    let rest = [leader, a, b, c, d].into_iter().filter(|i| *i != between).collect::<Vec<_>>();
    cfg.partition(&[&[between], &rest]);
    let next = first_leader(cfg, &rest);
    let index = start_many(cfg, next, 1);
    soon(|| cfg.n_committed(index).0 >= 4);
}

/// The mean of some durations.
fn mean(durations: &[Duration]) -> Duration {
    durations.iter().sum::<Duration>() / durations.len().max(1) as u32
}

/// The leader fails, again and again. Lab 2 wants a new leader within five seconds, even if an election or two fail: three
/// elections must fit into five seconds.
#[cfg_attr(rust_analyzer, test)]
fn test_slow_elections_extra() {
    const ELECTIONS: usize = 25;
    const LIMIT: Duration = Duration::from_millis(5000 / 3);
    let n = 3;
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): elections are not slow");

    let mut times = Vec::new();
    for _ in 0..ELECTIONS {
        let leader = settle(&cfg, &[0, 1, 2]);
        cfg.crash1(leader);
        let crashed = Instant::now();
        first_leader(&cfg, &[(leader + 1) % n, (leader + 2) % n]);
        times.push(crashed.elapsed());
        start_and_connect(&cfg, leader);
    }
    let mean = mean(&times);
    assert!(
        mean <= LIMIT,
        "slow elections: it took {mean:.2?} on average until a new leader was elected; three elections must fit into 5 s, \
         so one may take {LIMIT:.2?}"
    );

    cfg.end();
    cfg.cleanup();
}

/// Restarts the servers alone, each without a connection, and measures for each of them how long it takes until the server
/// begins an election: its election timeout.
fn election_timeouts(cfg: &Config, servers: &[usize]) -> Vec<Duration> {
    servers.iter().for_each(|i| cfg.start1(*i));
    let begun = Instant::now();
    let terms: Vec<u64> = servers.iter().map(|i| cfg.term(*i)).collect();
    let mut timeouts = vec![None; servers.len()];
    while timeouts.contains(&None) {
        assert!(begun.elapsed() < 10 * RAFT_ELECTION_TIMEOUT, "a server alone began no election in 10 s");
        sleep(Duration::from_millis(1));
        for ((i, term), timeout) in servers.iter().zip(&terms).zip(&mut timeouts) {
            if timeout.is_none() && cfg.term(*i) > *term {
                *timeout = Some(begun.elapsed());
            }
        }
    }
    timeouts.into_iter().flatten().collect()
}

/// A follower that grants its vote resets its election timer (Figure 2, Followers, rule 2). Messages are slow here. The
/// followers are cut off as soon as they have voted. From then on they must be silent for a whole election timeout, not
/// for the rest of the timeout that was running when the candidate asked.
#[cfg_attr(rust_analyzer, test)]
fn test_timer_after_granted_vote_extra() {
    const ROUNDS: usize = 15;
    const LATENCY: Duration = Duration::from_millis(20);
    let all = [0, 1, 2];
    let cfg = Config::new(all.len(), false);
    cfg.begin("Test (extra): a granted vote resets the election timer");

    let (mut timeouts, mut after_vote) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        timeouts.extend(election_timeouts(&cfg, &all));
        all.into_iter().for_each(|i| cfg.connect(i));
        let leader = settle(&cfg, &all);
        let term = cfg.term(leader);
        cfg.set_latency(Some(LATENCY));
        all.into_iter().for_each(|i| cfg.start1(i));
        all.into_iter().for_each(|i| cfg.connect(i));
        after_vote.extend(silence_of_voters(&cfg, &all, term, LATENCY));
        cfg.set_latency(None);
    }
    let [usual, after_vote] = [mean(&timeouts), mean(&after_vote)];
    // Both are the mean of the same election timeouts. Without the reset, `after_vote` would be the difference between two
    // election timeouts.
    assert!(
        after_vote >= usual * 2 / 3,
        "followers that had granted a vote began an election after {after_vote:.2?} on average, much earlier than after an \
         election timeout, which is {usual:.2?} on average: reset the election timer when you grant a vote"
    );

    cfg.end();
    cfg.cleanup();
}

/// Waits for an election in which messages take `latency`, and cuts each server off as soon as it has voted for another
/// one. Returns how long it then takes until these servers begin elections of their own. `term` is the servers' term at
/// the beginning.
fn silence_of_voters(cfg: &Config, servers: &[usize], term: u64, latency: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let mut candidacy = None;
    let mut voters = Vec::new();
    let mut waiting = servers.to_vec();
    let mut silences = Vec::new();
    while !waiting.is_empty() || !voters.is_empty() {
        assert!(
            begun.elapsed() < 10 * RAFT_ELECTION_TIMEOUT,
            "servers {servers:?} began no election in 10 s"
        );
        sleep(Duration::from_millis(1));
        waiting.retain(|i| {
            let now = Instant::now();
            let new = cfg.term(*i);
            if new == term {
                return true;
            }
            // The first server whose term changes is a candidate. A server whose term changes before a request can reach
            // it is a candidate too. The others have granted their vote: their logs are equal, and they have not voted.
            if now >= *candidacy.get_or_insert(now) + latency && new == term + 1 {
                cfg.disconnect(*i);
                voters.push((*i, now));
            }
            false
        });
        voters.retain(|(i, voted)| {
            let is_silent = cfg.term(*i) == term + 1;
            if !is_silent {
                silences.push(voted.elapsed());
            }
            is_silent
        });
    }
    silences
}

/// A server that denies its vote does not reset its election timer. Four of seven servers are alive, so all four votes are
/// needed. One of the four has an entry that the others lack: only this server can win. It must be elected when its own
/// election timer has run out, however often the others ask it for its vote before.
#[cfg_attr(rust_analyzer, test)]
fn test_timer_after_denied_vote_extra() {
    const ROUNDS: usize = 30;
    let n = 7;
    let alive = [0, 1, 2, 3];
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): a denied vote does not reset the election timer");
    (alive.len()..n).for_each(|i| cfg.crash1(i));

    let (mut timeouts, mut elections) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        timeouts.extend(election_timeouts(&cfg, &alive));
        alive.into_iter().for_each(|i| cfg.connect(i));
        cfg.one(random(), alive.len(), true);
        let leader = settle(&cfg, &alive);
        alive.into_iter().filter(|i| *i != leader).for_each(|i| cfg.crash1(i));
        let before = cfg.raft_state_size(leader);
        cfg.start(leader, random());
        soon(|| cfg.raft_state_size(leader) > before);

        alive.into_iter().for_each(|i| cfg.start1(i));
        alive.into_iter().for_each(|i| cfg.connect(i));
        let begun = Instant::now();
        if first_leader(&cfg, &alive) == leader {
            elections.push(begun.elapsed());
        }
    }
    let [usual, election] = [mean(&timeouts), mean(&elections)];
    // If the server resets its timer when it denies a vote, it must be the first of four, which takes four rounds on
    // average.
    assert!(
        election <= usual * 9 / 5,
        "only one server could win the elections. It took {election:.2?} on average until it was elected; its election \
         timeout is {usual:.2?} on average: do not reset the election timer when you deny a vote"
    );

    cfg.end();
    cfg.cleanup();
}

/// An AppendEntries of an older term does not reset the election timer. A follower has been cut off and is in a newer term
/// than the leader. Then the leader's requests reach it again, but messages take so long that the leader hears only much
/// later that its term is over. Meanwhile the follower must go on to begin elections.
#[cfg_attr(rust_analyzer, test)]
fn test_timer_after_stale_append_extra() {
    const ROUNDS: usize = 8;
    const LATENCY: Duration = Duration::from_secs(1);
    const STEP: Duration = Duration::from_millis(5);
    let n = 5;
    let cfg = Config::new(n, false);
    cfg.begin("Test (extra): a stale append does not reset the election timer");

    let (mut calm, mut stale) = (0, 0);
    for _ in 0..ROUNDS {
        let leader = settle(&cfg, &[0, 1, 2, 3, 4]);
        let term = cfg.term(leader);
        let follower = (leader + 1) % n;
        cfg.disconnect(follower);
        // Little by little: if heartbeats were suddenly late, another server would begin an election.
        for step in 1..=(LATENCY.as_millis() / STEP.as_millis()) as u32 {
            cfg.set_latency(Some(step * STEP));
            sleep(2 * STEP);
        }
        // The leader's requests arrive from now + LATENCY on. Its first reply arrives at now + 2 * LATENCY, and its last
        // request at now + 3 * LATENCY.
        if cfg.state(leader) == (term, true) && cfg.term(follower) > term {
            cfg.link_one_way(leader, follower);
            let before = count_terms(&cfg, follower, LATENCY);
            let during = count_terms(&cfg, follower, LATENCY);
            if cfg.state(leader) == (term, true) {
                (calm, stale) = (calm + before, stale + during);
            }
            sleep(LATENCY);
        }
        cfg.set_latency(None);
        cfg.connect(follower);
    }
    // An election or two may fall into the time before the first stale append of a round.
    assert!(
        2 * (stale + 1) >= calm,
        "a follower that was cut off began {calm} elections while it heard nothing, and only {stale} in the same time while \
         it heard from a leader of an older term: do not reset the election timer for such a leader"
    );

    cfg.end();
    cfg.cleanup();
}

/// How often the term of a server changes in this time.
fn count_terms(cfg: &Config, server: usize, duration: Duration) -> usize {
    let begun = Instant::now();
    let (mut term, mut changes) = (cfg.term(server), 0);
    while begun.elapsed() < duration {
        sleep(Duration::from_millis(1));
        let now = cfg.term(server);
        changes += usize::from(now != term);
        term = now;
    }
    changes
}
