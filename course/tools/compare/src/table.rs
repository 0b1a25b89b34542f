//! The table. Each test has three lines: Go's, ours, and ours divided by Go's.

use crate::measure::Figures;

pub(crate) enum Format {
    Text,
    Csv,
    Markdown,
}

pub(crate) struct Table {
    /// The line about the machine and the programs.
    machine: String,
    rows: Vec<[String; COLUMNS.len()]>,
}

const COLUMNS: [&str; 11] = [
    "title",
    "side",
    "seconds",
    "peers",
    "RPCs",
    "operations",
    "CPU s",
    "peak MB",
    "operations/s",
    "RPCs/operation",
    "CPU ms/operation",
];

impl Table {
    pub(crate) fn new(machine: String) -> Table {
        Table { machine, rows: Vec::new() }
    }

    /// Adds the three lines of a test. The figures are None where the test failed.
    pub(crate) fn add(&mut self, test: &str, go: Option<Figures>, ours: Option<Figures>) {
        let (go, ours) = (go.map(values), ours.map(values));
        self.rows.push(row(test, "Go", go));
        self.rows.push(row(test, "ours", ours));
        let ratio = go.zip(ours).map(|(go, ours)| std::array::from_fn(|i| ours[i] / go[i]));
        self.rows.push(row(test, "ratio", ratio));
    }

    pub(crate) fn render(&self, format: Format) -> String {
        let lines = std::iter::once(COLUMNS.map(String::from)).chain(self.rows.iter().cloned());
        match format {
            Format::Csv => lines.map(|line| line.join(",") + "\n").collect(),
            Format::Markdown => {
                let mut lines: Vec<String> =
                    lines.map(|line| format!("| {} |\n", line.join(" | "))).collect();
                lines.insert(1, format!("| --- | --- {}|\n", "| ---: ".repeat(COLUMNS.len() - 2)));
                format!("{}\n\n{}", self.machine, lines.concat())
            }
            Format::Text => {
                let lines: Vec<_> = lines.collect();
                let width = |i: usize| lines.iter().map(|line| line[i].len()).max().unwrap_or(0);
                let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
                let mut text = format!("{}\n\n", self.machine);
                for line in &lines {
                    let cells = line.iter().zip(widths).enumerate().map(|(i, (cell, width))| {
                        if i < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                    });
                    text += cells.collect::<Vec<_>>().join("  ").trim_end();
                    text.push('\n');
                }
                text
            }
        }
    }
}

fn values(figures: Figures) -> [f64; COLUMNS.len() - 2] {
    let Figures { seconds, peers, rpcs, operations, cpu_seconds, peak_mb } = figures;
    let per_operation = |x: f64| x / operations;
    [
        seconds,
        peers,
        rpcs,
        operations,
        cpu_seconds,
        peak_mb,
        operations / seconds,
        per_operation(rpcs),
        per_operation(cpu_seconds * 1e3),
    ]
}

fn row(test: &str, side: &str, values: Option<[f64; COLUMNS.len() - 2]>) -> [String; COLUMNS.len()] {
    std::array::from_fn(|i| match (i, values) {
        (0, _) => test.to_string(),
        (1, _) => side.to_string(),
        (_, Some(values)) => number(values[i - 2]),
        (2, None) if side != "ratio" => "failed".to_string(),
        _ => "-".to_string(),
    })
}

/// Formats with at least three digits where there is a fraction.
fn number(x: f64) -> String {
    match x {
        _ if !x.is_finite() => "-".to_string(),
        _ if x == x.trunc() || x >= 1000.0 => format!("{x:.0}"),
        _ if x >= 100.0 => format!("{x:.1}"),
        _ if x >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// The line above the table. `go` is the version of Go, `profile` the Cargo profile of our programs.
pub(crate) fn machine(go: &str, profile: &str) -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    format!(
        "{} x {}; load {load} before the first test; {go}; ours: cargo's {profile} profile. \
         \"ratio\" is ours divided by Go's.",
        cpus,
        model.trim_matches([' ', '\t', ':']),
    )
}
