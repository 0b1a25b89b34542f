//! Histories of simulated clients and servers. The same seed makes the same history.

use std::collections::{BTreeMap, BTreeSet};

use linearizability::{CasInput, CasModel, CasOutput, Event, KvInput, KvOp, KvOutput, Model};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::logs::{CasEvent, KvEvent};

/// An operation that a client of the key/value store has called.
struct KvRun {
    id: u64,
    input: KvInput,
    /// None until the operation has taken effect.
    output: Option<String>,
}

/// The key/value workload of the lab's linearizability tests. All clients work on the same ten keys. Half of the
/// operations are appends, one in twenty is a put, and the others are gets. Each client is slow or fast at random.
pub fn kv(seed: u64, clients: usize, operations: usize) -> Vec<KvEvent> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut store: BTreeMap<String, String> = BTreeMap::new();
    let mut running: Vec<Option<KvRun>> = (0..clients).map(|_| None).collect();
    let (mut events, mut called) = (Vec::new(), 0);
    while called < operations as u64 || running.iter().any(Option::is_some) {
        let client = rng.random_range(0..clients);
        match running[client].take() {
            None if called < operations as u64 => {
                let op = *[&[KvOp::Append; 10][..], &[KvOp::Put], &[KvOp::Get; 9]]
                    .concat()
                    .choose(rng)
                    .expect("some");
                let value = if op == KvOp::Get { String::new() } else { format!("x {client} {called} y") };
                let input = KvInput { op, key: rng.random_range(0..10).to_string(), value };
                events.push(Event::Call { id: called, input: input.clone() });
                running[client] = Some(KvRun { id: called, input, output: None });
                called += 1;
            }
            None => {}
            Some(mut run) if run.output.is_none() => {
                let value = store.entry(run.input.key.clone()).or_default();
                match run.input.op {
                    KvOp::Get => {}
                    KvOp::Put => value.clone_from(&run.input.value),
                    KvOp::Append => value.push_str(&run.input.value),
                }
                run.output = Some(if run.input.op == KvOp::Get { value.clone() } else { String::new() });
                running[client] = Some(run);
            }
            Some(KvRun { id, output, .. }) => {
                events.push(Event::Return { id, output: KvOutput { value: output.unwrap_or_default() } });
            }
        }
    }
    events
}

/// Makes one get in the last quarter of the history wrong: it returns a value that has one of the appends twice.
pub fn break_kv(seed: u64, events: &mut [KvEvent]) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let start = events.len() * 3 / 4;
    let seen = |event: &KvEvent| matches!(event, Event::Return { output, .. } if output.value.matches('x').count() > 2);
    let gets: Vec<_> = (start..events.len()).filter(|&index| seen(&events[index])).collect();
    let index = *gets.choose(rng).expect("a get that saw appends");
    let Event::Return { output, .. } = &mut events[index] else { unreachable!("a get's return") };
    let appends: Vec<_> = output.value.split_inclusive('y').collect();
    let twice = rng.random_range(1..appends.len());
    output.value = [&appends[..twice], &appends[twice - 1..]].concat().concat();
}

/// A register as Jepsen tests etcd. Five processes read, write and compare-and-set values from 0 to 4. Now and then an
/// operation times out: it never returns, and takes effect later or never. Its process goes on under another name. With
/// `stale`, a server that is behind answers one read in eight.
pub fn register(seed: u64, operations: usize, stale: bool) -> Vec<CasEvent> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut states = vec![CasModel.init()];
    // Each process's operation: its id, its input, and its output once it has taken effect.
    let mut running: Vec<Option<(u64, CasInput, Option<CasOutput>)>> = vec![None; 5];
    let mut lost = BTreeMap::new();
    let mut unheard = BTreeSet::new();
    let (mut events, mut called) = (Vec::new(), 0);
    while called < operations as u64 || running.iter().any(Option::is_some) {
        let process = rng.random_range(0..running.len());
        match running[process].take() {
            None if called < operations as u64 => {
                let [value, expected] = [(); 2].map(|()| rng.random_range(0..5));
                let input = match rng.random_range(0..3) {
                    0 => CasInput::Read,
                    1 => CasInput::Write(value),
                    _ => CasInput::CompareAndSet { expected, new: value },
                };
                events.push(Event::Call { id: called, input });
                running[process] = Some((called, input, None));
                called += 1;
            }
            None => {}
            // Reads do not time out here: a read without an output says nothing about the register.
            Some((id, input, None)) if input != CasInput::Read && rng.random_ratio(1, 12) => {
                unheard.insert(id);
                if rng.random() {
                    lost.insert(id, input);
                }
            }
            Some((id, input, None)) => {
                let behind = if stale && rng.random_ratio(1, 8) { rng.random_range(1..4) } else { 0 };
                running[process] = Some((id, input, Some(apply(&mut states, input, behind))));
            }
            Some((id, _, Some(output))) => events.push(Event::Return { id, output }),
        }
        if rng.random_ratio(1, 20)
            && let Some((_, input)) = lost.pop_first()
        {
            apply(&mut states, input, 0);
        }
    }
    events.extend(unheard.into_iter().map(|id| Event::Return { id, output: CasOutput::Unknown }));
    events
}

/// Runs an operation on the newest state. A read sees the state that is `behind` places older.
fn apply(states: &mut Vec<Option<u64>>, input: CasInput, behind: usize) -> CasOutput {
    let newest = states[states.len() - 1];
    match input {
        CasInput::Read => CasOutput::Read(states[states.len().saturating_sub(1 + behind)]),
        CasInput::Write(value) => {
            states.push(Some(value));
            CasOutput::Written
        }
        CasInput::CompareAndSet { expected, new } => {
            let equal = newest == Some(expected);
            if equal {
                states.push(Some(new));
            }
            CasOutput::Set(equal)
        }
    }
}
