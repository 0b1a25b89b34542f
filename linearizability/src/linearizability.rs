//! The checker: a depth-first search for an order of the operations that explains every answer.
//!
//! The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993): among the operations not yet
//! placed, try each that was called before the first of them returned; if the model accepts one, place it and go on,
//! and if none is left to try, take the last one back. Lowe's addition ("Testing for linearizability", 2017)
//! makes it practical: the future depends only on which operations have been placed and on the state they led to, so
//! a pair of these that was seen before is not tried again.
//!
//! Go counterpart: `linearizability/linearizability.go`.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bitset::Bitset;
use crate::model::{CheckResult, Event, Model, Operation};

/// The most threads that one check uses, the calling one included. The lab runs where threads are rationed.
const MAX_THREADS: usize = 8;

/// How many steps of the search pass between two looks at the clock.
const STEPS_PER_LOOK: u64 = 64;

/// Checks operations, within `limit` if there is one.
pub(crate) fn check_operations<M>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    limit: Option<Duration>,
) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let watch = Watch::start(limit);
    for (index, operation) in history.iter().enumerate() {
        let Operation { call, ret, .. } = operation;
        assert!(
            call <= ret,
            "malformed history: operation {index} returns at {ret}, before its call at {call}"
        );
    }
    let parts: Vec<_> = model.partition(history).into_iter().map(Part::from_operations).collect();
    check_parts(model, &parts, &watch)
}

/// Checks events, within `limit` if there is one.
pub(crate) fn check_events<M>(
    model: &M,
    history: &[Event<M::Input, M::Output>],
    limit: Option<Duration>,
) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let watch = Watch::start(limit);
    // Done for its panics: the model's partition may rely on a well-formed history.
    Part::from_events(&history.iter().collect::<Vec<_>>(), "history");
    let parts: Vec<_> = model
        .partition_event(history)
        .iter()
        .map(|part| Part::from_events(part, "partition_event"))
        .collect();
    check_parts(model, &parts, &watch)
}

/// When to give up. Shared by the threads of one check.
struct Watch {
    deadline: Option<Instant>,
    // Set when the outcome no longer depends on the parts still being searched.
    stop: AtomicBool,
}

impl Watch {
    fn start(limit: Option<Duration>) -> Watch {
        // A limit beyond what the clock can express is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Watch { deadline, stop: AtomicBool::new(false) }
    }

