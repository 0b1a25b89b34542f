//! The checker: splits a history into parts, and searches each part.
//!
//! Go counterpart: `linearizability/linearizability.go`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::{CheckResult, Event, Explanation, Model, Operation, PartExplanation, Prefix};
use crate::part::{Ids, Part};
use crate::search::Search;

/// The most threads that one check uses, the calling thread included. The lab must run where the number of threads is
/// limited.
const MAX_THREADS: usize = 8;

/// The number of steps of a search between two looks at the clock.
const STEPS_PER_LOOK: usize = 64;

/// How many steps the first search of a part may take, in addition to the steps that it takes if it never turns back. Most
/// parts need no more.
const FIRST_STEPS: usize = 512;

/// When a part is searched again, it gets this many times as many steps.
const MORE_STEPS: usize = 8;

/// Searches of up to this many steps run on the calling thread alone: to start other threads takes about as long.
const STEPS_ALONE: usize = 4096;

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
    check(model, &parts_of_operations(model, history), &watch)
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
    check(model, &parts_of_events(model, history), &watch)
}

/// Explains operations, as far as `limit` allows.
pub(crate) fn explain_operations<M>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    limit: Duration,
) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let watch = Watch::start(Some(limit));
    explain(model, &parts_of_operations(model, history), &watch)
}

/// Explains events, as far as `limit` allows.
pub(crate) fn explain_events<M>(
    model: &M,
    history: &[Event<M::Input, M::Output>],
    limit: Duration,
) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let watch = Watch::start(Some(limit));
    explain(model, &parts_of_events(model, history), &watch)
}

/// The parts of a history of operations.
fn parts_of_operations<'a, M: Model>(
    model: &M,
    history: &'a [Operation<M::Input, M::Output>],
) -> Vec<Part<'a, M::Input, M::Output>> {
    for (index, operation) in history.iter().enumerate() {
        let Operation { call, ret, .. } = operation;
        assert!(
            call <= ret,
            "malformed history: operation {index} returns at {ret}, before its call at {call}"
        );
    }
    model.partition(history).into_iter().map(|part| Part::from_operations(history, part)).collect()
}

/// The parts of a history of events.
fn parts_of_events<'a, M: Model>(
    model: &M,
    history: &'a [Event<M::Input, M::Output>],
) -> Vec<Part<'a, M::Input, M::Output>> {
    // This refuses malformed histories, so it comes first: the model's partition may rely on a well-formed history.
    let ids = Ids::new(history);
    ids.parts(model.partition_event(history))
}

/// Says when to give up. The threads of a check share it.
struct Watch {
    deadline: Option<Instant>,
    /// Set when the result no longer depends on the parts that are still being searched.
    stop: AtomicBool,
}

