//! The story of a failure: the last events that led to it, in words.

use crate::record::{self, Call, Focus, Groups, Life, Seen, SeenState, Servers};
use std::time::Duration;

/// How many events a story has at most.
const LONGEST: usize = 14;

/// Changes of links and crashes that follow each other within this time are one event.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How many acknowledged writes before a wrong get are told.
const WRITES: usize = 2;

/// Something that happened.
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: String,
    /// What shows it on the page.
    pub(crate) shown: Option<Focus>,
}

impl Event {
    fn new(at: Duration, what: String, shown: Option<Focus>) -> Event {
        Event { at, what, shown }
    }
}

/// The last events that led to a failure, and how many before them are left out. Empty if nothing is known.
pub(crate) struct Story {
    pub(crate) events: Vec<Event>,
    pub(crate) left_out: u64,
}

/// The story of a failure that is about `focus`.
pub(crate) fn of(focus: Option<Focus>) -> Story {
    let mut about = about(focus);
    let (mut events, mut left_out) = record::with_servers(|servers| {
        let notes: Vec<Event> =
            servers.notes.iter().map(|(at, what)| Event::new(*at, what.clone(), None)).collect();
        // Tests that note what they do tell more than the servers show.
        if notes.is_empty() { (general(servers), 0) } else { (notes, servers.notes.dropped()) }
    });
    events.sort_by_key(|event| event.at);
    about.sort_by_key(|event| event.at);
    let surplus = (events.len() + about.len()).saturating_sub(LONGEST).min(events.len());
    left_out += surplus as u64;
    events.drain(..surplus);
    events.extend(about);
    events.sort_by_key(|event| event.at);
    Story { events, left_out }
}

/// The crashes, partitions and leaders of a test.
fn general(servers: &Servers) -> Vec<Event> {
    let mut events = leaders(servers);
    events.extend(lives(servers));
    events.extend(partitions(servers));
    for (i, (at, network)) in servers.networks.iter().enumerate().filter(|(i, _)| *i > 0) {
        let before = servers.networks.iter().nth(i - 1).map(|(_, network)| *network);
        let what = match (network.is_unreliable, network.reorders) {
            (true, _) if before.is_some_and(|before| !before.is_unreliable) => {
                "the network becomes unreliable"
            }
            (_, true) => "the network holds replies back from now on",
            _ => "the network becomes reliable",
        };
        events.push(Event::new(*at, what.to_string(), None));
    }
    events
}

/// Who leads, and who does no longer.
fn leaders(servers: &Servers) -> Vec<Event> {
    let mut latest: Vec<Option<u64>> = vec![None; servers.count];
    let mut events = Vec::new();
    for SeenState { at, server, term, is_leader } in servers.states.iter() {
        let Some(led) = latest.get_mut(*server) else { continue };
        let what = match *led {
            before if *is_leader && before != Some(*term) => format!("server {server} leads in term {term}"),
            Some(before) if !*is_leader => {
                format!("server {server}, which led in term {before}, does no longer: it is in term {term}")
            }
            _ => continue,
        };
        *led = is_leader.then_some(*term);
        events.push(Event::new(*at, what, Some(Focus::Server(*server))));
    }
    events
}

/// What happened to some servers at a time.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Crash,
    Start,
    /// A crash, and a start right after it.
    Restart,
}

