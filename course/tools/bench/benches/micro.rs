//! Measures the time of one RPC, of encoding and decoding, and of one agreement.

use bench::{Rafts, Rpc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use labgob::Bytes;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CALLERS: usize = 20;

fn rpc(c: &mut Criterion) {
    let rpc = Rpc::start();
    let mut group = c.benchmark_group("RPC");
    let caller = rpc.caller("alone");
    group.bench_function("sequential", |b| b.iter(|| caller.call()));
    let callers: Vec<_> = (0..CALLERS).map(|c| rpc.caller(&c.to_string())).collect();
    // All callers together send as many RPCs as criterion asks for.
    group.bench_function(format!("{CALLERS} callers"), |b| {
        b.iter_custom(|rpcs| {
            let each = rpcs.div_ceil(CALLERS as u64);
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for caller in &callers {
                    scope.spawn(|| (0..each).for_each(|_| caller.call()));
                }
            });
            begun.elapsed().mul_f64(rpcs as f64 / (each * CALLERS as u64) as f64)
        });
    });
}

/// Arguments like those of AppendEntries.
#[derive(Serialize, Deserialize)]
struct Args {
    term: u64,
    leader: usize,
    entries: Vec<(u64, Bytes)>,
}

fn labgob(c: &mut Criterion) {
    let mut group = c.benchmark_group("labgob");
    for (name, entries, size) in [("10 entries of 100 B", 10, 100), ("1 entry of 1 MiB", 1, 1 << 20)] {
        let command: Bytes = vec![b'x'; size].into();
        let args = Args { term: 7, leader: 2, entries: vec![(7, command); entries] };
        let bytes = labgob::encode(&args).expect("it can be encoded");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {name}"), |b| b.iter(|| labgob::encode(black_box(&args))));
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| labgob::decode::<Args>(black_box(&bytes)))
        });
    }
}

fn raft(c: &mut Criterion) {
    let mut group = c.benchmark_group("raft");
    for peers in [3, 5] {
        let rafts = Rafts::start(peers);
        rafts.agree("");
        group.bench_function(format!("start to apply, {peers} peers"), |b| b.iter(|| rafts.agree("command")));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = rpc, labgob, raft
}
criterion_main!(benches);
