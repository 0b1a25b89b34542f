//! Tests of the checker: histories with a known verdict, agreement with a checker that tries every order, time limits,
//! and malformed histories.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

#[path = "test_test/brute_force.rs"]
mod brute_force;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use linearizability::{
    CasInput, CasModel, CasOutput, CheckResult, Event, KvInput, KvModel, KvOp, KvOutput, Model, Operation,
    RegisterInput, RegisterModel, check_events, check_events_timeout, check_operations,
    check_operations_timeout,
};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

type KvOperation = Operation<KvInput, KvOutput>;
type KvEvent = Event<KvInput, KvOutput>;
type RegisterOperation = Operation<RegisterInput, u64>;
type CasOperation = Operation<CasInput, CasOutput>;

/// Far more time than any check here needs. Only a check that would never end reaches this limit.
const LONG: Duration = Duration::from_secs(60);

fn kv(op: KvOp, key: &str, value: &str, call: i64, output: &str, ret: i64) -> KvOperation {
    let input = KvInput { op, key: key.into(), value: value.into() };
    Operation { input, call, output: KvOutput { value: output.into() }, ret }
}

fn get(key: &str, output: &str, call: i64, ret: i64) -> KvOperation {
    kv(KvOp::Get, key, "", call, output, ret)
}

fn put(key: &str, value: &str, call: i64, ret: i64) -> KvOperation {
    kv(KvOp::Put, key, value, call, "", ret)
}

fn append(key: &str, value: &str, call: i64, ret: i64) -> KvOperation {
    kv(KvOp::Append, key, value, call, "", ret)
}

fn read(output: u64, call: i64, ret: i64) -> RegisterOperation {
    Operation { input: RegisterInput::Read, call, output, ret }
}

fn write(value: u64, call: i64, ret: i64) -> RegisterOperation {
    Operation { input: RegisterInput::Write(value), call, output: 0, ret }
}

/// The history as events, sorted by time. At equal times calls come first, since intervals are closed.
fn events_of<I: Clone, O: Clone>(history: &[Operation<I, O>]) -> Vec<Event<I, O>> {
    let mut events = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        // Ids may be in any order and of any size.
        let id = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        events.push((operation.call, 0, Event::Call { id, input: operation.input.clone() }));
        events.push((operation.ret, 1, Event::Return { id, output: operation.output.clone() }));
    }
    events.sort_by_key(|&(time, rank, _)| (time, rank));
    events.into_iter().map(|(_, _, event)| event).collect()
}

/// Asserts that all four functions give this verdict, in whatever order the operations are listed.
#[track_caller]
fn assert_verdict<M>(model: &M, history: &[Operation<M::Input, M::Output>], legal: bool, what: &str)
where
    M: Model<Input: Sync + Clone + Debug, Output: Sync + Clone + Debug> + Sync,
{
    let expected = if legal { CheckResult::Ok } else { CheckResult::Illegal };
    let events = events_of(history);
    let reversed: Vec<_> = history.iter().rev().cloned().collect();
    assert_eq!(check_operations(model, history), legal, "{what}: {history:#?}");
    assert_eq!(check_operations(model, &reversed), legal, "{what}, reversed: {history:#?}");
    assert_eq!(check_operations_timeout(model, history, LONG), expected, "{what}: {history:#?}");
    assert_eq!(check_events(model, &events), legal, "{what}: {events:#?}");
    assert_eq!(check_events_timeout(model, &events, LONG), expected, "{what}: {events:#?}");
}

