//! Fault injection: what can happen to an RPC beside what Go's network does to it. An RPC passes five points on its way,
//! and at each of them the network asks [`Latency::at`] how long the RPC is held up there. A test can also slow one end
//! down, and can be told of each message that leaves a server.
//!
//! Tests that simulate set it: their network has the latency of a real one, and some of their threads stall.

use parking_lot::Mutex;
use rand::{Rng, RngExt};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long messages are under way, and how long threads stall in the middle of an RPC. Both come on top of the delays of
/// an unreliable or reordering network. By default neither takes any time, as in Go.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// The time that a message takes: a request on a reliable network, and a reply that is not held back by reordering.
    pub usual: Option<RangeInclusive<Duration>>,
    /// `(n, longest)`: one such message in `n` takes a time of up to `longest` instead.
    pub stragglers: Option<(u32, Duration)>,
    /// `(n, longest)`: at one RPC in `n`, the caller's thread stalls for a time of up to `longest` before its arguments
    /// are read, as if it had lost the processor there. At one RPC in `n`, the handler's thread stalls before the handler
    /// runs, and at one in `n` between the handler's answer and the sending of it.
    pub stalls: Option<(u32, Duration)>,
}

/// The points at which an RPC can be held up, in the order in which it passes them.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    /// The caller's thread is about to read the arguments.
    Call,
    /// The request is on its way. On a reliable network only.
    Request,
    /// The request has arrived; the handler's thread is about to run the handler.
    Handle,
    /// The handler has returned; its thread is about to send the reply.
    Return,
    /// The reply is on its way. Not if reordering holds it back.
    Reply,
}

impl Latency {
    /// Draws how long an RPC is held up at this point. None: it is not.
    pub(crate) fn at(&self, point: Point, rng: &mut impl Rng) -> Option<Duration> {
        match point {
            Point::Call | Point::Handle | Point::Return => self.stalls.and_then(|stalls| rare(rng, stalls)),
            Point::Request | Point::Reply => {
                let late = self.stragglers.and_then(|stragglers| rare(rng, stragglers));
                late.or_else(|| self.usual.clone().map(|usual| rng.random_range(usual)))
            }
        }
    }
}

/// In one of `n` cases, a time of up to `longest`.
fn rare(rng: &mut impl Rng, (n, longest): (u32, Duration)) -> Option<Duration> {
    rng.random_ratio(1, n).then(|| rng.random_range(Duration::ZERO..=longest))
}

/// A message that has just left the one who sends it. It arrives even if the sender crashes now, unless the network loses
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure<'a> {
    /// A request left through the end of this name.
    Request {
        /// The end's name.
        end: &'a str,
    },
    /// A reply left the server of this name.
    Reply {
        /// The server's name.
        server: &'a str,
    },
}

/// What a test calls at each [`Departure`].
#[derive(Default)]
pub(crate) struct DepartureHook {
    /// Mirrors whether there is a hook, so that a network without one takes no lock here.
    is_set: AtomicBool,
    hook: Mutex<Option<Arc<Hook>>>,
}

type Hook = dyn Fn(Departure<'_>) + Send + Sync;

impl DepartureHook {
    pub(crate) fn set(&self, hook: impl Fn(Departure<'_>) + Send + Sync + 'static) {
        *self.hook.lock() = Some(Arc::new(hook));
        self.is_set.store(true, Ordering::SeqCst);
    }

    pub(crate) fn call(&self, departure: Departure<'_>) {
        if self.is_set.load(Ordering::Relaxed) {
            let hook = self.hook.lock().clone();
            if let Some(hook) = hook {
                hook(departure);
            }
        }
    }

    pub(crate) fn clear(&self) {
        // The hook may own anything. Drop it when the lock is free.
        let hook = self.hook.lock().take();
        drop(hook);
    }
}

/// A time of up to this long that each request through one end takes in addition, in microseconds; 0: none.
#[derive(Default)]
pub(crate) struct Slowness(AtomicU64);

impl Slowness {
    pub(crate) fn set(&self, longest: Duration) {
        self.0.store(longest.as_micros() as u64, Ordering::Relaxed);
    }

    /// Draws how much longer a message takes: half to all of the longest time. None: no longer.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Option<Duration> {
        let longest = self.0.load(Ordering::Relaxed);
        (longest > 0).then(|| Duration::from_micros(rng.random_range(longest / 2..=longest)))
    }
}

/// A stall of the caller of one RPC, the next one through an end. In microseconds; 0: none.
#[derive(Default)]
pub(crate) struct NextStall(AtomicU64);

impl NextStall {
    pub(crate) fn set(&self, stall: Duration) {
        self.0.store(stall.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> Option<Duration> {
        // The first look spares all other RPCs the write.
        let is_set = self.0.load(Ordering::Relaxed) > 0;
        is_set.then(|| Duration::from_micros(self.0.swap(0, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::tests::{DRAWS, assert_rate, assert_spread};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const EVERYWHERE: [Point; 5] = [Point::Call, Point::Request, Point::Handle, Point::Return, Point::Reply];

    #[test]
    fn nothing_is_held_up_by_default() {
        let rng = &mut StdRng::seed_from_u64(5);
        for point in EVERYWHERE {
            assert_eq!(Latency::default().at(point, rng), None);
        }
    }

    #[test]
    fn messages_take_their_usual_time() {
        let rng = &mut StdRng::seed_from_u64(5);
        let ms = Duration::from_millis;
        let latency = Latency { usual: Some(ms(1)..=ms(3)), ..Latency::default() };
        // In tenths of a millisecond: in nanoseconds, the very ends are hardly ever drawn.
        let tenths = |d: Duration| ms((d.as_micros() as f64 / 100.0).round() as u64);
        for point in [Point::Request, Point::Reply] {
            assert_spread((0..DRAWS).filter_map(|_| latency.at(point, rng)).map(tenths), 10, 30, 20.0);
        }
        for point in [Point::Call, Point::Handle, Point::Return] {
            assert_eq!(latency.at(point, rng), None);
        }
    }

    #[test]
    fn one_message_in_four_is_a_straggler() {
        let rng = &mut StdRng::seed_from_u64(5);
        let latency = Latency { stragglers: Some((4, Duration::from_millis(500))), ..Latency::default() };
        for point in [Point::Request, Point::Reply] {
            let late: Vec<Duration> = (0..DRAWS).filter_map(|_| latency.at(point, rng)).collect();
            assert_rate(late.len(), 0.25);
            assert!(late.iter().max().unwrap() > &Duration::from_millis(490));
        }
    }

    #[test]
    fn one_thread_in_four_stalls() {
        let rng = &mut StdRng::seed_from_u64(6);
        let latency = Latency { stalls: Some((4, Duration::from_millis(500))), ..Latency::default() };
        for point in [Point::Call, Point::Handle, Point::Return] {
            assert_rate((0..DRAWS).filter_map(|_| latency.at(point, rng)).count(), 0.25);
        }
        for point in [Point::Request, Point::Reply] {
            assert_eq!(latency.at(point, rng), None);
        }
    }

    #[test]
    fn a_next_stall_happens_once() {
        let stall = NextStall::default();
        assert_eq!(stall.take(), None);
        stall.set(Duration::from_millis(7));
        assert_eq!([stall.take(), stall.take()], [Some(Duration::from_millis(7)), None]);
    }
}
