//! The way of an RPC through the network: the steps of `ProcessReq` in labrpc.go, in the same order.
//!
//! In Go, `ProcessReq` runs on a goroutine for each RPC and sleeps while a message is under way. Here no thread sleeps for
//! an RPC, so the steps are cut into three functions: [`process_request`] up to the point where Go sleeps for the request,
//! [`Call::run_handler`] up to the point where the handler has returned, and [`Call::send_reply`]. The network's timer
//! starts the next function when its time has come.

use crate::draws;
use crate::faults::{Departure, DepartureHook, Latency, Point};
use crate::observer::{self, Failure, Observed, Step};
use crate::pool::{self, Relief, Worker};
use crate::task_name::TaskName;
use crate::timer::{Pending, Timer};
use crate::wiring::{End, EndInfo, Target, Wiring};
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a network shares with its client ends and with the RPCs on their way.
pub(crate) struct Shared {
    pub(crate) wiring: Mutex<Wiring>,
    pub(crate) timer: Timer<Call>,
    pub(crate) total_count: AtomicUsize,
    /// Mirrors `latency.stalls.is_some()`, so that a network without stalls takes no lock for them.
    pub(crate) has_stalls: AtomicBool,
    pub(crate) departures: DepartureHook,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            wiring: Mutex::new(Wiring::new()),
            timer: Timer::new(),
            total_count: AtomicUsize::new(0),
            has_stalls: AtomicBool::new(false),
            departures: DepartureHook::default(),
        }
    }

    /// Makes the calling thread stand still at this point of an RPC through `end`, if fault injection says so.
    pub(crate) fn stall(&self, point: Point, end: &End) {
        if let Point::Call = point {
            end.next_stall.take().into_iter().for_each(sleep);
        }
        if self.has_stalls.load(Ordering::Relaxed) {
            let stall = self.wiring.lock().latency.at(point, &mut rand::rng());
            stall.into_iter().for_each(sleep);
        }
    }
}

/// Ends a call early that only waits for a time to pass: nobody answers, or the reply is on its way.
impl Relief for Shared {
    fn relieve(&self) -> bool {
        self.timer.hurry(|call, event| call.keeps_a_thread && matches!(event, Event::Finish(_)))
    }
}

/// Sends a request on its way. The end, its server, reliability and reordering are read here, and hold for the whole RPC.
/// `keeps_a_thread`: a thread of the pool waits for the reply.
pub(crate) fn process_request(
    net: &Arc<Shared>,
    end: Arc<End>,
    svc_meth: &str,
    args: Vec<u8>,
    keeps_a_thread: bool,
    finish: Finish,
) {
    let Some(info) = Wiring::read_end_info(&net.wiring, &end) else {
        return finish(None);
    };
    let long_delays = info.long_delays;
    let server = info.server.as_deref();
    let observed = Observed::sends(observer::Request { end: &end.name, server, svc_meth, args: &args });
    let call = Arc::new(Call::new(net.clone(), end, info, keeps_a_thread, observed, finish));
    let rng = &mut rand::rng();
    let Some(target) = &call.target else {
        let is_enabled = call.end.enabled.load(Ordering::SeqCst);
        observed.happens(Step::Fails(if is_enabled { Failure::NoServer } else { Failure::Disconnected }));
        // Simulate no reply, and that the caller finds out in time.
        let delay = draws::no_answer_delay(rng, long_delays);
        log::trace!("{svc_meth} to nobody, for {delay:?}: {}", Digest(&args));
        return call.finish_after(delay, None);
    };
    // A short delay, and perhaps the request is lost on its way.
    let delay =
        if call.reliable { call.latency.at(Point::Request, rng) } else { Some(draws::request_delay(rng)) };
    let delay = longer(delay, call.end.slowness.draw(rng));
    let is_lost = !call.reliable && draws::message_is_lost(rng);
    log::trace!(
        "{svc_meth} to server {}, for {:?}: {}{}",
        target.name,
        delay.unwrap_or_default(),
        Digest(&args),
        if is_lost { "; lost" } else { "" }
    );
    if is_lost {
        observed.happens(Step::Fails(Failure::RequestLost));
    }
    // Before the handler starts: if the sender crashes now, the message arrives, but no reply returns, however fast the handler is.
    net.departures.call(Departure::Request { end: &call.end.name });
    match delay {
        None => call.run_handler(svc_meth.into(), args),
        Some(delay) if is_lost => call.finish_after(delay, None),
        Some(delay) => {
            let request = Request { svc_meth: svc_meth.into(), args };
            net.timer.after(delay, call, Event::Deliver(Box::new(request)));
        }
    }
}