    /// Whether to give up, asked before each step of a search. Looks at the clock at step 0 and now and then after it.
    fn is_over(&self, step: u64) -> bool {
        self.stop.load(Ordering::Relaxed)
            || step.is_multiple_of(STEPS_PER_LOOK)
                && self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Checks all parts, on several threads if there are several parts.
fn check_parts<M>(model: &M, parts: &[Part<'_, M::Input, M::Output>], watch: &Watch) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let untaken = AtomicUsize::new(0);
    let work = || check_untaken(model, parts, &untaken, watch);
    // Two even on one processor, so that a hard part does not hide an illegal one behind it.
    let threads =
        thread::available_parallelism().map_or(1, usize::from).clamp(2, MAX_THREADS).min(parts.len());
    thread::scope(|scope| {
        // Where a thread cannot be started, those that could, or the calling one alone, take all the parts.
        let helpers: Vec<_> = (1..threads)
            .map_while(|_| {
                thread::Builder::new().name("linearizability".into()).spawn_scoped(scope, work).ok()
            })
            .collect();
        let own = work();
        helpers.into_iter().fold(own, |result, helper| {
            let other = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
            match (result, other) {
                (CheckResult::Illegal, _) | (_, CheckResult::Illegal) => CheckResult::Illegal,
                (CheckResult::Unknown, _) | (_, CheckResult::Unknown) => CheckResult::Unknown,
                (CheckResult::Ok, CheckResult::Ok) => CheckResult::Ok,
            }
        })
    })
}

/// Checks parts that no other thread has taken, until there are none or one of them settles the matter.
fn check_untaken<M: Model>(
    model: &M,
    parts: &[Part<'_, M::Input, M::Output>],
    untaken: &AtomicUsize,
    watch: &Watch,
) -> CheckResult {
    while let Some(part) = parts.get(untaken.fetch_add(1, Ordering::Relaxed)) {
        // If the model panics, the caller learns of it once the other threads have ended: they must not go on.
        let result = catch_unwind(AssertUnwindSafe(|| search(model, part, watch))).unwrap_or_else(|panic| {
            watch.stop.store(true, Ordering::Relaxed);
            resume_unwind(panic)
        });
        if result != CheckResult::Ok {
            watch.stop.store(true, Ordering::Relaxed);
            return result;
        }
    }
    CheckResult::Ok
}

/// Looks for an order of a part's operations.
fn search<M: Model>(model: &M, part: &Part<'_, M::Input, M::Output>, watch: &Watch) -> CheckResult {
    let mut open = Open::new(&part.marks);
    let mut placed = Bitset::new(part.operations.len());
    let mut state = model.init();
    // The placed operations in the order found so far, each with the state before it.
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut step = 0;
    let mut node = open.first();
    // What is open ends with a return, beyond which the search does not go: the end is met only when nothing is open.
    while let Some(mark) = open.mark(node) {
        if watch.is_over(step) {
            return CheckResult::Unknown;
        }
        step += 1;
        match mark {
            Mark::Call(number) => {
                let (input, output) = part.operations[number];
                if let Some(after) = model.step(&state, input, output) {
                    placed.insert(number);
                    if seen.insert((placed.freeze(), after.clone())) {
                        order.push((number, mem::replace(&mut state, after)));
                        open.lift(number);
                        node = open.first();
                        continue;
                    }
                    placed.remove(number);
                }
                node = open.after(node);
            }
            // An open operation returns here, so one of those tried before had to come first, and none could.
            Mark::Return(_) => {
                let Some((number, before)) = order.pop() else { return CheckResult::Illegal };
                state = before;
                placed.remove(number);
                let call = open.unlift(number);
                node = open.after(call);
            }
        }
    }
    CheckResult::Ok
}

/// One end of an operation, which is named by its number in the part.
#[derive(Clone, Copy)]
enum Mark {
    Call(usize),
    Return(usize),
}

/// A part of a history, made ready for the search.
struct Part<'a, I, O> {
    // In the order of their calls.
    operations: Vec<(&'a I, &'a O)>,
    // Both marks of every operation, in the order of time; the call stands before its return.
    marks: Vec<Mark>,
}

impl<'a, I, O> Part<'a, I, O> {
    fn from_operations(mut operations: Vec<&'a Operation<I, O>>) -> Part<'a, I, O> {
        operations.sort_by_key(|operation| operation.call);
        let mut times: Vec<_> = operations
            .iter()
            .enumerate()
            .flat_map(|(number, operation)| {
                [(operation.call, 0, Mark::Call(number)), (operation.ret, 1, Mark::Return(number))]
            })
            .collect();
        // Intervals are closed: at equal times calls come before returns, and so their operations overlap. The sort
        // is stable, which keeps equal calls in the order of their numbers.
        times.sort_by_key(|&(time, rank, _)| (time, rank));
        Part {
            operations: operations.iter().map(|operation| (&operation.input, &operation.output)).collect(),
            marks: times.into_iter().map(|(_, _, mark)| mark).collect(),
        }
    }

    /// `source` says in a panic's message what is malformed.
    fn from_events(events: &[&'a Event<I, O>], source: &str) -> Part<'a, I, O> {
        let mut called = HashMap::new();
        let mut operations = Vec::new();
        let mut marks = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match event {
                Event::Call { id, input } => {
                    let number = operations.len();
                    let earlier = called.insert(id, number);
                    assert!(earlier.is_none(), "malformed {source}: event {index} calls id {id} again");
                    operations.push((input, None, index, id));
                    marks.push(Mark::Call(number));
                }
                Event::Return { id, output } => {
                    let Some(&number) = called.get(id) else {
                        panic!("malformed {source}: event {index} returns id {id} before it is called")
                    };
                    let earlier = operations[number].1.replace(output);
                    assert!(earlier.is_none(), "malformed {source}: event {index} returns id {id} again");
                    marks.push(Mark::Return(number));
                }
            }
        }
        let finished = |(input, output, index, id): (_, Option<_>, usize, &u64)| match output {
            Some(output) => (input, output),
            None => panic!("malformed {source}: event {index} calls id {id}, which never returns"),
        };
        Part { operations: operations.into_iter().map(finished).collect(), marks }
    }
}

/// The marks of the operations not yet placed, in the order of time: a doubly linked list whose nodes stay where they
/// are, so that what was lifted out can be put back, the last first.
struct Open {
    // Mark `i` is at node `i + 1`. Node 0 is both ends of the list and has no mark.
    marks: Vec<Mark>,
    next: Vec<usize>,
    previous: Vec<usize>,
    // For each operation, the nodes of its call and its return.
    ends: Vec<(usize, usize)>,
}

impl Open {
    fn new(marks: &[Mark]) -> Open {
        let nodes = marks.len() + 1;
        let mut ends = vec![(0, 0); marks.len() / 2];
        for (index, mark) in marks.iter().enumerate() {
            match *mark {
                Mark::Call(number) => ends[number].0 = index + 1,
                Mark::Return(number) => ends[number].1 = index + 1,
            }
        }
        Open {
            marks: marks.to_vec(),
            next: (1..nodes).chain([0]).collect(),
            previous: [nodes - 1].into_iter().chain(0..nodes - 1).collect(),
            ends,
        }
    }

    /// The node of the earliest mark.
    fn first(&self) -> usize {
        self.next[0]
    }

    fn after(&self, node: usize) -> usize {
        self.next[node]
    }

    /// The mark at a node; none at the end.
    fn mark(&self, node: usize) -> Option<Mark> {
        node.checked_sub(1).map(|index| self.marks[index])
    }

    /// Takes both marks of an operation out.
    fn lift(&mut self, number: usize) {
        let (call, ret) = self.ends[number];
        self.unlink(call);
        self.unlink(ret);
    }

    /// Puts both marks back and gives the node of the call. The operation is the last one lifted.
    fn unlift(&mut self, number: usize) -> usize {
        let (call, ret) = self.ends[number];
        self.relink(ret);
        self.relink(call);
        call
    }

    fn unlink(&mut self, node: usize) {
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    /// The node still knows its neighbours; those have forgotten it.
    fn relink(&mut self, node: usize) {
        let (previous, next) = (self.previous[node], self.next[node]);
        self.next[previous] = node;
        self.previous[next] = node;
    }
}
