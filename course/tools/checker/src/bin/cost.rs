//! Measures how the cost of a check grows, and draws it. The documentation of the crate `linearizability` shows the
//! picture.
//!
//! ```text
//! cargo run --release -p checker-bench --bin cost > linearizability/src/cost.svg
//! ```
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use checker_bench::histories;
use linearizability::{
    CasInput, CasModel, CasOutput, CheckResult, Event, KvModel, Model, Operation, check_events_timeout,
    check_operations_timeout,
};

/// One line of a chart. A point is a number, of operations or clients, and the microseconds that a check took.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

fn main() {
    let by_operations =
        kv_lines(&[100, 300, 1000, 3000, 10_000, 30_000, 100_000].map(|count| (15, count)), |case| case.1);
    let by_clients = kv_lines(&[1, 2, 5, 10, 20, 50].map(|count| (count, 5000)), |case| case.0);
    let worst = Line {
        name: "illegal",
        points: (4..=16).step_by(2).map(|count| (count as f64, worst_case(count))).collect(),
    };
    let charts = [
        chart(0, "operations (15 clients)", &by_operations),
        chart(1, "clients (5,000 operations)", &by_clients),
        chart(2, "operations at once, the worst case", &[worst]),
    ];
    println!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 960 300' font-family='sans-serif' font-size='12'>"
    );
    println!("<rect width='960' height='300' fill='#fff'/>");
    print!("{}", charts.concat());
    println!("</svg>");
}

/// Checks the key/value workload, once legal and once with a wrong get. A case is the numbers of clients and operations.
fn kv_lines(cases: &[(usize, usize)], x: impl Fn(&(usize, usize)) -> usize) -> Vec<Line> {
    let line = |name, wrong: bool| {
        let points = cases.iter().map(|case| {
            let mut events = histories::kv(1, case.0, case.1);
            if wrong {
                histories::break_kv(1, &mut events);
            }
            (
                x(case) as f64,
                microseconds(&KvModel, &events, if wrong { CheckResult::Illegal } else { CheckResult::Ok }),
            )
        });
        Line { name, points: points.collect() }
    };
    vec![line("legal", false), line("one wrong get", true)]
}

/// The shortest time that a check took, of all checks within a second.
fn microseconds<M>(model: &M, events: &[Event<M::Input, M::Output>], expected: CheckResult) -> f64
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    least(|| assert_eq!(check_events_timeout(model, events, Duration::MAX), expected))
}

fn least(check: impl Fn()) -> f64 {
    let begin = Instant::now();
    let mut least = Duration::MAX;
    while least == Duration::MAX || begin.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        check();
        least = least.min(start.elapsed());
    }
    eprintln!("{least:.1?}");
    least.as_secs_f64() * 1e6
}

/// Checks writes that all run at once, followed by a compare-and-set that expects a value which none of them wrote.
fn worst_case(writes: u64) -> f64 {
    let write =
        |value| Operation { input: CasInput::Write(value), call: 0, output: CasOutput::Written, ret: 1 };
    let input = CasInput::CompareAndSet { expected: writes, new: 0 };
    let last = Operation { input, call: 2, output: CasOutput::Set(true), ret: 3 };
    let history: Vec<_> = (0..writes).map(write).chain([last]).collect();
    least(|| assert_eq!(check_operations_timeout(&CasModel, &history, Duration::MAX), CheckResult::Illegal))
}

/// Draws the lines. The x axis of the third chart is linear; all other axes are logarithmic.
fn chart(place: usize, title: &str, lines: &[Line]) -> String {
    let (left, right, top, bottom) = (60.0 + 320.0 * place as f64, 290.0 + 320.0 * place as f64, 40.0, 240.0);
    let points = || lines.iter().flat_map(|line| &line.points);
    let scale = |x: f64| if place == 2 { x } else { x.log10() };
    let range = |values: Vec<f64>| {
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max))
    };
    let (x0, x1) = range(points().map(|point| scale(point.0)).collect());
    let (y0, y1) = range(points().map(|point| point.1.log10()).collect());
    let (y0, y1) = (y0.floor(), y1.ceil());
    let at_x = |x: f64| left + (scale(x) - x0) / (x1 - x0) * (right - left);
    let at_y = |y: f64| bottom - (y.log10() - y0) / (y1 - y0) * (bottom - top);

    let mut svg = String::new();
    for power in y0 as i32..=y1 as i32 {
        let y = at_y(10_f64.powi(power));
        let label = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"];
        let label = label.get(power as usize).copied().unwrap_or_default();
        _ = writeln!(svg, "<path d='M{left} {y:.0}H{right}' stroke='#ddd'/>");
        _ = writeln!(svg, "<text x='{}' y='{:.0}' text-anchor='end'>{label}</text>", left - 5.0, y + 4.0);
    }
    let labelled: Vec<_> = lines[0].points.iter().map(|point| point.0).collect();
    for (index, &x) in labelled.iter().enumerate() {
        if index % 2 == 0 {
            let text = if x >= 1000.0 { format!("{}k", x / 1000.0) } else { x.to_string() };
            _ = writeln!(
                svg,
                "<text x='{:.0}' y='{}' text-anchor='middle'>{text}</text>",
                at_x(x),
                bottom + 16.0
            );
        }
    }
    for (line, colour) in lines.iter().zip(["#1f6fb4", "#c4402f"]) {
        let path: Vec<_> =
            line.points.iter().map(|&(x, y)| format!("{:.0},{:.0}", at_x(x), at_y(y))).collect();
        let (path, &(x, y)) = (path.join(" "), line.points.last().expect("points"));
        _ = writeln!(svg, "<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>");
        let below = if colour == "#c4402f" { 16.0 } else { -6.0 };
        _ = writeln!(
            svg,
            "<text x='{:.0}' y='{:.0}' text-anchor='end' fill='{colour}'>{}</text>",
            at_x(x),
            at_y(y) + below,
            line.name
        );
    }
    let middle = (left + right) / 2.0;
    _ = writeln!(
        svg,
        "<text x='{middle}' y='{}' text-anchor='middle' font-weight='bold'>{title}</text>",
        bottom + 40.0
    );
    svg
}
