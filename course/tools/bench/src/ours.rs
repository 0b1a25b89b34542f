//! Our side of the workloads in course/tools/compare/go. Each prints the line that a test prints when it has passed.
#![forbid(unsafe_code)]

use bench::{Cluster, Rpc};
use std::process::ExitCode;
use std::time::Instant;

const RPCS: usize = 100_000;
const OPERATIONS: usize = 3000;
const SERVERS: usize = 5;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("rpc-sequential") => rpc(1),
        Some("rpc-twenty-callers") => rpc(20),
        Some("operations") => operations(),
        other => {
            eprintln!("unknown workload {other:?}: give rpc-sequential, rpc-twenty-callers or operations");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn passed(begun: Instant, peers: usize, rpcs: usize, operations: usize) {
    println!("  ... Passed --  {:.3}  {peers} {rpcs} {operations}", begun.elapsed().as_secs_f64());
}

fn rpc(callers: usize) {
    let rpc = Rpc::start();
    let callers: Vec<_> = (0..callers).map(|c| rpc.caller(&c.to_string())).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for caller in &callers {
            scope.spawn(|| (0..RPCS / callers.len()).for_each(|_| caller.call()));
        }
    });
    passed(begun, 1, RPCS, RPCS);
}

fn operations() {
    let cluster = Cluster::start(SERVERS);
    let mut ck = cluster.clerk();
    ck.put("0", "");
    let (begun, rpcs) = (Instant::now(), cluster.rpcs());
    for i in 0..OPERATIONS / 2 {
        ck.append("0", &format!("x 0 {i} y"));
        ck.get("0");
    }
    passed(begun, SERVERS, cluster.rpcs() - rpcs, OPERATIONS);
}
