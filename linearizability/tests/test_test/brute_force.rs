//! Small random histories. The checker must agree with one that tries every order.

use std::collections::BTreeSet;

use linearizability::{Explanation, PartExplanation, explain_events, explain_operations};

use super::*;

/// The number of histories for each model.
const COUNT: u64 = 100_000;

/// For this many of them the explanations are compared too.
const EXPLAINED: u64 = 10_000;

/// True if some order of the operations explains all outputs. Tries every order. `run` applies an operation and says
/// whether its output is right.
fn some_order_is_right<I, O, S: Clone>(
    left: &[&Operation<I, O>],
    state: &S,
    run: &impl Fn(&mut S, &I, &O) -> bool,
) -> bool {
    left.is_empty()
        || (0..left.len()).any(|first| {
            let others = [&left[..first], &left[first + 1..]].concat();
            let in_time = others.iter().all(|other| other.ret >= left[first].call);
            let mut state = state.clone();
            in_time
                && run(&mut state, &left[first].input, &left[first].output)
                && some_order_is_right(&others, &state, run)
        })
}

/// Finds, for each operation, the length of the longest order that contains it; 0 if there is none. Tries every order.
fn longest_with<I, O, S: Clone>(
    history: &[&Operation<I, O>],
    state: &S,
    run: &impl Fn(&mut S, &I, &O) -> bool,
    order: &mut Vec<usize>,
    longest: &mut [usize],
) {
    for &placed in order.iter() {
        longest[placed] = longest[placed].max(order.len());
    }
    for next in 0..history.len() {
        let mut state = state.clone();
        if may_come_next(history, order, next) && run(&mut state, &history[next].input, &history[next].output)
        {
            order.push(next);
            longest_with(history, &state, run, order, longest);
            order.pop();
        }
    }
}

/// True if the operation is not in the order yet, and none of the others that are not had returned when it was called.
fn may_come_next<I, O>(history: &[&Operation<I, O>], order: &[usize], next: usize) -> bool {
    let open = |index: &usize| !order.contains(index);
    open(&next) && (0..history.len()).filter(open).all(|other| history[other].ret >= history[next].call)
}

/// Asserts that an explanation agrees with what trying every order finds.
fn assert_explains<I: Debug, O: Debug, S: Clone>(
    explanation: &Explanation,
    history: &[Operation<I, O>],
    start: &S,
    run: &impl Fn(&mut S, &I, &O) -> bool,
    what: &str,
) {
    let mut operations: Vec<_> = explanation.parts.iter().flat_map(|part| part.operations.clone()).collect();
    operations.sort_unstable();
    assert!(operations.into_iter().eq(0..history.len()), "{what}: parts of {history:#?}");
    for part in &explanation.parts {
        let named: Vec<_> = part.operations.iter().map(|&index| &history[index]).collect();
        assert!(named.is_sorted_by_key(|operation| operation.call), "{what}: the order of calls");
        let mut longest = vec![0; named.len()];
        longest_with(&named, start, run, &mut Vec::new(), &mut longest);
        let legal = longest.iter().all(|&length| length == named.len());
        assert_eq!(part.result, if legal { CheckResult::Ok } else { CheckResult::Illegal }, "{what}");
        assert!(part.exact, "{what}");
        let found = longest_in(part);
        assert_eq!(found, longest, "{what}: longest orders in {part:#?} of {history:#?}");
        for prefix in &part.prefixes {
            assert_prefix(&named, &local(part, &prefix.order), &local(part, &prefix.refused), start, run);
        }
        assert!(
            part.prefixes.is_sorted_by_key(|prefix| usize::MAX - prefix.order.len()),
            "{what}: {part:#?}"
        );
        let distinct: BTreeSet<_> = part.prefixes.iter().map(|prefix| &prefix.order).collect();
        assert_eq!(distinct.len(), part.prefixes.len(), "{what}: {part:#?}");
        let best = &part.prefixes[0];
        let mut state = start.clone();
        best.order
            .iter()
            .for_each(|&index| _ = run(&mut state, &history[index].input, &history[index].output));
        for &index in &best.refused {
            assert!(
                !run(&mut state.clone(), &history[index].input, &history[index].output),
                "{what}: {part:#?}"
            );
        }
    }
}

/// The numbers of these operations within their part.
fn local(part: &PartExplanation, indexes: &[usize]) -> Vec<usize> {
    let number = |index| part.operations.iter().position(|operation| operation == index);
    indexes.iter().map(|index| number(index).expect("an operation of the part")).collect()
}

/// For each operation of a part, the length of the first prefix that contains it.
fn longest_in(part: &PartExplanation) -> Vec<usize> {
    let first = |index| part.prefixes.iter().find(|prefix| prefix.order.contains(index));
    part.operations.iter().map(|index| first(index).map_or(0, |prefix| prefix.order.len())).collect()
}

