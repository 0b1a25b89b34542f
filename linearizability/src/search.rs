//! The search for an order of a part's operations that explains every answer.
//!
//! It is the search of Wing and Gong ("Testing and verifying concurrent objects", 1993). The candidates for the next
//! place in the order are the operations that are not placed yet and that were called before the first of them returned.
//! Try one candidate after the other. If the model accepts it, place it and go on from there. If no candidate is left,
//! take the last operation back and try the candidate after it. Lowe ("Testing for linearizability", 2017) makes the
//! search practical: what can follow depends only on which operations are placed and on the state that they led to. This
//! pair is a *configuration*, and a configuration that was seen before is not entered again.
//!
//! [`Search::run`] and the five methods after it are this search. All the rest is optional reading. It makes the search
//! fast, in these ways:
//!
//! - The *front* is the first operation, in the order of returns, that is not placed. All operations that return before
//!   the front are placed. So a configuration needs to name only the placed operations that return after the front. They
//!   ran at the same time, the time of the front's return, and each has a *seat* of its own among them
//!   ([`Part::seats`]). There are few seats, so a set of them fits into a word, however long the history is.
//! - An operation that only reads is placed as soon as the model accepts it, and no other place is tried for it
//!   ([`Search::place_reads`]). This misses nothing: in an order that has the read later, the read can be moved forward,
//!   and all answers stay explained. A configuration is looked up after its reads are placed, so configurations that
//!   differ only by such reads are one.
//! - The last operations to return are *optional* if every state accepts them: whatever order the others have, these can
//!   follow at its end. They are tried after all other candidates.
//! - The search turns back where an answer that is still to come cannot be explained any more ([`Foresight`]).
//!
//! A search can also look for the longest orders, for an explanation ([`Longest`]).

use std::rc::Rc;

use crate::bitset::Bitset;
use crate::foresight::Foresight;
use crate::longest::Longest;
use crate::model::{CheckResult, Kind, Model};
use crate::open::{List, Open};
use crate::part::Part;
use crate::seen::Seen;

/// A search. It can be interrupted and taken up again.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    part: &'a Part<'a, M::Input, M::Output>,
    /// The placed operations, in the order found so far.
    order: Vec<u32>,
    /// The operations that are not placed.
    open: Open,
    /// The steps that led here. The first one is the start: the reads before all updates.
    path: Vec<Step>,
    /// All configurations that the search has entered.
    seen: Seen<M::State>,
    /// The configuration that `order` leads to.
    current: u32,
    /// The next candidate in it, and the list that the candidate is in.
    next: u32,
    list: List,
    /// How many returns have been passed: the front is the next one in the order of returns.
    front: u32,
    /// How many returns have to be passed. The operations of the others are optional.
    required: u32,
    /// The seat of each operation.
    seats: Vec<u32>,
    /// The seats of the placed operations that return after the front.
    placed: Bitset,
    foresight: Foresight<'a, M>,
    /// None: the search looks for one complete order.
    longest: Option<Longest>,
}

/// An update that was placed, and the reads after it.
struct Step {
    /// The configuration before the step.
    before: u32,
    /// How many operations had been placed before the step. The update is the next one in the order.
    placed: usize,
    /// The length of the longest order recorded since the step.
    longest: usize,
}

impl<M: Model> Search<'_, M> {
    /// Searches on, for at most `steps` steps of the model.
    pub(crate) fn run(&mut self, steps: usize) -> CheckResult {
        for _ in 0..steps {
            if self.is_complete() {
                return CheckResult::Ok;
            }
            // An operation that was called after the front returned is no candidate: the front must come first.
            while self.next >= self.called() {
                if self.list == List::Updates {
                    self.list = List::Optional;
                    self.next = self.open.first(List::Optional);
                } else {
                    self.record();
                    if !self.turn_back() {
                        return CheckResult::Illegal;
                    }
                }
            }
            self.try_next();
        }
        CheckResult::Unknown
    }

    /// Places the next candidate, if the model accepts it and this leads to a new configuration. Otherwise goes on to the
    /// candidate after it.
    fn try_next(&mut self) {
        let number = self.next;
        let (input, output) = self.part.operations[number as usize];
        let (_, _, state) = self.seen.get(self.current);
        let Some(after) = self.model.step(state, input, output) else {
            self.next = self.open.after(number);
            return;
        };
        let step = Step { before: self.current, placed: self.order.len(), longest: 0 };
        self.place(number);
        self.place_reads(&after);
        if !self.is_hopeless(&after) && self.enter(after) {
            self.path.push(step);
        } else {
            self.undo(&step);
        }
    }

    /// Adds an operation to the order. If it is the front, moves the front to the next operation that is not placed.
    fn place(&mut self, number: u32) {
        self.open.take_out(number);
        self.order.push(number);
        self.placed.insert(self.seats[number as usize]);
        while !self.is_complete() {
            let first = self.part.returns[self.front as usize];
            // The seat says whether `first` is placed: whoever had this seat before has been passed, and has left it.
            let seat = self.seats[first as usize];
            if !self.placed.contains(seat) {
                break;
            }
            self.placed.remove(seat);
            self.front += 1;
        }
    }

    /// Makes the placed operations and this state the current configuration. False if it was seen before.
    fn enter(&mut self, state: M::State) -> bool {
        let Some(number) = self.seen.insert(self.front, self.placed.words(), state) else { return false };
        self.current = number;
        self.list = List::Updates;
        self.next = self.open.first(self.list);
        true
    }

    /// Takes the last step back. False if there is none.
    fn turn_back(&mut self) -> bool {
        if self.path.len() == 1 {
            return false;
        }
        let step = self.path.pop();
        step.iter().for_each(|step| self.undo(step));
        step.is_some()
    }

    /// Undoes a step. Its update was the last candidate tried in the configuration before it; the next one is due.
    fn undo(&mut self, step: &Step) {
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
}