#[test]
fn register_histories() {
    let cases = [
        ("nothing", true, vec![]),
        ("zero at the start", true, vec![read(0, 0, 1)]),
        ("never written", false, vec![read(7, 0, 1)]),
        ("one after the other", true, vec![write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)]),
        ("stale read", false, vec![write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]),
        ("read of what is written later", false, vec![read(1, 0, 1), write(1, 2, 3)]),
        ("read during the write", true, vec![write(1, 0, 10), read(1, 2, 3), read(1, 4, 5)]),
        ("read during the write, not yet", true, vec![write(1, 0, 10), read(0, 2, 3), read(1, 4, 5)]),
        ("read during the write, back again", false, vec![write(1, 0, 10), read(1, 2, 3), read(0, 4, 5)]),
        ("two writes, either first", true, vec![write(1, 0, 10), write(2, 0, 10), read(1, 11, 12)]),
        (
            "two readers see two writes in different orders",
            false,
            vec![write(1, 0, 9), write(2, 0, 9), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)],
        ),
        (
            "a write that takes effect between two others",
            true,
            vec![
                write(3, 0, 100),
                write(1, 10, 20),
                read(1, 30, 40),
                read(3, 50, 60),
                write(2, 70, 80),
                read(2, 90, 95),
            ],
        ),
    ];
    for (what, legal, history) in cases {
        assert_verdict(&RegisterModel, &history, legal, what);
    }
}

fn cas(expected: u64, new: u64, output: CasOutput, call: i64, ret: i64) -> CasOperation {
    Operation { input: CasInput::CompareAndSet { expected, new }, call, output, ret }
}

#[test]
fn compare_and_set_histories() {
    let read =
        |value, call, ret| Operation { input: CasInput::Read, call, output: CasOutput::Read(value), ret };
    let write =
        |value, call, ret| Operation { input: CasInput::Write(value), call, output: CasOutput::Written, ret };
    let [set, failed, unknown] = [CasOutput::Set(true), CasOutput::Set(false), CasOutput::Unknown];
    let cases = [
        ("nothing at the start", true, vec![read(None, 0, 1)]),
        ("zero is something", false, vec![read(Some(0), 0, 1)]),
        ("nothing to compare with", true, vec![cas(0, 1, failed, 0, 1), read(None, 2, 3)]),
        ("set", true, vec![write(0, 0, 1), cas(0, 1, set, 2, 3), read(Some(1), 4, 5)]),
        ("set, and not seen", false, vec![write(0, 0, 1), cas(0, 1, set, 2, 3), read(Some(0), 4, 5)]),
        ("failed without a reason", false, vec![write(0, 0, 1), cas(0, 1, failed, 2, 3)]),
        ("only one can win", false, vec![write(0, 0, 1), cas(0, 1, set, 2, 9), cas(0, 2, set, 2, 9)]),
        ("one wins", true, vec![write(0, 0, 1), cas(0, 1, failed, 2, 9), cas(0, 2, set, 2, 9)]),
        (
            "no answer, and not done",
            true,
            vec![write(0, 0, 1), cas(0, 1, unknown, 2, i64::MAX), read(Some(0), 8, 9)],
        ),
        (
            "no answer, and done late",
            true,
            vec![
                write(0, 0, 1),
                cas(0, 1, unknown, 2, i64::MAX),
                read(Some(0), 8, 9),
                cas(1, 2, set, 10, 11),
                read(Some(2), 12, 13),
            ],
        ),
        (
            "no answer, and done twice",
            false,
            vec![write(0, 0, 1), cas(0, 1, unknown, 2, i64::MAX), cas(1, 0, set, 3, 4), cas(1, 0, set, 5, 6)],
        ),
    ];
    for (what, legal, history) in cases {
        assert_verdict(&CasModel, &history, legal, what);
    }
}