/// Asserts that an order explains its outputs, and that the refused operations are those that could come next, sorted by
/// their returns.
fn assert_prefix<I: Debug, O: Debug, S: Clone>(
    operations: &[&Operation<I, O>],
    order: &[usize],
    refused: &[usize],
    start: &S,
    run: &impl Fn(&mut S, &I, &O) -> bool,
) {
    let mut state = start.clone();
    for (length, &next) in order.iter().enumerate() {
        assert!(may_come_next(operations, &order[..length], next), "{order:?} of {operations:#?}");
        let Operation { input, output, .. } = operations[next];
        assert!(run(&mut state, input, output), "{order:?} of {operations:#?}");
    }
    let mut next: Vec<_> =
        (0..operations.len()).filter(|&next| may_come_next(operations, order, next)).collect();
    assert!(refused.is_sorted_by_key(|&number| operations[number].ret), "{refused:?} of {operations:#?}");
    let mut sorted = refused.to_vec();
    sorted.sort_unstable();
    next.sort_unstable();
    assert_eq!(sorted, next, "what follows {order:?} of {operations:#?}");
}

/// Replaces the indexes of calls, by which an explanation names operations, by the ranks of the calls.
fn name_by_call<I, O>(explanation: &mut Explanation, events: &[Event<I, O>]) {
    let is_call = |event: &&Event<I, O>| matches!(event, Event::Call { .. });
    for part in &mut explanation.parts {
        let orders = part.prefixes.iter_mut().flat_map(|prefix| [&mut prefix.order, &mut prefix.refused]);
        for index in [&mut part.operations].into_iter().chain(orders).flatten() {
            assert!(is_call(&&events[*index]), "event {index} is not a call");
            *index = events[..*index].iter().filter(is_call).count();
        }
    }
}

/// Sometimes takes away the answer of an operation, and sometimes adds an operation that may or may not have happened.
/// `answer` gives the output that stands for no answer. It gives `None` if the operation must have an answer.
fn leave_pending<I: Clone, O>(
    rng: &mut StdRng,
    history: &mut Vec<Operation<I, O>>,
    answer: impl Fn(&Operation<I, O>) -> Option<O>,
) {
    for add in [false, true] {
        let index = rng.random_range(0..history.len());
        let Some(output) = answer(&history[index]).filter(|_| rng.random_ratio(1, 3)) else { continue };
        if add {
            let call = rng.random_range(0..2 * history.len() as i64);
            let input = history[index].input.clone();
            history.push(Operation { input, call, output, ret: i64::MAX });
        } else {
            history[index].output = output;
            history[index].ret = i64::MAX;
        }
    }
}

/// Changes a history a little; it may become illegal. Either one output becomes that of another operation, or `change` is
/// applied to it, or one operation moves in time. `worth` picks the operations that are changed.
fn disturb<I, O: Clone>(
    rng: &mut StdRng,
    history: &mut [Operation<I, O>],
    worth: impl Fn(&Operation<I, O>) -> bool,
    change: impl Fn(&O) -> O,
) {
    let reads: Vec<_> = (0..history.len()).filter(|&index| worth(&history[index])).collect();
    let (Some(&one), Some(&other)) = (reads.choose(rng), reads.choose(rng)) else { return };
    match rng.random_range(0..3) {
        0 => history[one].output = history[other].output.clone(),
        1 => history[one].output = change(&history[one].output),
        _ => {
            let shift = rng.random_range(-4..=4);
            history[one].call += shift;
            history[one].ret += shift;
        }
    }
}

/// The same operations with distinct times. Equal times are put in a random order.
fn without_ties<I: Clone, O: Clone>(rng: &mut StdRng, history: &[Operation<I, O>]) -> Vec<Operation<I, O>> {
    let mut ends: Vec<_> = history
        .iter()
        .enumerate()
        .flat_map(|(index, operation)| [(operation.call, index), (operation.ret, index)])
        .collect();
    ends.shuffle(rng);
    ends.sort_by_key(|&(time, _)| time);
    let place = |index: usize, from_end: bool| {
        let mut places = (0..ends.len()).filter(|&place| ends[place].1 == index);
        (if from_end { places.next_back() } else { places.next() }).unwrap() as i64
    };
    let times = |(index, operation): (usize, &Operation<I, O>)| Operation {
        call: place(index, false),
        ret: place(index, true),
        ..operation.clone()
    };
    history.iter().enumerate().map(times).collect()
}