/// Optional reading from here on: how a search begins, what makes it fast, and what it gives beside the verdict.
impl<'a, M: Model> Search<'a, M> {
    /// A search for one order of all operations.
    pub(crate) fn new(model: &'a M, part: &'a Part<'a, M::Input, M::Output>) -> Search<'a, M> {
        let kinds: Vec<_> = part.operations.iter().map(|(input, output)| model.kind(input, output)).collect();
        let is_update = |number: &&u32| matches!(kinds[**number as usize], Kind::Update);
        let optional = part.returns.iter().rev().take_while(is_update).count();
        Search::with(model, part, kinds, optional, None)
    }

    /// A search for the longest orders. It turns back only where nothing more can be placed.
    pub(crate) fn for_longest(model: &'a M, part: &'a Part<'a, M::Input, M::Output>) -> Search<'a, M> {
        let kinds = part.operations.iter().map(|(input, output)| model.kind(input, output)).collect();
        Search::with(model, part, kinds, 0, Some(Longest::new(part.len())))
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
        let (required, optional) = part.returns.split_at(part.len() - optional);
        optional.iter().for_each(|&number| optional_seats.insert(seats[number as usize]));
        let mut search = Search {
            model,
            part,
            order: Vec::with_capacity(part.len()),
            open: Open::new(&kinds, optional),
            path: vec![Step { before: 0, placed: 0, longest: 0 }],
            // A search that never turns back enters one configuration for each update.
            seen: Seen::new(&optional_seats, part.len().min(1024)),
            current: 0,
            next: 0,
            list: List::Updates,
            front: 0,
            required: required.len() as u32,
            seats,
            placed: Bitset::new(seat_count),
            foresight: Foresight::new(model, part),
            longest,
        };
        let start = model.init();
        search.place_reads(&start);
        search.enter(start);
        search
    }

    /// About how many steps a search takes that hardly ever turns back.
    pub(crate) fn shortest(&self) -> usize {
        2 * self.part.len()
    }

    fn is_complete(&self) -> bool {
        self.front == self.required
    }

    /// How many operations were called before the front returned. Operations are numbered in the order of their calls,
    /// so these are the ones with lower numbers.
    fn called(&self) -> u32 {
        self.part.called[self.front as usize]
    }

    /// Places all reads that the model accepts in this state.
    fn place_reads(&mut self, state: &M::State) {
        let mut number = self.open.first(List::Reads);
        // `called` grows when the front is passed.
        while !self.is_complete() && number < self.called() {
            let (input, output) = self.part.operations[number as usize];
            if self.model.step(state, input, output).is_some() {
                self.place(number);
            }
            number = self.open.after(number);
        }
    }

    /// True if no order that continues this one can be complete. A search for the longest orders does not ask: it needs
    /// the orders that are not complete.
    fn is_hopeless(&self, state: &M::State) -> bool {
        self.longest.is_none()
            && !self.is_complete()
            && self.foresight.is_hopeless(state, &self.open, self.called(), self.seen.len())
    }

    /// The order found. It is complete if the search has ended well.
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut order = self.order.clone();
        if self.is_complete() {
            // Optional operations can come at the end: nothing is called after one of them returned.
            let left = self.part.returns[self.required as usize..].iter();
            order.extend(left.filter(|&&number| !self.placed.contains(self.seats[number as usize])));
        }
        order
    }

    /// The longest orders found with each of the operations, the longest of all first.
    pub(crate) fn into_longest(mut self) -> Vec<Rc<[u32]>> {
        self.record();
        self.longest.unwrap_or_else(|| Longest::new(0)).into_orders()
    }

    /// Records the order found so far for those of its operations that have not been in one as long.
    fn record(&mut self) {
        let Some(longest) = &mut self.longest else { return };
        // An order that was recorded since a step contains all operations up to that step. If it was as long as this
        // one, these operations gain nothing.
        let gaining = self.path.iter_mut().rev().take_while(|step| step.longest < self.order.len());
        let first = gaining.map(|step| {
            step.longest = self.order.len();
            step.placed
        });
        if let Some(first) = first.last() {
            longest.keep(&self.order, first);
        }
    }
}
