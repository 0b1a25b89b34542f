//! Measures the key/value service: operations per second and their latencies, by the number of clients, the size of the
//! values, the length of the log and the number of keys. Half of the operations are puts, half are gets. Prints tables of
//! its own, because criterion has no percentiles.

use bench::Cluster;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SERVERS: usize = 5;

/// The duration of the measurement for each line of the first table.
const TIME: Duration = Duration::from_secs(2);

fn main() {
    by_clients_and_size();
    by_log_length();
    by_keys();
}

fn sorted(mut latencies: Vec<Duration>) -> Vec<Duration> {
    latencies.sort_unstable();
    latencies
}

fn percentile(sorted: &[Duration], per_mille: usize) -> String {
    let at = (sorted.len() * per_mille / 1000).min(sorted.len() - 1);
    format!("{:.2}", sorted[at].as_secs_f64() * 1e3)
}

fn by_clients_and_size() {
    println!("{SERVERS} servers; latencies in ms");
    println!("clients    value  operations/s     p50     p90     p99   p99.9     max");
    for clients in [1, 5, 15] {
        for (name, size) in [("10 B", 10), ("1 KiB", 1 << 10), ("64 KiB", 1 << 16), ("1 MiB", 1 << 20)] {
            let cluster = Cluster::start(SERVERS);
            let (value, done) = ("x".repeat(size), AtomicBool::new(false));
            let begun = Instant::now();
            let latencies = thread::scope(|scope| {
                let client = |number: usize| {
                    let (mut ck, key, value, done) = (cluster.clerk(), number.to_string(), &value, &done);
                    scope.spawn(move || {
                        let mut latencies = Vec::new();
                        while !done.load(Ordering::Relaxed) {
                            let begun = Instant::now();
                            if latencies.len() % 2 == 0 {
                                ck.put(&key, value);
                            } else {
                                ck.get(&key);
                            }
                            latencies.push(begun.elapsed());
                        }
                        latencies
                    })
                };
                let clients: Vec<_> = (0..clients).map(client).collect();
                thread::sleep(TIME);
                done.store(true, Ordering::Relaxed);
                let of_all = clients.into_iter().map(|client| client.join().expect("it does not panic"));
                sorted(of_all.flatten().collect())
            });
            let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
            let [p50, p90, p99, p999, max] = [500, 900, 990, 999, 1000].map(|p| percentile(&latencies, p));
            println!("{clients:7} {name:>8} {rate:13.0} {p50:>7} {p90:>7} {p99:>7} {p999:>7} {max:>7}");
        }
    }
}

/// One client puts 10 bytes again and again. If the cost of an operation does not depend on the length of the log, each
/// part of the log takes as long as the one before.
fn by_log_length() {
    const PART: usize = 20_000;
    println!("\nlength of the log  operations/s  (1 client, 10 B, puts)");
    let cluster = Cluster::start(SERVERS);
    let mut ck = cluster.clerk();
    for part in 1..=6 {
        let begun = Instant::now();
        (0..PART).for_each(|_| ck.put("key", "0123456789"));
        println!("{:17} {:13.0}", part * PART, PART as f64 / begun.elapsed().as_secs_f64());
    }
}

/// One client puts 10 bytes under each key, and then gets and puts values in turn.
fn by_keys() {
    const OPERATIONS: usize = 20_000;
    println!("\nkeys    operations/s  (1 client, 10 B)");
    for keys in [1, 1000, 50_000] {
        let cluster = Cluster::start(SERVERS);
        let mut ck = cluster.clerk();
        (0..keys).for_each(|key| ck.put(&key.to_string(), "0123456789"));
        let begun = Instant::now();
        for i in 0..OPERATIONS {
            // Keys that follow each other are far apart.
            let key = (i * 7919 % keys).to_string();
            if i % 2 == 0 {
                ck.get(&key);
            } else {
                ck.put(&key, "0123456789");
            }
        }
        println!("{keys:6} {:13.0}", OPERATIONS as f64 / begun.elapsed().as_secs_f64());
    }
}