/// The sum of two delays.
fn longer(delay: Option<Duration>, more: Option<Duration>) -> Option<Duration> {
    match more {
        None => delay,
        Some(more) => Some(delay.unwrap_or_default() + more),
    }
}

impl Call {
    /// Ends the call after a delay; earlier, if its thread is needed.
    fn finish_after(self: Arc<Call>, delay: Duration, reply: Option<Vec<u8>>) {
        let (net, keeps_a_thread) = (self.net.clone(), self.keeps_a_thread);
        net.timer.after(delay, self, Event::Finish(reply));
        if keeps_a_thread {
            pool::relieve();
        }
    }

    /// Runs the handler on a thread of its own. Meanwhile the timer looks every 100 ms whether the server has been deleted;
    /// if it has, the call ends without a reply.
    fn run_handler(self: Arc<Call>, svc_meth: Arc<str>, args: Vec<u8>) {
        if !self.net.timer.watch(&self) {
            return;
        }
        let name = TaskName::Handler { server: self.target().name.clone(), svc_meth: svc_meth.clone() };
        let this = self.clone();
        let is_queued = pool::start(name, move |worker| {
            this.has_begun.store(true, Ordering::Relaxed);
            this.net.stall(Point::Handle, &this.end);
            this.observed.happens(Step::Arrives);
            let reply = this.target().server.dispatch(&svc_meth, &args);
            this.observed.happens(Step::Answers(&reply));
            this.net.stall(Point::Return, &this.end);
            this.send_reply(&svc_meth, reply, worker);
        });
        if is_queued {
            self.queued.get_or_init(Instant::now);
        }
    }

    /// Sends the handler's reply on its way. `worker` may take its next task from the moment in which nothing but the
    /// hand-over of the reply is left.
    fn send_reply(self: Arc<Call>, svc_meth: &str, reply: Vec<u8>, worker: &Arc<Worker>) {
        let rng = &mut rand::rng();
        let server = &self.target().name;
        let is_dead = self.is_doomed();
        if is_dead || !self.reliable && draws::message_is_lost(rng) {
            let (fate, failure) =
                if is_dead { ("cut off", Failure::CutOff) } else { ("lost", Failure::ReplyLost) };
            self.observed.happens(Step::Fails(failure));
            log::trace!("{svc_meth} from server {server}: {}; {fate}", Digest(&reply));
            worker.rest();
            return self.finish(None);
        }
        let held_back = draws::reordering_delay(rng).filter(|_| self.long_reordering);
        if held_back.is_some() {
            self.observed.happens(Step::IsHeldBack);
        }
        let delay = held_back.or_else(|| self.latency.at(Point::Reply, rng));
        let delay = longer(delay, self.end.slowness.draw(rng));
        let wait = delay.unwrap_or_default();
        log::trace!("{svc_meth} from server {server}, for {wait:?}: {}", Digest(&reply));
        match delay {
            Some(delay) => {
                self.is_returning.store(true, Ordering::SeqCst);
                let (net, server) = (self.net.clone(), server.clone());
                self.finish_after(delay, Some(reply));
                net.departures.call(Departure::Reply { server: &server });
            }
            None => {
                self.net.departures.call(Departure::Reply { server });
                worker.rest();
                self.finish(Some(reply));
            }
        }
    }
}

