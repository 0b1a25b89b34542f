//! Draws how much memory a service uses while its clients put values, with log compaction (Lab 3B) and without.
//!
//!     cargo run --release -p bench --example memory -- course/docs/memory.svg [OPERATIONS]
//!
//! Each curve is measured in a process of its own, in which three servers and fifty clients run. The curve without
//! compaction ends after a fifth of the operations, since it is a rising line. Works on Linux only.

use anyhow::{Context, Result, anyhow, bail};
use bench::Cluster;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const SERVERS: usize = 3;
const CLIENTS: usize = 50;
const KEYS: usize = 1000;
const SAMPLES: usize = 200;

/// The limit on the bytes of Raft's state, in the curve with compaction.
const MAXRAFTSTATE: usize = 100_000;

/// The first argument of a process that is measured.
const MEASURED: &str = "measured";

/// A line that a measured process prints, as JSON.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Sample {
    operations: usize,
    /// Bytes in memory.
    bytes: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [MEASURED, operations, compaction] => measure(number(operations)?, compaction == "on"),
        [path] => draw(path, 1_000_000),
        [path, operations] => draw(path, number(operations)?),
        _ => bail!("usage: memory FILE [OPERATIONS]: the curves are written to FILE"),
    }
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("{text:?} is not a number of operations"))
}

/// Prints the samples, each on a line.
fn measure(operations: usize, compaction: bool) -> Result<()> {
    let cluster = Cluster::start_compacting(SERVERS, compaction.then_some(MAXRAFTSTATE));
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut clerk = cluster.clerk();
            let done = &done;
            clients.push(scope.spawn(move || -> Result<()> {
                loop {
                    let n = done.fetch_add(1, Ordering::SeqCst);
                    if n > operations {
                        return Ok(());
                    }
                    if n.is_multiple_of(operations.div_ceil(SAMPLES)) {
                        println!("{}", serde_json::to_string(&Sample { operations: n, bytes: resident()? })?);
                    }
                    clerk.put(&format!("key {}", n % KEYS), &format!("value {n}"));
                }
            }));
        }
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// The number of bytes that this process has in memory.
fn resident() -> Result<usize> {
    const FILE: &str = "/proc/self/status";
    let status = std::fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}: use Linux"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    Ok(kib.with_context(|| format!("{FILE} has no VmRSS"))? << 10)
}

type Curve = Vec<Sample>;

fn draw(path: &str, operations: usize) -> Result<()> {
    let (on, off) = std::thread::scope(|scope| {
        let on = scope.spawn(move || curve(operations, "on"));
        let off = curve(operations / 5, "off");
        (on.join().unwrap_or_else(|_| Err(anyhow!("the thread of a curve panicked"))), off)
    });
    let (on, off) = (on?, off?);
    std::fs::write(path, svg(&off, &on)).with_context(|| format!("cannot write {path}"))?;
    println!("{path} is written");
    Ok(())
}

/// Measures a curve in a process of its own.
fn curve(operations: usize, compaction: &str) -> Result<Curve> {
    println!("{operations} operations with compaction {compaction}");
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    let mut command = Command::new(program);
    command.args([MEASURED, &operations.to_string(), compaction]).stderr(Stdio::inherit());
    let output = command.output().context("cannot start the process to measure")?;
    if !output.status.success() {
        bail!("the process with compaction {compaction} failed: {}", output.status);
    }
    let samples = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    let mut samples =
        samples.collect::<Result<Curve, _>>().context("the process printed more than samples")?;
    samples.sort_unstable();
    let half = samples.len() / 2;
    for (what, part) in [("first", &samples[..half]), ("second", &samples[half..])] {
        let highest = part.iter().map(|sample| sample.bytes).max().context("there are no samples")?;
        println!("compaction {compaction}, {what} half: at most {:.1} MiB", mib(highest));
    }
    Ok(samples)
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

// The size of the picture, and the edges of the area within the axes.
const WIDTH: f64 = 740.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 310.0;

fn svg(off: &Curve, on: &Curve) -> String {
    let all = || off.iter().chain(on);
    let operations = all().map(|sample| sample.operations).max().unwrap_or(1) as f64;
    let highest = mib(all().map(|sample| sample.bytes).max().unwrap_or(1));
    let step = [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0].into_iter().find(|step| highest / step <= 8.0);
    let step = step.unwrap_or(1000.0);
    let top = (highest / step).ceil() * step;
    let x = |n: f64| LEFT + n / operations * (RIGHT - LEFT);
    let y = |mib: f64| BOTTOM - mib / top * (BOTTOM - TOP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\">Memory of {SERVERS} servers and {CLIENTS} clients in one process, MiB</text>\n"
    );
    // The results of writeln! are ignored below: writing to a String does not fail.
    for i in 0..=(top / step) as usize {
        let mib = i as f64 * step;
        let (at, label) = (y(mib), y(mib) + 4.0);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{label:.1}\" text-anchor=\"end\">{mib}</text>",
            LEFT - 8.0
        );
    }
    for i in 0..=5 {
        let n = operations * f64::from(i) / 5.0;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>",
            x(n),
            BOTTOM + 18.0,
            n
        );
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">operations</text>",
        BOTTOM + 38.0
    );
    let named = format!("compaction at {MAXRAFTSTATE} bytes");
    for (curve, colour, name) in [(off, "#b33", "no compaction"), (on, "#36c", named.as_str())] {
        let at = |sample: &Sample| (sample.operations as f64, mib(sample.bytes));
        let point = |sample| {
            let (n, mib) = at(sample);
            format!("{:.1},{:.1}", x(n), y(mib))
        };
        let points: Vec<String> = curve.iter().map(point).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let (n, last) = curve.last().map_or((0.0, 0.0), at);
        // The name of a curve that ends early is beside its end; the name of the other is above its end.
        let (at, anchor, up) =
            if n < operations / 2.0 { (x(n) + 8.0, "start", -4.0) } else { (x(n), "end", 10.0) };
        let _ = writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{name}: {last:.0} MiB</text>",
            y(last) - up
        );
    }
    text + "</svg>\n"
}
