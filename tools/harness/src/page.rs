//! Draws what is recorded of a title: writes one HTML page that needs nothing else, and the log beside it.
//!
//! The page is `page/page.html`, with `page/page.js` in it and the data, as JSON, of which the fields are those that
//! [`data`] writes. Times are microseconds since the title began.

use crate::lines::{self, Kept, Line, Who};
use crate::operations::{self, Seen};
use crate::picture::{self, Focus, Kind, Record};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/page.js");

/// How many lines of the log the page has: those nearest to what it is about.
const LINES: usize = 30_000;

/// How many pictures of a simulated title there are at most: each seed has its own.
const SEEDS_KEPT: usize = 5;

/// Links that change one after the other are one change.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Which title, and how it ended.
pub(crate) struct Title<'a> {
    /// The test function's.
    pub(crate) name: &'a str,
    /// "Test: one client (3A)".
    pub(crate) description: &'a str,
    /// When it failed; None: it passed.
    pub(crate) failed: Option<Duration>,
    /// When the picture ends.
    pub(crate) at: Duration,
    /// The failure's message, or the last line of a title that passed.
    pub(crate) message: &'a str,
    pub(crate) focus: Option<Focus>,
    /// None: it ran in real time.
    pub(crate) simulation: Option<Simulation>,
}

/// Which run of a title.
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    /// The command that replays it.
    pub(crate) replay: String,
}

/// Writes the log and the picture, and gives their paths in this order.
pub(crate) fn write(title: &Title<'_>) -> Result<[PathBuf; 2], String> {
    let folder = folder()?;
    let name = match &title.simulation {
        Some(Simulation { seed, .. }) => {
            let of_title = format!("{}-seed-", title.name);
            remove_oldest(&folder, &of_title);
            format!("{of_title}{seed}")
        }
        None => title.name.to_string(),
    };
    let save = |ending: &str, text: String| {
        let path = folder.join(format!("{name}.{ending}"));
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok::<PathBuf, String>(path)
    };
    let kept = lines::kept();
    let log = save("log", log(title, &kept))?;
    let seed = title.simulation.as_ref().map_or(String::new(), |run| format!(", seed {}", run.seed));
    let page = (PAGE.replace("@TITLE@", &escaped(&format!("{}{seed}", title.description))))
        .replace("@DATA@", &data(title, &kept))
        .replace("@SCRIPT@", SCRIPT);
    Ok([log, save("html", page)?])
}

/// `target/pictures`, found from the test binary: cargo marks its target folder with this file.
fn folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder = marked.or(program.parent()).unwrap_or(Path::new(".")).join("pictures");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// Removes what there is in `folder` of a title's seeds, but for the newest. Others may do so at the same time, and what
/// cannot be removed stays.
fn remove_oldest(folder: &Path, of_title: &str) {
    let mut seeds: BTreeMap<String, (SystemTime, Vec<PathBuf>)> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((seed, _)) = name.strip_prefix(of_title).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        let (newest, files) = seeds.entry(seed.to_string()).or_insert((written, Vec::new()));
        *newest = written.max(*newest);
        files.push(entry.path());
    }
    let mut seeds: Vec<_> = seeds.into_values().collect();
    seeds.sort();
    let surplus = (seeds.len() + 1).saturating_sub(SEEDS_KEPT);
    for file in seeds.into_iter().take(surplus).flat_map(|(_, files)| files) {
        let _ = std::fs::remove_file(file);
    }
}

/// The log as `RUST_LOG` would have printed it.
fn log(title: &Title<'_>, Kept { lines, dropped, passed_over }: &Kept) -> String {
    let mut text = format!("# {} ({})\n", title.description, title.name);
    if let Some(Simulation { seed, replay }) = &title.simulation {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# simulation, seed {seed}; this replays it:\n#   {replay}");
    }
    let missing = |text: &mut String, count: u64, place: &str| {
        if count > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# {count} lines were not kept {place}; RUST_LOG=debug prints all");
        }
    };
    missing(&mut text, *dropped, "before these");
    for line in lines {
        missing(&mut text, line.passed_over, "here");
        text += &line.printed();
        text.push('\n');
    }
    missing(&mut text, *passed_over, "here");
    let (at, message) = (title.at.as_secs_f64() * 1e3, title.message.trim().replace('\n', "\n# "));
    let how = if title.failed.is_some() { "failed" } else { "passed" };
    text + &format!("# {at:.3} {how}: {message}\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The operations' lanes: clients in the order in which they first called.
#[derive(Default)]
struct Lanes {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Lanes {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_string());
        self.numbers.insert(name.to_string(), self.names.len() - 1);
        self.names.len() - 1
    }
}