#[test]
fn key_value_histories() {
    let cases = [
        ("absent key", true, vec![get("x", "", 0, 1)]),
        ("append to an absent key", true, vec![append("x", "a", 0, 1), get("x", "a", 2, 3)]),
        (
            "appends in sequence",
            true,
            vec![append("x", "a", 0, 1), append("x", "b", 2, 3), get("x", "ab", 4, 5)],
        ),
        ("put replaces", true, vec![append("x", "a", 0, 1), put("x", "b", 2, 3), get("x", "b", 4, 5)]),
        ("put of nothing", true, vec![append("x", "a", 0, 1), put("x", "", 2, 3), get("x", "", 4, 5)]),
        ("stale get", false, vec![put("x", "a", 0, 1), put("x", "b", 2, 3), get("x", "a", 4, 5)]),
        ("lost append", false, vec![append("x", "a", 0, 1), append("x", "b", 2, 3), get("x", "b", 4, 5)]),
        ("doubled append", false, vec![append("x", "a", 0, 1), get("x", "aa", 2, 3)]),
        (
            "reordered appends",
            false,
            vec![append("x", "a", 0, 1), append("x", "b", 2, 3), get("x", "ba", 4, 5)],
        ),
        (
            "appends at once",
            true,
            vec![append("x", "a", 0, 9), append("x", "b", 1, 8), get("x", "ba", 10, 11)],
        ),
        (
            "appends at once, seen in both orders",
            false,
            vec![
                append("x", "a", 0, 9),
                append("x", "b", 1, 8),
                get("x", "ba", 10, 11),
                get("x", "ab", 10, 11),
            ],
        ),
        (
            "a get falls back behind an earlier one",
            false,
            vec![
                put("x", "a", 0, 5),
                append("x", "b", 10, 90),
                get("x", "ab", 20, 30),
                get("x", "a", 40, 50),
            ],
        ),
        (
            "the same set of operations in two orders, only the second of which is right",
            true,
            vec![
                append("x", "a", 0, 9),
                append("x", "b", 0, 9),
                append("x", "c", 0, 9),
                get("x", "cba", 10, 11),
            ],
        ),
    ];
    for (what, legal, history) in cases {
        assert_verdict(&KvModel, &history, legal, what);
    }
}

#[test]
fn keys_are_independent() {
    let both = [put("x", "a", 0, 1), put("y", "b", 2, 3), get("x", "a", 4, 5), get("y", "b", 6, 7)];
    assert_verdict(&KvModel, &both, true, "two keys");
    let crossed = [put("x", "a", 0, 1), put("y", "b", 2, 3), get("x", "b", 4, 5), get("y", "a", 6, 7)];
    assert_verdict(&KvModel, &crossed, false, "two keys, answers exchanged");
    for bad in ["a", "b", "c", "d", "e"] {
        let keys = ["a", "b", "c", "d", "e"];
        let history: Vec<_> = keys
            .iter()
            .flat_map(|&key| [put(key, bad, 0, 1), get(key, if key == bad { "" } else { bad }, 2, 3)])
            .collect();
        assert_verdict(&KvModel, &history, false, &format!("only key {bad} is wrong"));
    }
}

#[test]
fn key_value_parts_have_one_key_each() {
    let history = random_kv_history(&mut StdRng::seed_from_u64(1), 60);
    let keys: BTreeSet<_> = history.iter().map(|operation| &operation.input.key).collect();

    let parts = KvModel.partition(&history);
    assert_eq!(parts.len(), keys.len());
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), history.len());
    for part in parts {
        assert!(part.iter().all(|operation| operation.input.key == part[0].input.key));
    }

    let events = events_of(&history);
    let parts = KvModel.partition_event(&events);
    assert_eq!(parts.len(), keys.len());
    for part in parts {
        let keys: BTreeSet<_> = part.iter().filter_map(|event| called_key(event)).collect();
        assert_eq!(keys.len(), 1, "the keys of a part: {keys:?}");
        let ids: BTreeSet<_> = part.iter().map(|event| id_of(event)).collect();
        let whole: Vec<_> = events.iter().filter(|event| ids.contains(&id_of(event))).collect();
        assert_eq!(part, whole, "keys {keys:?}: both events of each operation, in the order of the history");
    }
}

fn called_key(event: &KvEvent) -> Option<&str> {
    match event {
        Event::Call { input, .. } => Some(&input.key),
        Event::Return { .. } => None,
    }
}

fn id_of(event: &KvEvent) -> u64 {
    match event {
        Event::Call { id, .. } | Event::Return { id, .. } => *id,
    }
}

