//! The picture of a test: one HTML page that needs nothing else.
//!
//! The page is `page/page.html`, with the script and the data in it; [`script`] says of which files the script consists. The data is
//! JSON; [`data`] says which fields it has. Times are microseconds since the test began.

mod script;

use super::lanes::{self, Lanes};
use super::roles::{self, Known, Role};
use super::story::Event;
use super::{Outcome, Replay, messages};
use crate::record::{self, Finding, Focus, Groups, Kept, Kind, Life, Line, Mark, Seen, Servers};
use lines::Who;
use script::{PAGE, SCRIPT};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How many lines of the log the page has: those nearest to what the failure is about.
const LINES: usize = 30_000;

/// Changes of links that follow each other within this time are shown as one change.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The whole page.
pub(super) fn html(outcome: &Outcome<'_>, kept: &Kept) -> String {
    let seed = outcome.simulation.map_or(String::new(), |replay| format!(", seed {}", replay.seed));
    let title = escaped(&format!("{}{seed}", record::title()));
    // A string with "</script>" in it would end the script element that the data stands in.
    let (data, messages) = data(outcome, kept);
    let data = data.to_string().replace('<', "\\u003c");
    let page = PAGE.replace("@TITLE@", &title).replace("@SCRIPT@", SCRIPT);
    // Last, because the data may contain anything.
    page.replace("@MESSAGES@", &messages).replace("@DATA@", &data)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The data of the page, and its messages. Many of the data's values are lists; a comment beside each says what its items
/// are.
fn data(outcome: &Outcome<'_>, Kept { lines, dropped, passed_over }: &Kept) -> (Value, String) {
    let (operations, dropped_operations) =
        record::operations(|operations| (operations.seen(), operations.dropped()));
    let at_of_focus = match outcome.focus {
        Some(Focus::Operation(id)) => operations.iter().find(|seen| seen.id == id).map(|seen| seen.call.at),
        Some(Focus::Mark(id)) => record::with_servers(|servers| {
            servers.marks.iter().find(|mark| mark.id == id).map(|mark| mark.at)
        }),
        Some(Focus::Server(_)) | None => None,
    };
    let at = at_of_focus.unwrap_or(outcome.at);
    let lines_shown = nearest(lines, at);
    let missing = lines.iter().map(|line| line.passed_over).sum::<u64>() + dropped + passed_over;
    let mut lanes = Lanes::default();
    let operations: Vec<Value> = operations.iter().map(|seen| operation(seen, &mut lanes)).collect();
    let lines_list: Vec<Value> = lines_shown.iter().map(|line| self::line(line, &mut lanes)).collect();
    let messages = record::messages(|messages, _| messages::draw(messages, at, &mut lanes));
    let mut data = json!({
        "name": outcome.test,
        "description": record::title(),
        "failed": outcome.has_failed,
        "message": outcome.message.trim(),
        // [seed, the command that replays it]
        "simulation": outcome.simulation.map(|Replay { seed, command }| json!([seed.to_string(), command])),
        "end": micros(outcome.at),
        // [what, its id or number]
        "focus": outcome.focus.map(focus),
        // [time, what, what shows it, as in "focus", or null]
        "story": outcome.story.events.iter().map(event).collect::<Vec<Value>>(),
        "storyLeftOut": outcome.story.left_out,
        // The number of the event that the failure comes from, or null.
        "cause": outcome.story.events.iter().position(|event| event.is_cause),
        // [time, server, term, 1: it leads; 2: it asks for votes]
        "states": roles::all().iter().map(state).collect::<Vec<Value>>(),
        "sought": record::sought(),
        "clients": lanes.names(),
        "operations": operations,
        "lines": lines_list,
        "messages": messages.fields,
        "linesLeftOut": lines.len() - lines_shown.len(),
        "droppedOperations": dropped_operations,
        "droppedLines": missing,
        // [server, since]
        "silent": record::silent().map(|(server, since)| json!([server, micros(since)])),
    });
    if let Value::Object(fields) = &mut data {
        record::with_servers(|servers| add_servers(servers, fields));
    }
    (data, messages.numbers)
}

/// Adds what happened to the servers and the network.
fn add_servers(servers: &Servers, fields: &mut Map<String, Value>) {
    let mut add = |name: &str, value: Value| fields.insert(name.to_string(), value);
    add("servers", json!(servers.count));
    // [time, server, 1: it starts; 0: it crashes]
    add("lives", servers.lives.iter().map(life).collect());
    // [time, [the group of server 0, of server 1, ...]]
    add("groups", groups(servers));
    // [time, 1: it is unreliable, 1: it reorders]
    let network = |(at, network): &(Duration, record::Network)| {
        json!([micros(*at), u8::from(network.is_unreliable), u8::from(network.reorders)])
    };
    add("networks", servers.networks.iter().map(network).collect());
    // [id, time, server, 0: started; 1: applied, what]
    add("marks", servers.marks.iter().map(mark).collect());
    add("droppedMarks", json!(servers.marks.dropped()));
    add("findings", servers.findings.iter().map(finding).collect());
}

fn focus(focus: Focus) -> Value {
    match focus {
        Focus::Operation(id) => json!(["operation", id]),
        Focus::Mark(id) => json!(["mark", id]),
        Focus::Server(number) => json!(["server", number]),
    }
}

fn event(Event { at, what, shown, .. }: &Event) -> Value {
    json!([micros(*at), what, shown.map(focus)])
}

fn state(Known { at, server, term, role }: &Known) -> Value {
    let role = match role {
        Role::Other => 0,
        Role::Leader => 1,
        Role::Candidate => 2,
        Role::Follower => 3,
    };
    json!([micros(*at), server, term, role])
}

fn life(Life { at, server, is_up }: &Life) -> Value {
    json!([micros(*at), server, u8::from(*is_up)])
}

fn groups(servers: &Servers) -> Value {
    let groups: Vec<&Groups> = servers.groups.iter().collect();
    let is_last_at_once = |i: &usize| groups.get(i + 1).is_none_or(|next| next.at > groups[*i].at + AT_ONCE);
    let shown = (0..groups.len()).filter(is_last_at_once);
    shown.map(|i| json!([micros(groups[i].at), groups[i].lowest])).collect()
}

fn mark(Mark { id, at, server, kind, what }: &Mark) -> Value {
    let kind = if *kind == Kind::Started { 0 } else { 1 };
    json!([id, micros(*at), server, kind, what])
}

fn finding(Finding { order, refused, part, note }: &Finding) -> Value {
    json!({ "order": order, "refused": refused, "part": part, "note": note })
}

/// [id, lane, time of the call, time of the return, what, result]. An operation without a result has five items. The
/// time of the return is -1 for a pending operation.
fn operation(seen: &Seen, lanes: &mut Lanes) -> Value {
    let (result, ret) = match &seen.ret {
        Some((result, ret)) => (result.as_str(), micros(*ret)),
        None => ("", json!(-1)),
    };
    let mut fields = vec![
        json!(seen.id),
        json!(lanes.number(&seen.call.who)),
        micros(seen.call.at),
        ret,
        json!(seen.call.what),
    ];
    fields.extend((!result.is_empty()).then(|| json!(result)));
    fields.into()
}

/// [time, lane, topic, text, level]. The lane is a client's number, -1 - n for server n, or null for anything else.
/// Lines below the level "WARN" have four items.
fn line(line: &Line, lanes: &mut Lanes) -> Value {
    let lane = match (line.who, &line.client) {
        (Who::Server(server), _) => json!(lanes::of_server(server)),
        (Who::Client, Some(name)) => json!(lanes.number(name)),
        _ => Value::Null,
    };
    let mut fields = vec![micros(line.at), lane, json!(&*line.topic), json!(line.text)];
    fields.extend(line.level.map(|level| json!(level.to_string())));
    fields.into()
}

/// The [`LINES`] lines that are nearest to a time.
fn nearest(lines: &[Line], at: Duration) -> &[Line] {
    let middle = lines.partition_point(|line| line.at <= at);
    let begin = middle.saturating_sub(LINES / 2).min(lines.len().saturating_sub(LINES));
    &lines[begin..lines.len().min(begin + LINES)]
}

fn micros(time: Duration) -> Value {
    json!(time.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::SCRIPT;
    use std::fs;
    use std::path::Path;

    #[test]
    fn each_script_of_the_folder_is_in_the_page_and_says_what_it_is_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/page");
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = entries.filter(|file| file.extension().is_some_and(|end| end == "js")).collect();
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            assert_eq!(SCRIPT.matches(&text).count(), 1, "{} in script.rs", file.display());
            let (first, rest) = text.split_once("\n\"use strict\";\n").unwrap_or_default();
            let is_comment = !first.is_empty() && first.lines().all(|line| line.starts_with("// "));
            assert!(is_comment && !rest.is_empty(), "{}: a comment and \"use strict\"", file.display());
        }
        assert!(files.len() > 10, "{}", folder.display());
    }
}