/// Asserts that on random histories the checker agrees with trying every order, that both verdicts are frequent, and that
/// equal times make a difference.
fn agree_on_random_histories<M, S: Clone>(
    model: &M,
    start: &S,
    run: &impl Fn(&mut S, &M::Input, &M::Output) -> bool,
    generate: impl Fn(&mut StdRng) -> Vec<Operation<M::Input, M::Output>>,
) where
    M: Model<Input: Sync + Clone + Debug, Output: Sync + Clone + Debug> + Sync,
{
    let (mut legal, mut differ_without_ties) = (0, 0);
    for seed in 0..COUNT {
        let rng = &mut StdRng::seed_from_u64(seed);
        let history = generate(rng);
        let tieless = without_ties(rng, &history);
        let [verdict, tieless_verdict] = [&history, &tieless].map(|history| {
            let verdict = some_order_is_right(&history.iter().collect::<Vec<_>>(), start, run);
            assert_eq!(
                check_events(model, &events_of(history)),
                verdict,
                "events of seed {seed}: {history:#?}"
            );
            verdict
        });
        assert_eq!(check_operations(model, &history), verdict, "operations of seed {seed}: {history:#?}");
        if seed < EXPLAINED {
            let what = format!("seed {seed}");
            assert_explains(&explain_operations(model, &history, LONG), &history, start, run, &what);
            // In the order of their calls, the operations of both forms correspond.
            let mut by_call = history;
            by_call.sort_by_key(|operation| operation.call);
            let mut by_event = explain_events(model, &events_of(&by_call), LONG);
            name_by_call(&mut by_event, &events_of(&by_call));
            assert_explains(&by_event, &by_call, start, run, &what);
        }
        legal += u64::from(verdict);
        differ_without_ties += u64::from(verdict != tieless_verdict);
    }
    println!("{legal} of {COUNT} legal; {differ_without_ties} depend on equal times");
    assert!((COUNT / 4..COUNT * 3 / 4).contains(&legal), "{legal} of {COUNT} legal");
    assert!(differ_without_ties > COUNT / 100, "{differ_without_ties} of {COUNT} depend on equal times");
}

#[test]
fn key_value_agrees_with_trying_every_order() {
    let run = |store: &mut Store, input: &KvInput, output: &KvOutput| {
        let right = run_store(store, input);
        input.op != KvOp::Get || right == output.value
    };
    let shorten = |output: &KvOutput| {
        let mut value = output.value.clone();
        value.pop();
        KvOutput { value }
    };
    agree_on_random_histories(&KvModel, &Store::new(), &run, |rng| {
        let length = rng.random_range(3..=6);
        let mut history = random_kv_history(rng, length);
        for _ in 0..rng.random_range(3..12) {
            disturb(rng, &mut history, |operation| operation.input.op == KvOp::Get, shorten);
        }
        leave_pending(rng, &mut history, |operation| {
            (operation.input.op != KvOp::Get).then(|| KvOutput { value: String::new() })
        });
        history
    });
}

#[test]
fn register_agrees_with_trying_every_order() {
    let run = |number: &mut u64, input: &RegisterInput, output: &u64| match input {
        RegisterInput::Read => number == output,
        RegisterInput::Write(value) => {
            *number = *value;
            true
        }
    };
    agree_on_random_histories(&RegisterModel, &0, &run, |rng| {
        let length = rng.random_range(2..=6);
        let mut number = 0;
        let input = |rng: &mut StdRng| match rng.random_range(0..6) {
            value @ 1..=3 => RegisterInput::Write(value),
            _ => RegisterInput::Read,
        };
        let mut history = random_history(rng, length, input, |input| {
            if let RegisterInput::Write(value) = *input {
                number = value;
            }
            number
        });
        for _ in 0..rng.random_range(0..6) {
            let worth = |operation: &RegisterOperation| operation.input == RegisterInput::Read;
            disturb(rng, &mut history, worth, |output| output.saturating_sub(1));
        }
        leave_pending(rng, &mut history, |operation| (operation.input != RegisterInput::Read).then_some(0));
        history
    });
}

/// A register with compare-and-set, written for these tests. Returns the right output.
fn run_cas(register: &mut Option<u64>, input: &CasInput) -> CasOutput {
    match *input {
        CasInput::Read => return CasOutput::Read(*register),
        CasInput::Write(value) => *register = Some(value),
        CasInput::CompareAndSet { expected, new } => {
            let equal = *register == Some(expected);
            *register = if equal { Some(new) } else { *register };
            return CasOutput::Set(equal);
        }
    }
    CasOutput::Written
}

#[test]
fn compare_and_set_agrees_with_trying_every_order() {
    let run = |register: &mut Option<u64>, input: &CasInput, output: &CasOutput| {
        let right = run_cas(register, input);
        *output == CasOutput::Unknown || right == *output
    };
    agree_on_random_histories(&CasModel, &None, &run, |rng| {
        let length = rng.random_range(2..=6);
        let mut register = None;
        let input = |rng: &mut StdRng| match rng.random_range(0..6) {
            0..2 => CasInput::Write(rng.random_range(0..3)),
            2..4 => CasInput::CompareAndSet { expected: rng.random_range(0..3), new: rng.random_range(0..3) },
            _ => CasInput::Read,
        };
        let mut history = random_history(rng, length, input, |input| run_cas(&mut register, input));
        for _ in 0..rng.random_range(0..4) {
            let worth = |operation: &CasOperation| !matches!(operation.input, CasInput::Write(_));
            disturb(rng, &mut history, worth, |output| match *output {
                CasOutput::Set(equal) => CasOutput::Set(!equal),
                CasOutput::Read(Some(value)) => CasOutput::Read(Some((value + 1) % 3)),
                other => other,
            });
        }
        leave_pending(rng, &mut history, |operation| {
            (operation.input != CasInput::Read).then_some(CasOutput::Unknown)
        });
        history
    });
}