impl Watch {
    fn start(limit: Option<Duration>) -> Watch {
        // A limit that the clock cannot express is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Watch { deadline, stop: AtomicBool::new(false) }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Checks the parts, until one is illegal.
fn check<M>(model: &M, parts: &[Part<'_, M::Input, M::Output>], watch: &Watch) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let (mut ok, mut illegal) = (0, false);
    let search = |part: usize, steps| {
        let result = run(&mut Search::new(model, &parts[part]), steps, watch);
        if result == CheckResult::Illegal {
            watch.stop.store(true, Ordering::Relaxed);
        }
        (result, ())
    };
    in_rounds((0..parts.len()).collect(), watch, search, |_, result, ()| {
        ok += usize::from(result == CheckResult::Ok);
        illegal |= result == CheckResult::Illegal;
    });
    match illegal {
        true => CheckResult::Illegal,
        false if ok == parts.len() => CheckResult::Ok,
        false => CheckResult::Unknown,
    }
}

/// Finds the longest orders of each part.
fn explain<M>(model: &M, parts: &[Part<'_, M::Input, M::Output>], watch: &Watch) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let unknown = |part: &Part<'_, _, _>| PartExplanation {
        result: CheckResult::Unknown,
        operations: part.indexes.clone(),
        prefixes: vec![prefix(part, &[])],
        exact: false,
    };
    let mut explanations: Vec<_> = parts.iter().map(unknown).collect();
    let check = |part: usize, steps| {
        let mut search = Search::new(model, &parts[part]);
        (run(&mut search, steps, watch), prefix(&parts[part], &search.order()))
    };
    in_rounds((0..parts.len()).collect(), watch, check, |part, result, found| {
        let part = &mut explanations[part];
        part.result = result;
        part.exact = result == CheckResult::Ok;
        part.keep_longer(vec![found]);
    });

    let illegal = (0..parts.len()).filter(|&part| explanations[part].result == CheckResult::Illegal);
    let find_longest = |part: usize, steps| {
        let mut search = Search::for_longest(model, &parts[part]);
        let result = run(&mut search, steps, watch);
        let prefixes: Vec<_> =
            search.into_longest().iter().map(|order| prefix(&parts[part], order)).collect();
        (result, prefixes)
    };
    in_rounds(illegal.collect(), watch, find_longest, |part, result, found| {
        let part = &mut explanations[part];
        part.exact = result == CheckResult::Illegal;
        part.keep_longer(found);
    });
    let result = explanations.iter().fold(CheckResult::Ok, |result, part| worse(result, part.result));
    Explanation { result, parts: explanations }
}

impl PartExplanation {
    /// Takes the orders that a search has found, unless an earlier search has found longer ones. A search that runs out of
    /// time may find less than an earlier one.
    fn keep_longer(&mut self, found: Vec<Prefix>) {
        if found[0].order.len() >= self.prefixes[0].order.len() {
            self.prefixes = found;
        }
    }
}

/// Searches the parts with these numbers, in rounds. In the first round each search may take few steps; the parts that
/// need more are searched again with more, until each search has ended or the watch says that it is over. Without rounds,
/// a hard part would hide an illegal part behind it. `take` gets the result of each search of each round.
fn in_rounds<T: Send>(
    mut parts: Vec<usize>,
    watch: &Watch,
    search: impl Fn(usize, usize) -> (CheckResult, T) + Sync,
    mut take: impl FnMut(usize, CheckResult, T),
) {
    let mut steps = if parts.len() > 1 { FIRST_STEPS } else { usize::MAX };
    while !parts.is_empty() {
        // To ask the system how many threads it can run takes as long as some hundred steps.
        let alone = steps <= STEPS_ALONE || parts.len() == 1;
        let threads = if alone { 1 } else { most_threads() };
        let mut left = Vec::new();
        for (part, (result, more)) in on_threads(threads, &parts, watch, |part| search(part, steps)) {
            if result == CheckResult::Unknown {
                left.push(part);
            }
            take(part, result, more);
        }
        if left.is_empty() || watch.is_over() {
            return;
        }
        parts = left;
        // If each part has a thread of its own, no part waits for another, and no further round is needed.
        let all_at_once = parts.len() <= most_threads();
        steps = if all_at_once { usize::MAX } else { steps.saturating_mul(MORE_STEPS) };
    }
}

fn worse(one: CheckResult, other: CheckResult) -> CheckResult {
    match (one, other) {
        (CheckResult::Illegal, _) | (_, CheckResult::Illegal) => CheckResult::Illegal,
        (CheckResult::Unknown, _) | (_, CheckResult::Unknown) => CheckResult::Unknown,
        (CheckResult::Ok, CheckResult::Ok) => CheckResult::Ok,
    }
}

/// An order in terms of the whole history, and the operations that could have come next.
fn prefix<I, O>(part: &Part<'_, I, O>, order: &[u32]) -> Prefix {
    let mut open = vec![true; part.len()];
    order.iter().for_each(|&number| open[number as usize] = false);
    let index_of = |number: &u32| part.indexes[*number as usize];
    let front = part.returns.iter().position(|&number| open[number as usize]);
    let refused = front.map_or(Vec::new(), |front| {
        part.returns[front..]
            .iter()
            .filter(|&&number| open[number as usize] && number < part.called[front])
            .map(index_of)
            .collect()
    });
    Prefix { order: order.iter().map(index_of).collect(), refused }
}

/// Runs a search until it has taken `steps` steps more than it takes if it never turns back, or until the watch says that
/// it is over.
fn run<M: Model>(search: &mut Search<'_, M>, steps: usize, watch: &Watch) -> CheckResult {
    let mut left = steps.saturating_add(search.shortest());
    while left > 0 && !watch.is_over() {
        match search.run(left.min(STEPS_PER_LOOK)) {
            CheckResult::Unknown => left = left.saturating_sub(STEPS_PER_LOOK),
            result => return result,
        }
    }
    CheckResult::Unknown
}

/// Searches all parts on several threads, the calling thread included, until the watch says that it is over. Returns the
/// result for each part that was begun.
fn on_threads<T: Send>(
    threads: usize,
    parts: &[usize],
    watch: &Watch,
    search: impl Fn(usize) -> T + Sync,
) -> Vec<(usize, T)> {
    let untaken = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while !watch.is_over()
            && let Some(&part) = parts.get(untaken.fetch_add(1, Ordering::Relaxed))
        {
            // If the model panics, the panic is passed on once the other threads have ended, so they must end now.
            let result = catch_unwind(AssertUnwindSafe(|| search(part))).unwrap_or_else(|panic| {
                watch.stop.store(true, Ordering::Relaxed);
                resume_unwind(panic)
            });
            found.push((part, result));
        }
        found
    };
    let helpers = threads.min(parts.len()).saturating_sub(1);
    if helpers == 0 {
        return work();
    }
    thread::scope(|scope| {
        // If a thread cannot be started, the others take its parts; the calling thread is always there.
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| {
                thread::Builder::new().name("linearizability".into()).spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut found = work();
        for helper in helpers {
            found.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        found
    })
}

/// The number of threads to use if there is work for all of them.
fn most_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}