#[test]
fn intervals_are_closed() {
    let touching = [put("x", "a", 0, 10), get("x", "", 10, 20)];
    assert_verdict(&KvModel, &touching, true, "a get called when the put returns may miss it");
    let apart = [put("x", "a", 0, 10), get("x", "", 11, 20)];
    assert_verdict(&KvModel, &apart, false, "a get called after the put returned may not");
    let instant = [get("x", "ab", 5, 5), append("x", "b", 5, 5), append("x", "a", 5, 5)];
    assert_verdict(&KvModel, &instant, true, "all at one instant, in any order");
    let chain = [write(1, 0, 1), write(2, 1, 2), read(1, 2, 3)];
    assert_verdict(&RegisterModel, &chain, true, "the second write may come first, though barely");
    let broken_chain = [write(1, 0, 1), write(2, 2, 3), read(1, 3, 4), read(2, 5, 6), read(1, 6, 7)];
    assert_verdict(&RegisterModel, &broken_chain, false, "nothing writes the first value again");
    let extremes = [write(1, i64::MIN, i64::MAX), read(0, i64::MIN, 0), read(1, 0, i64::MAX)];
    assert_verdict(&RegisterModel, &extremes, true, "any time will do");
}

#[test]
fn operation_that_never_returned() {
    let forever = |seen: &str| [append("x", "a", 5, i64::MAX), get("x", "", 10, 11), get("x", seen, 20, 21)];
    assert_verdict(&KvModel, &forever("a"), true, "took effect late");
    assert_verdict(&KvModel, &forever(""), true, "took effect after everything that was seen");
    assert_verdict(&KvModel, &forever("aa"), false, "took effect twice");
}

/// The whole key/value store. Unlike the state of the model under test, it holds all keys.
type Store = BTreeMap<String, String>;

/// Applies an input and returns the right output.
fn run_store(store: &mut Store, input: &KvInput) -> String {
    match input.op {
        KvOp::Get => return store.get(&input.key).cloned().unwrap_or_default(),
        KvOp::Put => _ = store.insert(input.key.clone(), input.value.clone()),
        KvOp::Append => store.entry(input.key.clone()).or_default().push_str(&input.value),
    }
    String::new()
}

/// Operations at random times. The times are so few that many are equal. `run` gives the right outputs.
fn random_history<I, O>(
    rng: &mut StdRng,
    length: usize,
    mut input: impl FnMut(&mut StdRng) -> I,
    mut run: impl FnMut(&I) -> O,
) -> Vec<Operation<I, O>> {
    let mut planned: Vec<_> = (0..length)
        .map(|_| {
            let call = rng.random_range(0..2 * length as i64);
            let ret = call + rng.random_range(0..4);
            (rng.random_range(call as f64..=ret as f64), call, input(rng), ret)
        })
        .collect();
    planned.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let mut history: Vec<_> = planned
        .into_iter()
        .map(|(_, call, input, ret)| Operation { call, output: run(&input), input, ret })
        .collect();
    history.shuffle(rng);
    history
}

fn random_kv_history(rng: &mut StdRng, length: usize) -> Vec<KvOperation> {
    let keys = ["x", "y", "z"];
    let keys = &keys[..rng.random_range(2..=3)];
    let mut store = Store::new();
    let input = |rng: &mut StdRng| KvInput {
        op: *[KvOp::Get, KvOp::Get, KvOp::Get, KvOp::Put, KvOp::Append, KvOp::Append].choose(rng).unwrap(),
        key: (*keys.choose(rng).unwrap()).to_string(),
        value: (*["a", "b", "c", "ab", ""].choose(rng).unwrap()).to_string(),
    };
    random_history(rng, length, input, |input| KvOutput { value: run_store(&mut store, input) })
}

/// The history of a correct server and fifteen busy clients. The mix of operations is that of the lab's linearizability
/// tests.
fn lab_history(seed: u64, length: usize, keys: usize) -> Vec<KvOperation> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    for client in 0..15 {
        let mut now = 0;
        for number in 0..length / 15 {
            let op = match rng.random_range(0..1000) {
                0..500 => KvOp::Append,
                500..550 => KvOp::Put,
                _ => KvOp::Get,
            };
            let key = rng.random_range(0..keys).to_string();
            let operation =
                kv(op, &key, &format!("x {client} {number} y"), now, "", now + rng.random_range(1..1000));
            planned.push((rng.random_range(operation.call..=operation.ret), operation.clone()));
            now = operation.ret + rng.random_range(1..10);
        }
    }
    planned.sort_by_key(|&(effect, _)| effect);
    let mut store = Store::new();
    let answer = |(_, operation): (i64, KvOperation)| Operation {
        output: KvOutput { value: run_store(&mut store, &operation.input) },
        ..operation
    };
    planned.into_iter().map(answer).collect()
}

