//! The virtual clock: what it shows, and how much each action advances it.

pub(crate) const SECOND: u64 = 1_000_000_000;

/// What the monotonic clock shows when a simulation begins. Real monotonic clocks show less: a time that was read
/// before the simulation must lie in the past.
const START: u64 = 1_000_000_000 * SECOND;
/// What the wall clock shows when a simulation begins.
const WALL_START: u64 = 1_800_000_000 * SECOND;

// What each action costs, in virtual nanoseconds. Actions must cost time: otherwise a loop that waits for a time to
// pass would never end.
/// A step: the scheduler chooses a thread.
pub(crate) const STEP: u64 = 5_000;
pub(crate) const CLOCK_READ: u64 = 50;
pub(crate) const YIELD: u64 = 500;
pub(crate) const ALLOCATION: u64 = 100;
/// How many bytes of a large allocation cost one nanosecond, because the program will fill them. Otherwise a service that encodes its
/// whole log at each save would execute more operations than it does in real time, and its log would grow all the longer.
pub(crate) const BYTES_FILLED: u64 = 2;
/// An edge in the control flow of instrumented code.
pub(crate) const EDGE: u64 = 20;

/// The monotonic clock, in virtual nanoseconds.
pub(crate) struct Clock(u64);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(START)
    }

    pub(crate) fn now(&self) -> u64 {
        self.0
    }

    /// The time since the simulation began.
    pub(crate) fn elapsed(&self) -> u64 {
        self.0 - START
    }

    /// Advances by the cost of an action.
    pub(crate) fn charge(&mut self, cost: u64) {
        self.0 += cost;
    }

    /// Advances to a time. Does nothing if that time is in the past.
    pub(crate) fn advance_to(&mut self, time: u64) {
        self.0 = self.0.max(time);
    }
}

/// Converts a time on the monotonic clock to the wall clock.
pub(crate) fn to_wall(monotonic: u64) -> u64 {
    monotonic - START + WALL_START
}

/// Converts a time on the wall clock to the monotonic clock. A time from long before the simulation becomes 0.
pub(crate) fn from_wall(wall: u64) -> u64 {
    (wall + START).saturating_sub(WALL_START)
}
