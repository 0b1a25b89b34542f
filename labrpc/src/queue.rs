//! Which task goes first where the system allows no more threads.
//!
//! Most threads of a solution that starts one for each call wait for a reply. The reply needs a thread for its handler. So
//! handlers go first, and a few threads are kept for each method: a handler of one method may wait for those of another, as
//! the key/value service's wait for Raft's. But many handlers of one method at a time do wait for something. Beyond a share
//! of the threads they go last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// How many threads are kept for the handlers of each method, if that is not too large a part of all threads.
const KEPT: usize = 2;

/// One in so many of the threads is the most that is kept for handlers, and the most that the handlers of one method may have
/// before tasks.
const SHARE: usize = 6;

/// What the threads do.
pub(crate) struct Busy {
    /// How many threads there can be.
    most: usize,
    tasks: usize,
    /// How many threads run handlers, by method.
    handlers: HashMap<Arc<str>, usize>,
}

impl Busy {
    /// All threads are free.
    pub(crate) fn new(most: usize) -> Busy {
        Busy { most, tasks: 0, handlers: HashMap::new() }
    }

    /// A thread runs a handler of this method, or a task.
    pub(crate) fn count(&mut self, method: Option<&Arc<str>>) {
        match method {
            Some(method) => *self.handlers.entry(method.clone()).or_default() += 1,
            None => self.tasks += 1,
        }
    }

    /// True if a handler of this method, or a task, may have a thread. `has_tasks`: tasks wait for one.
    pub(crate) fn admits(&self, method: Option<&Arc<str>>, has_tasks: bool) -> bool {
        let running = |method| self.handlers.get(method).copied().unwrap_or(0);
        let all: usize = self.handlers.values().sum();
        let free = self.most.saturating_sub(self.tasks + all);
        let others = self.handlers.iter().filter(|(other, _)| Some(*other) != method);
        // Only methods that have been called are known; five is how many the lab has.
        let unknown = METHODS.saturating_sub(self.handlers.len()) * KEPT;
        let kept = unknown + others.map(|(_, running)| KEPT.saturating_sub(*running)).sum::<usize>();
        let kept = kept.min(self.most / SHARE);
        let share = (self.most / SHARE).max(KEPT);
        match method {
            None => free > kept,
            Some(method) if running(method) < KEPT => free > 0,
            Some(method) if running(method) < share => free > kept,
            Some(_) => !has_tasks && free > kept + share,
        }
    }
}

/// How many methods the lab's servers have.
const METHODS: usize = 5;

/// Tasks and handlers that wait for a thread.
pub(crate) struct Queue<T> {
    /// With their methods.
    handlers: VecDeque<(Arc<str>, Instant, T)>,
    tasks: VecDeque<(Instant, T)>,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { handlers: VecDeque::new(), tasks: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// Adds a handler of this method, or a task.
    pub(crate) fn push(&mut self, method: Option<Arc<str>>, now: Instant, task: T) {
        match method {
            Some(method) => self.handlers.push_back((method, now, task)),
            None => self.tasks.push_back((now, task)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handlers.is_empty() && self.tasks.is_empty()
    }

    pub(crate) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Since when the oldest task waits. Handlers do not count: their requests are lost after a while.
    pub(crate) fn oldest_task(&self) -> Option<Instant> {
        self.tasks.front().map(|(since, _)| *since)
    }

    /// Takes the one that goes first, and since when it has waited. None: none of them may have a thread.
    pub(crate) fn pop(&mut self, busy: &Busy) -> Option<(Instant, T)> {
        let has_tasks = self.has_tasks();
        let handler = self.handlers.iter().position(|(method, ..)| busy.admits(Some(method), has_tasks));
        if let Some((_, since, task)) = handler.and_then(|i| self.handlers.remove(i)) {
            return Some((since, task));
        }
        if busy.admits(None, has_tasks) { self.tasks.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 threads, of which `tasks` run tasks, and some handlers of these methods.
    fn busy(tasks: usize, handlers: &[(&str, usize)]) -> Busy {
        let mut busy = Busy::new(60);
        (0..tasks).for_each(|_| busy.count(None));
        for (method, count) in handlers {
            (0..*count).for_each(|_| busy.count(Some(&(*method).into())));
        }
        busy
    }

    #[test]
    fn tasks_leave_threads_for_handlers() {
        assert!(busy(49, &[]).admits(None, false));
        assert!(!busy(50, &[]).admits(None, false));
        for method in ["Raft.RequestVote", "Raft.AppendEntries"] {
            assert!(busy(50, &[]).admits(Some(&method.into()), true));
        }
        // Where there are few threads, not all that are left are kept.
        assert!(Busy::new(5).admits(None, false) && Busy::new(1).admits(None, false));
    }

    #[test]
    fn handlers_of_one_method_leave_threads_for_others_and_for_tasks() {
        let (put, append) = ("KVServer.PutAppend".into(), "Raft.AppendEntries".into());
        // Two of each method always may.
        assert!(busy(50, &[("KVServer.PutAppend", 1)]).admits(Some(&put), true));
        assert!(!busy(50, &[("KVServer.PutAppend", 2)]).admits(Some(&put), true));
        assert!(busy(50, &[("KVServer.PutAppend", 2)]).admits(Some(&append), true));
        // A sixth of the threads goes before tasks, more does not.
        assert!(busy(20, &[("KVServer.PutAppend", 9)]).admits(Some(&put), true));
        assert!(!busy(20, &[("KVServer.PutAppend", 10)]).admits(Some(&put), true));
        assert!(busy(20, &[("KVServer.PutAppend", 10)]).admits(Some(&put), false));
    }

    #[test]
    fn handlers_go_first_and_the_oldest_of_equals() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.push(None, now, "task");
        queue.push(Some("Raft.AppendEntries".into()), now, "append");
        queue.push(Some("Raft.RequestVote".into()), now, "vote");
        queue.push(Some("Raft.AppendEntries".into()), now, "second append");
        // Two appends run already, and there is no thread for a third.
        let full = busy(50, &[("Raft.AppendEntries", 2)]);
        assert_eq!(queue.pop(&full).map(|(_, task)| task), Some("vote"));
        assert!(queue.pop(&full).is_none());
        let free = busy(20, &[("Raft.AppendEntries", 2)]);
        let order: Vec<&str> = std::iter::from_fn(|| queue.pop(&free)).map(|(_, task)| task).collect();
        assert_eq!(order, ["append", "second append", "task"]);
        assert!(queue.is_empty());
    }
}