#[test]
fn long_histories_of_the_lab() {
    for seed in 0..5 {
        let mut history = lab_history(seed, 5_000, 15);
        let began = Instant::now();
        assert!(check_operations(&KvModel, &history), "seed {seed}");
        println!("{} operations: {:?}", history.len(), began.elapsed());
        assert!(check_events(&KvModel, &events_of(&history)), "seed {seed}");

        let last = history.iter_mut().rfind(|operation| operation.output.value.len() > 8).unwrap();
        last.output.value.pop();
        assert_eq!(check_operations_timeout(&KvModel, &history, LONG), CheckResult::Illegal, "seed {seed}");
    }
}

/// The key/value store without the optional methods that make the search shorter.
#[derive(Clone, Copy)]
struct Bare;

impl Model for Bare {
    type Input = KvInput;
    type Output = KvOutput;
    type State = <KvModel as Model>::State;

    fn partition<'a>(&self, history: &'a [KvOperation]) -> Vec<Vec<&'a KvOperation>> {
        KvModel.partition(history)
    }

    fn partition_event<'a>(&self, history: &'a [KvEvent]) -> Vec<Vec<&'a KvEvent>> {
        KvModel.partition_event(history)
    }

    fn init(&self) -> Self::State {
        KvModel.init()
    }

    fn step(&self, state: &Self::State, input: &KvInput, output: &KvOutput) -> Option<Self::State> {
        assert_ne!(input.key, "fragile", "the model broke");
        KvModel.step(state, input, output)
    }
}

/// Appends that all overlap, and a get that no order of them explains. Without the optional methods a checker has to try
/// all 20! orders, because each leads to a different state.
fn hard_history(key: &str) -> Vec<KvOperation> {
    let mut history: Vec<_> = ('a'..='t').map(|letter| append(key, &letter.to_string(), 0, 1)).collect();
    history.push(get(key, "abcdefghijklmnopqrss", 2, 3));
    history
}