/// How long a request may wait for a thread for its handler, where the system allows no more threads. A request that waits
/// longer is lost.
const LONGEST_QUEUE: Duration = Duration::from_secs(1);

/// An RPC on its way.
pub(crate) struct Call {
    net: Arc<Shared>,
    end: Arc<End>,
    /// None: nobody will answer.
    target: Option<Target>,
    reliable: bool,
    long_reordering: bool,
    latency: Latency,
    observed: Observed,
    /// Whether a thread of the pool waits for the reply.
    keeps_a_thread: bool,
    /// Since when the request has waited for a thread for its handler, if none was free.
    queued: OnceLock<Instant>,
    /// True once the handler has a thread.
    has_begun: AtomicBool,
    /// True while the reply is on its way. It arrives, whatever happens to the end and to the server meanwhile.
    is_returning: AtomicBool,
    /// None: the call has ended.
    finish: Mutex<Option<Finish>>,
}

/// Hands over the reply, or None in its place. It never blocks.
pub(crate) type Finish = Box<dyn FnOnce(Option<Vec<u8>>) + Send>;

impl Call {
    fn new(
        net: Arc<Shared>,
        end: Arc<End>,
        info: EndInfo,
        keeps_a_thread: bool,
        observed: Observed,
        finish: Finish,
    ) -> Call {
        let EndInfo { target, reliable, long_reordering, latency, .. } = info;
        Call {
            net,
            end,
            target,
            reliable,
            long_reordering,
            latency,
            observed,
            keeps_a_thread,
            has_begun: AtomicBool::new(false),
            queued: OnceLock::new(),
            is_returning: AtomicBool::new(false),
            finish: Mutex::new(Some(finish)),
        }
    }

    fn target(&self) -> &Target {
        self.target.as_ref().expect("a request without a target is not delivered")
    }

    /// Ends the call, if it has not ended.
    fn finish(&self, reply: Option<Vec<u8>>) {
        let finish = self.finish.lock().take();
        if let Some(finish) = finish {
            self.observed.happens(Step::Ends(reply.is_some()));
            finish(reply);
        }
    }
}

/// The last one who could have ended the call has let go of it.
impl Drop for Call {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// What happens to a call when the timer says so.
pub(crate) enum Event {
    /// The request reaches its server. In a box: events are moved about in the timer's heap.
    Deliver(Box<Request>),
    /// The call ends, with this reply or without one.
    Finish(Option<Vec<u8>>),
}

pub(crate) struct Request {
    svc_meth: Arc<str>,
    args: Vec<u8>,
}

impl Pending for Call {
    type Event = Event;

    const LOOK_INTERVAL: Duration = Duration::from_millis(100);

    fn happen(self: Arc<Call>, event: Event) {
        match event {
            Event::Deliver(request) => self.run_handler(request.svc_meth, request.args),
            Event::Finish(reply) => self.finish(reply),
        }
    }

    /// True while the handler runs.
    fn is_watched(&self) -> bool {
        !self.is_returning.load(Ordering::SeqCst) && self.finish.lock().is_some()
    }

    fn is_doomed(&self) -> bool {
        // No thread was free for the handler all this time. Threads that wait for such calls must not keep each other waiting.
        let is_late =
            |since: &Instant| !self.has_begun.load(Ordering::Relaxed) && since.elapsed() > LONGEST_QUEUE;
        let is_stuck = || self.queued.get().is_some_and(is_late);
        self.net.wiring.lock().is_server_dead(&self.end, self.target()) || is_stuck()
    }

    fn end(&self) {
        self.observed.happens(Step::Fails(Failure::CutOff));
        self.finish(None);
    }
}

/// A message in a log: its length, and a number that differs when the bytes do.
struct Digest<'a>(&'a [u8]);

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // FNV-1a.
        let hash = self
            .0
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        write!(f, "{} bytes, {:08x}", self.0.len(), hash as u32)
    }
}
