//! Draws how much memory a service takes while its clients put values, with log compaction (Lab 3B) and without.
//!
//!     cargo run --release -p bench --example memory -- course/docs/memory.svg [OPERATIONS]
//!
//! Three servers and fifty clients run in one process, which is measured; one process for each curve. The one without
//! compaction is stopped after a fifth of the operations: it only goes on as it began. Linux only.

use bench::Cluster;
use std::error::Error;
use std::fmt::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const SERVERS: usize = 3;
const CLIENTS: usize = 50;
const KEYS: usize = 1000;
const SAMPLES: usize = 200;

/// Bytes of Raft's state before a snapshot.
const MAXRAFTSTATE: usize = 100_000;

/// Tells a process to be one that is measured.
const MEASURED: &str = "measured";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [MEASURED, operations, compaction] => measure(operations.parse()?, compaction == "on"),
        [path] => draw(path, 1_000_000),
        [path, operations] => draw(path, operations.parse()?),
        _ => Err("which file shall the curves be written to?".into()),
    }
}

/// Prints a line for each sample: operations, and bytes in memory.
fn measure(operations: usize, compaction: bool) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start_compacting(SERVERS, compaction.then_some(MAXRAFTSTATE));
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let mut clerk = cluster.clerk();
            let done = &done;
            scope.spawn(move || {
                loop {
                    let n = done.fetch_add(1, Ordering::SeqCst);
                    if n > operations {
                        return;
                    }
                    if n.is_multiple_of(operations.div_ceil(SAMPLES)) {
                        println!("{n} {}", resident());
                    }
                    clerk.put(&format!("key {}", n % KEYS), &format!("value {n}"));
                }
            });
        }
    });
    Ok(())
}

/// How many bytes this process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this needs Linux: /proc/self/status");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("/proc/self/status has VmRSS");
    let kib = line.split_whitespace().next().and_then(|word| word.parse::<usize>().ok());
    kib.expect("VmRSS is a number") << 10
}

type Curve = Vec<(usize, usize)>;

fn draw(path: &str, operations: usize) -> Result<(), Box<dyn Error>> {
    let error = |e: Box<dyn Error>| e.to_string();
    let (on, off) = std::thread::scope(|scope| {
        let on = scope.spawn(move || curve(operations, "on").map_err(error));
        let off = curve(operations / 5, "off").map_err(error);
        (on.join().unwrap_or_else(|_| Err("its thread has panicked".to_string())), off)
    });
    let (on, off) = (on?, off?);
    std::fs::write(path, svg(&off, &on)).map_err(|e| format!("{path}: {e}"))?;
    println!("{path} is written");
    Ok(())
}

/// Measures in a process of its own.
fn curve(operations: usize, compaction: &str) -> Result<Curve, Box<dyn Error>> {
    println!("{operations} operations with compaction {compaction}");
    let mut command = Command::new(std::env::current_exe()?);
    command.args([MEASURED, &operations.to_string(), compaction]).stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(output.status.to_string().into());
    }
    let mut samples = Curve::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let (n, bytes) = line.split_once(' ').ok_or("a line is no sample")?;
        samples.push((n.parse()?, bytes.parse()?));
    }
    samples.sort_unstable();
    let half = samples.len() / 2;
    for (what, part) in [("first", &samples[..half]), ("second", &samples[half..])] {
        let highest = part.iter().map(|(_, bytes)| bytes).max().ok_or("there are no samples")?;
        println!("compaction {compaction}, {what} half: at most {:.1} MiB", mib(*highest));
    }
    Ok(samples)
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

// The picture, and the area within the axes.
const WIDTH: f64 = 740.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 310.0;

fn svg(off: &Curve, on: &Curve) -> String {
    let all = || off.iter().chain(on);
    let operations = all().map(|(n, _)| *n).max().unwrap_or(1) as f64;
    let highest = mib(all().map(|(_, bytes)| *bytes).max().unwrap_or(1));
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
    // Writing to a String does not fail.
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
        let points: Vec<String> =
            curve.iter().map(|(n, bytes)| format!("{:.1},{:.1}", x(*n as f64), y(mib(*bytes)))).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let (n, last) = curve.last().map_or((0.0, 0.0), |(n, bytes)| (*n as f64, mib(*bytes)));
        // Beside the end of a curve that ends early, above that of one that does not.
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
