//! Servers that leave their threads running when they are killed, as Go's may: a hunt kills only so many of them.

use hunt::{Host, Instance, Life, Run};
use labrpc::{ClientEnd, Server};
use parking_lot::Mutex;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn main() -> ExitCode {
    harness::run_with_simulated(
        &[],
        &[("crashes_end_when_threads_are_left", crashes_end_when_threads_are_left)],
    )
}

const THREADS_PER_SERVER: usize = 10;

/// All three servers crash, and start again, some thirty times. With those that leave threads the hunt stops after 300 threads.
fn crashes_end_when_threads_are_left() {
    let [with_threads, without] = [THREADS_PER_SERVER, 0].map(lives);
    assert!(without > 75, "{without} lives of servers that leave no threads");
    assert!((30..=34).contains(&with_threads), "{with_threads} lives of servers that leave threads");
}

/// How many times servers are started in a run, if each leaves so many threads.
fn lives(threads: usize) -> usize {
    let lives = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let scenario = "3 servers, 1 client, 5000 ms, uniform: crash of all".parse().expect("it is a scenario");
    let run = Run::begin(Leavers { threads, lives: lives.clone(), over: over.clone() }, scenario, "Hunt");
    run.disturb();
    over.store(true, Ordering::SeqCst);
    run.end();
    lives.load(Ordering::SeqCst)
}

struct Leavers {
    threads: usize,
    lives: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

/// A server that does nothing. Number 0 leads.
struct Leaver(usize);

impl Host for Leavers {
    type Disk = Mutex<()>;
    type Instance = Leaver;

    fn copy(_disk: &Mutex<()>) -> Mutex<()> {
        Mutex::default()
    }

    fn on_save(_: &Mutex<()>, _: impl Fn() + Send + Sync + 'static, _: impl Fn() + Send + Sync + 'static) {}

    fn start(&self, i: usize, _ends: Vec<ClientEnd>, _disk: Arc<Mutex<()>>, _life: Life) -> Leaver {
        self.lives.fetch_add(1, Ordering::SeqCst);
        for _ in 0..self.threads {
            let over = self.over.clone();
            labrpc::go(format!("server {i}: loop"), move || {
                while !over.load(Ordering::SeqCst) {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            });
        }
        Leaver(i)
    }
}

impl Instance for Leaver {
    fn state(&self) -> (u64, bool) {
        (1, self.0 == 0)
    }

    fn server(&self) -> Server {
        Server::new()
    }

    fn kill(&self) {}
}