/// The crashes and restarts. The first starts are no news.
fn lives(servers: &Servers) -> Vec<Event> {
    let mut seen = vec![false; servers.count];
    let mut changes: Vec<(Duration, Change, Vec<usize>)> = Vec::new();
    for Life { at, server, is_up } in servers.lives.iter() {
        let Some(seen) = seen.get_mut(*server) else { continue };
        if !std::mem::replace(seen, true) {
            continue;
        }
        let is_crash_of_it = |(crashed, change, who): &(Duration, Change, Vec<usize>)| {
            *change == Change::Crash && who[..] == [*server] && *at <= *crashed + AT_ONCE
        };
        let change = match changes.last() {
            Some(last) if *is_up && is_crash_of_it(last) => {
                changes.pop();
                Change::Restart
            }
            _ if *is_up => Change::Start,
            _ => Change::Crash,
        };
        match changes.last_mut() {
            Some((before, same, who)) if *same == change && *at <= *before + AT_ONCE => who.push(*server),
            _ => changes.push((*at, change, vec![*server])),
        }
    }
    let tell = |(at, change, who): (Duration, Change, Vec<usize>)| {
        let is_one = who.len() == 1;
        let subject = if is_one { format!("server {}", who[0]) } else { format!("servers {}", joined(&who)) };
        let (verb, more) = match change {
            Change::Crash => ("crash", if is_one { "es" } else { "" }),
            Change::Start => ("start", if is_one { "s again" } else { " again" }),
            Change::Restart => ("restart", if is_one { "s" } else { "" }),
        };
        Event::new(at, format!("{subject} {verb}{more}"), Some(Focus::Server(who[0])))
    };
    changes.into_iter().map(tell).collect()
}

/// Which of the running servers reach each other. Servers that are down reach nobody: that is no news.
fn partitions(servers: &Servers) -> Vec<Event> {
    let groups: Vec<&Groups> = servers.groups.iter().collect();
    let is_up = |server: usize, at: Duration| {
        let last = servers.lives.iter().rfind(|life| life.server == server && life.at <= at);
        last.is_some_and(|life| life.is_up)
    };
    let mut events: Vec<Event> = Vec::new();
    let mut before = "all servers reach each other again".to_string();
    for (i, Groups { at, lowest }) in groups.iter().enumerate() {
        if groups.get(i + 1).is_some_and(|next| next.at <= *at + AT_ONCE) {
            continue;
        }
        let up: Vec<usize> = (0..lowest.len()).filter(|server| is_up(*server, *at)).collect();
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for server in &up {
            match parts.iter_mut().find(|part| lowest[part[0]] == lowest[*server]) {
                Some(part) => part.push(*server),
                None => parts.push(vec![*server]),
            }
        }
        parts.sort_by_key(|part| (std::cmp::Reverse(part.len()), part[0]));
        let what = match &parts[..] {
            [] | [_] => "all servers reach each other again".to_string(),
            [_, alone] if alone.len() == 1 => format!("server {} is cut off from the others", alone[0]),
            _ => {
                let parts: Vec<String> = parts.iter().map(|part| joined(part)).collect();
                format!("the servers are divided: {}", parts.join(" | "))
            }
        };
        // A server that restarts is connected again: that is no news either.
        if what != before && up.len() > 1 {
            events.push(Event::new(*at, what.clone(), None));
            before = what;
        }
    }
    events
}