#[test]
fn a_hard_history_ends_with_its_limit() {
    let limit = Duration::from_millis(50);
    let history = hard_history("x");
    let began = Instant::now();
    assert_eq!(check_operations_timeout(&Bare, &history, limit), CheckResult::Unknown);
    assert_eq!(check_events_timeout(&Bare, &events_of(&history), limit), CheckResult::Unknown);
    assert!(began.elapsed() >= 2 * limit, "gave up too soon: {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "gave up too late: {:?}", began.elapsed());
}

#[test]
fn the_limit_is_for_all_parts_together() {
    let history: Vec<_> = (0..1000).flat_map(|key| hard_history(&key.to_string())).collect();
    let began = Instant::now();
    let result = check_operations_timeout(&Bare, &history, Duration::from_millis(50));
    assert_eq!(result, CheckResult::Unknown);
    assert!(began.elapsed() < Duration::from_secs(5), "gave up too late: {:?}", began.elapsed());
}

#[test]
fn limits_at_the_edges() {
    let (legal, illegal) = ([put("x", "a", 0, 1)], [get("x", "a", 0, 1)]);
    assert_eq!(check_operations_timeout(&KvModel, &legal, Duration::ZERO), CheckResult::Unknown);
    assert_eq!(check_operations_timeout(&KvModel, &illegal, Duration::ZERO), CheckResult::Unknown);
    assert_eq!(check_operations_timeout(&KvModel, &[], Duration::ZERO), CheckResult::Ok);
    assert_eq!(check_operations_timeout(&KvModel, &legal, Duration::MAX), CheckResult::Ok);
    assert_eq!(check_operations_timeout(&KvModel, &illegal, Duration::MAX), CheckResult::Illegal);
}

#[test]
fn an_illegal_part_ends_the_search_of_the_others() {
    let mut history = hard_history("x");
    history.push(get("y", "never put", 0, 1));
    let began = Instant::now();
    assert_eq!(check_operations_timeout(&Bare, &history, LONG), CheckResult::Illegal);
    assert!(began.elapsed() < LONG / 2, "waited for the hard part: {:?}", began.elapsed());
}

#[test]
fn what_can_no_longer_be_read_ends_the_search() {
    let began = Instant::now();
    for part in 0..1000 {
        let history = hard_history(&part.to_string());
        assert_eq!(check_operations_timeout(&KvModel, &history, LONG), CheckResult::Illegal);
    }
    println!("1000 histories in {:?}", began.elapsed());
}

#[test]
fn what_was_seen_before_is_not_tried_again() {
    // Sixteen gets have 16! orders, but only 2^16 subsets.
    let mut history: Vec<_> = (0..16).map(|_| get("x", "", 0, 1)).collect();
    history.push(get("x", "a", 2, 3));
    assert_eq!(check_operations_timeout(&Bare, &history, LONG), CheckResult::Illegal);
}

#[test]
fn a_panic_of_the_model_ends_the_check() {
    for fragile_first in [true, false] {
        let mut history = hard_history("x");
        history.insert(if fragile_first { 0 } else { history.len() }, put("fragile", "a", 0, 1));
        let began = Instant::now();
        let panic = catch_unwind(|| check_operations_timeout(&Bare, &history, LONG)).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("the model broke"));
        assert!(began.elapsed() < LONG / 2, "waited for the hard part: {:?}", began.elapsed());
    }
}

fn call(id: u64) -> Event<RegisterInput, u64> {
    Event::Call { id, input: RegisterInput::Read }
}

fn returned(id: u64) -> Event<RegisterInput, u64> {
    Event::Return { id, output: 0 }
}

#[test]
fn malformed_histories_are_refused_by_name() {
    let cases = [
        (vec![call(1), returned(1), returned(7)], "event 2 returns id 7 before it is called"),
        (vec![returned(7), call(7)], "event 0 returns id 7 before it is called"),
        (vec![call(7), call(7), returned(7), returned(7)], "event 1 calls id 7 again"),
        (vec![call(7), returned(7), call(7), returned(7)], "event 2 calls id 7 again"),
        (vec![call(7), returned(7), returned(7)], "event 2 returns id 7 again"),
        (vec![call(1), call(7), returned(1)], "event 1 calls id 7, which never returns"),
    ];
    for (history, complaint) in cases {
        let panic = catch_unwind(|| check_events(&RegisterModel, &history)).unwrap_err();
        assert_eq!(*panic.downcast_ref::<String>().unwrap(), format!("malformed history: {complaint}"));
    }
    let history = [read(0, 3, 4), read(0, 6, 5)];
    let panic = catch_unwind(|| check_operations(&RegisterModel, &history)).unwrap_err();
    let complaint = "malformed history: operation 1 returns at 5, before its call at 6";
    assert_eq!(*panic.downcast_ref::<String>().unwrap(), complaint);
}

/// A register with a wrong partition: it leaves out the returns.
struct Forgetful;

impl Model for Forgetful {
    type Input = RegisterInput;
    type Output = u64;
    type State = u64;

    fn partition_event<'a>(
        &self,
        history: &'a [Event<RegisterInput, u64>],
    ) -> Vec<Vec<&'a Event<RegisterInput, u64>>> {
        vec![history.iter().filter(|event| matches!(event, Event::Call { .. })).collect()]
    }

    fn init(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, _: &RegisterInput, _: &u64) -> Option<u64> {
        Some(*state)
    }
}

#[test]
#[should_panic(expected = "malformed partition_event: event 0 calls id 7, which never returns")]
fn a_partition_that_tears_an_operation_apart_is_named() {
    _ = check_events(&Forgetful, &[call(7), returned(7)]);
}
