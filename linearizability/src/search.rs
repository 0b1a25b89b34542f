//! The search for an order of a part's operations that explains every answer.
//!
//! It is Wing and Gong's ("Testing and verifying concurrent objects", 1993): among the operations not yet placed, try
//! each that was called before the first of them returned; if the model accepts one, place it and go on, and if none
//! is left to try, take the last one back. Lowe's addition ("Testing for linearizability", 2017) makes it practical:
//! the future depends only on which operations have been placed and on the state they led to, so a pair of these that
//! was seen before is not tried again.
//!
//! Three things are added here.
//!
//! - Which operations have been placed is known from the first, in the order of returns, that has not (the *front*),
//!   and from those placed that return after it. These ran at the same time, the front's return. So they are few, and
//!   a set of them fits in a word, however long the history is.
//! - An operation that only reads is placed as soon as the model accepts it, and no other way is tried. If an order
//!   has it later, then moving it to the front of that order gives another, which explains the same answers.
//! - A configuration is looked up when all reads that it accepts have been placed, so those that differ by the reads
//!   placed are one.

use std::cmp::Reverse;
use std::rc::Rc;

use crate::bitset::Bitset;
use crate::model::{CheckResult, Kind, Model};
use crate::part::Part;
use crate::seen::Seen;

/// The most reads beyond the front's return that are looked at to see whether a configuration leads nowhere.
const MOST_AHEAD: usize = 32;

/// A search, which can be interrupted and taken up again.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    part: &'a Part<'a, M::Input, M::Output>,
    seats: Vec<u32>,
    // For each operation, how many have been called before it returns.
    called_before_return: Vec<u32>,
    // How many operations must be placed; the others, the last to return, are optional.
    required: u32,
    // The operations not yet placed.
    open: Open,
    // How many returns have been passed: all before this one, in the order of returns, are of placed operations.
    front: u32,
    // The seats of the placed operations that return after the front.
    placed: Bitset,
    // All placed operations, in the order found so far.
    order: Vec<u32>,
    seen: Seen<M::State>,
    // The configuration that `order` leads to.
    current: u32,
    // The next operation to try in it, and the list that it is in.
    next: u32,
    list: List,
    // How `current` was reached, the first step being the reads before all updates.
    path: Vec<Step>,
    longest: Option<Longest>,
}

/// The lists in which operations wait to be placed.
#[derive(Clone, Copy, PartialEq)]
enum List {
    Reads,
    Updates,
    Optional,
}

/// An update that was placed, and the reads after it.
struct Step {
    // The configuration before it.
    before: u32,
    // How many operations had been placed then. The update is the next of them.
    placed: usize,
    // The length of the longest order recorded since.
    longest: usize,
}

/// For each operation the longest order found that it is part of.
struct Longest {
    with: Vec<Rc<[u32]>>,
}

impl<'a, M: Model> Search<'a, M> {
    /// A search for one order of all operations.
    pub(crate) fn new(model: &'a M, part: &'a Part<'a, M::Input, M::Output>) -> Search<'a, M> {
        let kinds: Vec<_> = part.operations.iter().map(|(input, output)| model.kind(input, output)).collect();
        let any_time = |number: &&u32| matches!(kinds[**number as usize], Kind::Update);
        let optional = part.returns.iter().rev().take_while(any_time).count();
        Search::with(model, part, kinds, optional, None)
    }

    /// A search for the longest orders, which turns back only where nothing more can be placed.
    pub(crate) fn for_longest(model: &'a M, part: &'a Part<'a, M::Input, M::Output>) -> Search<'a, M> {
        let kinds = part.operations.iter().map(|(input, output)| model.kind(input, output)).collect();
        let longest = Longest { with: vec![[].into(); part.len()] };
        Search::with(model, part, kinds, 0, Some(longest))
    }

    fn with(
        model: &'a M,
        part: &'a Part<'a, M::Input, M::Output>,
        kinds: Vec<Kind>,
        optional: usize,
        longest: Option<Longest>,
    ) -> Search<'a, M> {
        let (seats, seat_count) = part.seats(optional);
        let mut optional_seats = Bitset::new(seat_count);
        let (required, others) = part.returns.split_at(part.len() - optional);
        others.iter().for_each(|&number| optional_seats.insert(seats[number as usize]));
        let mut search = Search {
            model,
            part,
            called_before_return: part.called_before_return(),
            required: required.len() as u32,
            open: Open::new(&kinds, others),
            front: 0,
            // A search that need not turn back comes upon one for each update.
            seen: Seen::new(&optional_seats, part.len().min(1024)),
            placed: Bitset::new(seat_count),
            seats,
            order: Vec::with_capacity(part.len()),
            current: 0,
            next: 0,
            list: List::Updates,
            path: vec![Step { before: 0, placed: 0, longest: 0 }],
            longest,
        };
        let start = model.init();
        search.place_reads(&start);
        search.enter(start);
        search
    }

    /// The order found, which is complete if the search has ended well.
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut order = self.order.clone();
        if self.is_complete() {
            // What is optional can come at the end: nothing is called after one of these returned.
            let left = self.part.returns[self.required as usize..].iter();
            order.extend(left.filter(|&&number| !self.placed.contains(self.seats[number as usize])));
        }
        order
    }