fn joined(servers: &[usize]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The events of what the failure is about.
fn about(focus: Option<Focus>) -> Vec<Event> {
    match focus {
        Some(Focus::Operation(id)) => of_operation(id),
        Some(Focus::Mark(id)) => of_mark(id),
        Some(Focus::Server(_)) | None => silence(),
    }
}

/// The server that does not answer.
fn silence() -> Vec<Event> {
    let Some((server, since)) = record::silent() else { return Vec::new() };
    let what = format!("server {server} is asked for its state, and does not answer from now on");
    vec![Event::new(since, what, Some(Focus::Server(server)))]
}

fn of_operation(id: u64) -> Vec<Event> {
    let operations = record::operations(|operations| operations.seen());
    let Some(Seen { call, ret, .. }) = operations.iter().find(|seen| seen.id == id) else {
        return Vec::new();
    };
    let Call { who, what, at } = call;
    let shown = Some(Focus::Operation(id));
    let mut events = writes_before(&operations, id, *at);
    match ret {
        None => {
            events.extend(silence());
            events.push(Event::new(*at, format!("{who} calls {what}, which never returns"), shown));
        }
        Some((result, end)) => {
            events.push(Event::new(*at, format!("{who} calls {what}"), shown));
            let answer = record::messages(|messages, _| messages.answer_to(who, *at, *end));
            if let Some((server, answered)) = answer {
                let role = role(server, answered);
                let what = format!("server {server} answers it{role}");
                events.push(Event::new(answered, what, Some(Focus::Server(server))));
            }
            let result = if result.is_empty() { String::new() } else { format!(" {result}") };
            events.push(Event::new(*end, format!("{who}: {what} returns{result}"), shown));
        }
    }
    events
}

/// The last writes that were acknowledged before the call of an operation: those on the same key, those on the same part
/// of the history, or those with the text that the failure is about.
fn writes_before(operations: &[Seen], id: u64, at: Duration) -> Vec<Event> {
    let part: Vec<u64> = record::with_servers(|servers| {
        let finding = servers.findings.iter().find(|finding| finding.part.contains(&id));
        finding.map_or(Vec::new(), |finding| finding.part.clone())
    });
    let sought = record::sought();
    let key = operations.iter().find(|seen| seen.id == id).and_then(|seen| key(&seen.call.what));
    let is_about = |seen: &&Seen| {
        let is_sought = !sought.is_empty() && seen.call.what.contains(&format!("{sought:?}"));
        let is_same = part.is_empty() && key.is_some() && self::key(&seen.call.what) == key;
        seen.id != id && (is_sought || is_same || part.contains(&seen.id))
    };
    let mut writes: Vec<(Duration, &Seen)> = (operations.iter().filter(is_about))
        .filter(|seen| !seen.call.what.starts_with("get"))
        .filter_map(|seen| Some((seen.ret.as_ref()?.1, seen)))
        .filter(|(end, _)| *end <= at)
        .collect();
    writes.sort_by_key(|(end, _)| *end);
    let last = writes.split_off(writes.len().saturating_sub(WRITES));
    let tell = |(end, seen): (Duration, &Seen)| {
        let answer = record::messages(|messages, _| messages.answer_to(&seen.call.who, seen.call.at, end));
        let tries = record::messages(|messages, _| messages.tries(&seen.call.who, seen.call.at, end));
        let by = answer.map_or(String::new(), |(server, _)| format!(" by server {server}"));
        let by = by + &if tries > 1 { format!(", after {tries} requests") } else { String::new() };
        let Call { who, what, .. } = &seen.call;
        Event::new(end, format!("{who}: {what} is acknowledged{by}"), Some(Focus::Operation(seen.id)))
    };
    last.into_iter().map(tell).collect()
}

/// The key in `get("x")` or `put("x", "1")`, in quotes.
fn key(what: &str) -> Option<&str> {
    let (_, arguments) = what.split_once('(')?;
    arguments.split([',', ')']).next()
}

/// What a server said of its role before a time.
fn role(server: usize, at: Duration) -> String {
    record::with_servers(|servers| {
        let seen = servers.states.iter().rfind(|seen| seen.server == server && seen.at <= at);
        seen.map_or(String::new(), |seen| {
            let role = if seen.is_leader { "as the leader" } else { "as a follower or candidate" };
            format!(", {role} in term {}", seen.term)
        })
    })
}

/// What the server did before, and what the others did with the same index: the texts begin alike, up to a colon.
fn of_mark(id: u64) -> Vec<Event> {
    record::with_servers(|servers| {
        let marks = || servers.marks.iter().filter(|mark| mark.id <= id);
        let Some(mark) = marks().next_back() else { return Vec::new() };
        let subject = |what: &str| what.split_once(':').map(|(subject, _)| subject.to_string());
        let same = marks().filter(|other| {
            other.kind == mark.kind && other.id != id && subject(&other.what) == subject(&mark.what)
        });
        let own: Vec<_> = marks().filter(|other| other.server == mark.server).collect();
        let own = own[own.len().saturating_sub(3)..].iter().copied();
        let mut told: Vec<_> = same.chain(own).collect();
        told.sort_by_key(|mark| mark.id);
        told.dedup_by_key(|mark| mark.id);
        let told = told.split_off(told.len().saturating_sub(7));
        let tell = |mark: &record::Mark| {
            Event::new(mark.at, format!("server {}: {}", mark.server, mark.what), Some(Focus::Mark(mark.id)))
        };
        told.into_iter().map(tell).collect()
    })
}