fn data(title: &Title<'_>, Kept { lines, dropped, passed_over }: &Kept) -> String {
    let record = picture::record();
    let (operations, dropped_operations) = operations::seen();
    let at_of_focus = match title.focus {
        Some(Focus::Operation(id)) => operations.iter().find(|seen| seen.id == id).map(|seen| seen.call.at),
        Some(Focus::Mark(id)) => record.marks.iter().find(|mark| mark.id == id).map(|mark| mark.at),
        None => None,
    };
    let lines_shown = nearest(lines, at_of_focus.unwrap_or(title.at));
    let missing = lines.iter().map(|line| line.passed_over).sum::<u64>() + dropped + passed_over;
    let mut lanes = Lanes::default();
    let operations_list = list(&operations, |seen| operation(seen, &mut lanes));
    let lines_list = list(lines_shown, |line| self::line(line, &mut lanes));
    let mut json = Json::default();
    json.field("name", string(title.name));
    json.field("description", string(title.description));
    json.field("failed", (if title.failed.is_some() { "true" } else { "false" }).to_string());
    json.field("message", string(title.message.trim()));
    let simulation =
        |Simulation { seed, replay }: &Simulation| list([&seed.to_string(), replay], |text| string(text));
    // [seed, the command that replays it]
    json.field("simulation", title.simulation.as_ref().map_or("null".to_string(), simulation));
    json.field("end", micros(title.at));
    json.field("focus", focus(title.focus));
    json.field("servers", record.servers.to_string());
    json.field("clients", list(&lanes.names, |name| string(name)));
    json.field("operations", operations_list);
    json.field("lines", lines_list);
    json.field("linesLeftOut", (lines.len() - lines_shown.len()).to_string());
    events(&record, &mut json);
    json.field("droppedOperations", dropped_operations.to_string());
    json.field("droppedMarks", record.marks.dropped().to_string());
    json.field("droppedLines", missing.to_string());
    let silent = picture::silent()
        .map_or("null".to_string(), |(server, since)| format!("[{server},{}]", micros(since)));
    json.field("silent", silent);
    json.end()
}

/// What happened to the servers and the network.
fn events(record: &Record, json: &mut Json) {
    // [time, server, term, 1: it leads]
    json.field(
        "states",
        list(record.states.iter(), |state| {
            format!("[{},{},{},{}]", micros(state.at), state.server, state.term, u8::from(state.leads))
        }),
    );
    // [time, server, 1: it starts; 0: it crashes]
    json.field(
        "lives",
        list(record.lives.iter(), |(at, server, up)| format!("[{},{server},{}]", micros(*at), u8::from(*up))),
    );
    // [time, [the group of server 0, of server 1, ...]]
    let groups: Vec<_> = record.groups.iter().collect();
    let last_at_once = |i: &usize| groups.get(i + 1).is_none_or(|next| next.0 > groups[*i].0 + AT_ONCE);
    json.field(
        "groups",
        list((0..groups.len()).filter(last_at_once), |i| {
            format!("[{},{}]", micros(groups[i].0), list(&groups[i].1, usize::to_string))
        }),
    );
    // [time, 1: it is unreliable, 1: it reorders]
    json.field(
        "networks",
        list(record.networks.iter(), |(at, unreliable, reordering)| {
            format!("[{},{},{}]", micros(*at), u8::from(*unreliable), u8::from(*reordering))
        }),
    );
    // [id, time, server, 0: started; 1: applied, what]
    json.field(
        "marks",
        list(record.marks.iter(), |mark| {
            let kind = if mark.kind == Kind::Started { 0 } else { 1 };
            format!("[{},{},{},{kind},{}]", mark.id, micros(mark.at), mark.server, string(&mark.what))
        }),
    );
    json.field(
        "findings",
        list(&record.findings, |finding| {
            let mut json = Json::default();
            json.field("order", list(&finding.order, u64::to_string));
            json.field("refused", list(&finding.refused, u64::to_string));
            json.field("part", list(&finding.part, u64::to_string));
            json.field("note", string(&finding.note));
            json.end()
        }),
    );
}

/// [id, lane, call, return, what, result]; without the last for one that returns none; return -1: it is pending.
fn operation(seen: &Seen, lanes: &mut Lanes) -> String {
    let (result, ret) = match &seen.ret {
        Some((result, ret)) => (result.as_str(), micros(*ret)),
        None => ("", "-1".to_string()),
    };
    let (lane, call, what) = (lanes.number(&seen.call.who), micros(seen.call.at), string(&seen.call.what));
    let result = if result.is_empty() { String::new() } else { format!(",{}", string(result)) };
    format!("[{},{lane},{call},{ret},{what}{result}]", seen.id)
}

/// [time, lane, topic, text, level]; lane -1 - n is that of server n, null is nobody's; without the last below "warn".
fn line(line: &Line, lanes: &mut Lanes) -> String {
    let lane = match &line.origin.who {
        Who::Server(server) => (-1 - *server as i64).to_string(),
        Who::Client(name) => lanes.number(name).to_string(),
        Who::Other => "null".to_string(),
    };
    let level = if line.level <= log::Level::Warn { format!(",\"{}\"", line.level) } else { String::new() };
    let (topic, text) = (string(&line.origin.topic), string(&line.text));
    format!("[{},{lane},{topic},{text}{level}]", micros(line.at))
}

/// The lines that are nearest to a time.
fn nearest(lines: &[Line], at: Duration) -> &[Line] {
    let middle = lines.partition_point(|line| line.at <= at);
    let begin = middle.saturating_sub(LINES / 2).min(lines.len().saturating_sub(LINES));
    &lines[begin..lines.len().min(begin + LINES)]
}

fn focus(focus: Option<Focus>) -> String {
    match focus {
        Some(Focus::Operation(id)) => format!("[\"operation\",{id}]"),
        Some(Focus::Mark(id)) => format!("[\"mark\",{id}]"),
        None => "null".to_string(),
    }
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

fn list<T>(items: impl IntoIterator<Item = T>, item: impl FnMut(T) -> String) -> String {
    let items: Vec<String> = items.into_iter().map(item).collect();
    format!("[{}]", items.join(","))
}

/// A JSON string, which cannot end the script element that it stands in.
fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a String does not fail.
            '<' | '\u{2028}' | '\u{2029}' => _ = write!(json, "\\u{:04x}", c as u32),
            c if c.is_control() => _ = write!(json, "\\u{:04x}", c as u32),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

/// An object in JSON.
#[derive(Default)]
struct Json(String);

impl Json {
    fn field(&mut self, name: &str, value: String) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{}:{value}", string(name));
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