    /// The longest orders found with each of the operations, the longest of all first.
    pub(crate) fn into_longest(mut self) -> Vec<Rc<[u32]>> {
        self.record();
        let mut orders = self.longest.map_or(Vec::new(), |longest| longest.with);
        orders.retain(|order| !order.is_empty());
        // Equal orders are one that is shared.
        orders.sort_by_key(|order| (Reverse(order.len()), Rc::as_ptr(order).addr()));
        orders.dedup_by(|one, other| Rc::ptr_eq(one, other));
        if orders.is_empty() {
            orders.push([].into());
        }
        orders
    }

    /// About how many steps lead to the end if hardly any is taken back.
    pub(crate) fn shortest(&self) -> usize {
        2 * self.part.len()
    }

    /// Searches on, at most `steps` steps of the model.
    pub(crate) fn run(&mut self, steps: usize) -> CheckResult {
        for _ in 0..steps {
            if self.is_complete() {
                return CheckResult::Ok;
            }
            // The front cannot wait for an operation called after it returned.
            while self.next >= self.called() {
                if self.list == List::Updates {
                    self.list = List::Optional;
                    self.next = self.open.first(List::Optional);
                } else {
                    self.record();
                    if !self.back() {
                        return CheckResult::Illegal;
                    }
                }
            }
            self.try_next();
        }
        CheckResult::Unknown
    }

    fn is_complete(&self) -> bool {
        self.front == self.required
    }

    /// How many operations were called before the front returned.
    fn called(&self) -> u32 {
        self.part.called[self.front as usize]
    }

    /// Places the next operation, if the model accepts it and this leads to something new; else goes on to the one
    /// after it.
    fn try_next(&mut self) {
        let number = self.next;
        let (input, output) = self.part.operations[number as usize];
        let (_, _, state) = self.seen.get(self.current);
        let Some(after) = self.model.step(state, input, output) else {
            self.next = self.open.after(number);
            return;
        };
        let step = Step { before: self.current, placed: self.order.len(), longest: 0 };
        self.open.lift(number);
        self.place(number);
        self.place_reads(&after);
        if !self.is_hopeless(&after) && self.enter(after) {
            self.path.push(step);
        } else {
            self.take_back(&step);
        }
    }

    /// Whether one of the next reads cannot be accepted any more. In a search for the longest orders nothing is
    /// hopeless: they end where others would have turned back before.
    fn is_hopeless(&self, state: &M::State) -> bool {
        if self.longest.is_some() || self.is_complete() {
            return false;
        }
        let mut ahead = self.look_ahead();
        let mut number = self.open.first(List::Reads);
        while (number as usize) < self.part.len() && ahead > 0 {
            let (input, output) = self.part.operations[number as usize];
            if !self.model.leads_to(state, input, output) && !self.is_brought(number) {
                return true;
            }
            if number >= self.called() {
                ahead -= 1;
            }
            number = self.open.after(number);
        }
        false
    }

    /// How many reads beyond the front's return to look at: the more, the more often the search has turned back.
    fn look_ahead(&self) -> usize {
        let operations = self.part.len();
        (1 + 16 * self.seen.len().saturating_sub(operations) / operations).min(MOST_AHEAD)
    }

    /// Whether an operation that can yet come before a read brings what it read.
    fn is_brought(&self, read: u32) -> bool {
        let got = self.part.operations[read as usize];
        [List::Updates, List::Optional].into_iter().any(|list| {
            let mut number = self.open.first(list);
            while number < self.called_before_return[read as usize] {
                if self.model.brings(self.part.operations[number as usize], got) {
                    return true;
                }
                number = self.open.after(number);
            }
            false
        })
    }

    /// Takes the last step back; false if there is none.
    fn back(&mut self) -> bool {
        if self.path.len() == 1 {
            return false;
        }
        let step = self.path.pop();
        step.iter().for_each(|step| self.take_back(step));
        step.is_some()
    }

    /// Places all reads that the model accepts in this state.
    fn place_reads(&mut self, state: &M::State) {
        let mut number = self.open.first(List::Reads);
        // Passing the front may bring more within reach.
        while !self.is_complete() && number < self.called() {
            let (input, output) = self.part.operations[number as usize];
            if self.model.step(state, input, output).is_some() {
                self.open.lift(number);
                self.place(number);
            }
            number = self.open.after(number);
        }
    }

    /// Adds an operation to the order, and moves the front behind it if it was the front.
    fn place(&mut self, number: u32) {
        self.order.push(number);
        self.placed.insert(self.seats[number as usize]);
        while !self.is_complete() {
            let first = self.part.returns[self.front as usize];
            // Nobody else is in this seat: whoever had it before has returned and been passed, and has left it.
            let seat = self.seats[first as usize];
            if !self.placed.contains(seat) {
                break;
            }
            self.placed.remove(seat);
            self.front += 1;
        }
    }

    /// Makes what has been placed the current configuration; false if it has been so before.
    fn enter(&mut self, state: M::State) -> bool {
        let Some(number) = self.seen.insert(self.front, self.placed.words(), state) else { return false };
        self.current = number;
        self.list = List::Updates;
        self.next = self.open.first(self.list);
        true
    }

    /// Undoes a step: its update is the last one tried in the configuration before it.
    fn take_back(&mut self, step: &Step) {
        self.order[step.placed..].iter().rev().for_each(|&number| self.open.put_back(number));
        let number = self.order[step.placed];
        self.order.truncate(step.placed);
        let (front, set, _) = self.seen.get(step.before);
        self.front = front;
        self.placed.restore(set);
        self.current = step.before;
        self.list = self.open.list(number);
        self.next = self.open.after(number);
    }

    /// Remembers the order found so far, for each of its operations that has not been in a longer one.
    fn record(&mut self) {
        let Some(longest) = &mut self.longest else { return };
        // What was recorded since a step counts for the steps before it too: they were in the same order.
        let fresh = self.path.iter_mut().rev().take_while(|step| step.longest < self.order.len());
        let first = fresh.map(|step| {
            step.longest = self.order.len();
            step.placed
        });
        let Some(first) = first.last() else { return };
        let order: Rc<[u32]> = self.order.as_slice().into();
        for &number in &self.order[first..] {
            let longest = &mut longest.with[number as usize];
            if longest.len() < order.len() {
                *longest = order.clone();
            }
        }
    }
}

/// The operations not yet placed, in three lists, each in the order of the calls: doubly linked lists whose nodes stay
/// where they are, so that what was lifted out can be put back, the last first.
struct Open {
    // By number. The last three nodes are both ends of the lists: numbers beyond those of all operations.
    next: Vec<u32>,
    previous: Vec<u32>,
    lists: Vec<List>,
}

impl Open {
    fn new(kinds: &[Kind], optional: &[u32]) -> Open {
        let list = |kind: &Kind| if *kind == Kind::Read { List::Reads } else { List::Updates };
        let mut lists: Vec<_> = kinds.iter().map(list).collect();
        optional.iter().for_each(|&number| lists[number as usize] = List::Optional);
        let size = kinds.len();
        let ends = (0..size + 3).map(|node| node as u32);
        let mut open = Open { next: ends.clone().collect(), previous: ends.collect(), lists };
        for number in 0..size {
            let end = open.end(open.lists[number]);
            let last = open.previous[end];
            open.next[last as usize] = number as u32;
            open.next[number] = end as u32;
            open.previous[number] = last;
            open.previous[end] = number as u32;
        }
        open
    }

    fn end(&self, list: List) -> usize {
        self.lists.len() + list as usize
    }

    fn list(&self, number: u32) -> List {
        self.lists[number as usize]
    }

    /// The first of a list, or a number beyond all if there is none.
    fn first(&self, list: List) -> u32 {
        self.next[self.end(list)]
    }

    /// The next one after this in its list, or a number beyond all; as things were then, if this has been lifted out.
    fn after(&self, number: u32) -> u32 {
        self.next[number as usize]
    }

    fn lift(&mut self, number: u32) {
        let (previous, next) = (self.previous[number as usize], self.next[number as usize]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
    }

    /// Undoes the last lift, which was of this number.
    fn put_back(&mut self, number: u32) {
        let (previous, next) = (self.previous[number as usize], self.next[number as usize]);
        self.next[previous as usize] = number;
        self.previous[next as usize] = number;
    }
}
