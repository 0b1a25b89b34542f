//! The story of a failure: the last events that led to it, in words.

use crate::record::{self, Call, Focus, Groups, Life, Messages, Rpc, Seen, SeenState, Sender, Servers};
use std::collections::BTreeMap;
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

/// The story of a failure that was noticed at a time, and is about `focus`.
pub(crate) fn of(at: Duration, focus: Option<Focus>) -> Story {
    let mut about = about(focus);
    let until = ended(focus).unwrap_or(at);
    let (mut events, mut left_out) = record::with_servers(|servers| {
        let notes: Vec<Event> =
            servers.notes.iter().map(|(at, what)| Event::new(*at, what.clone(), None)).collect();
        // Tests that note what they do tell more than the servers show.
        if notes.is_empty() { (general(servers), 0) } else { (notes, servers.notes.dropped()) }
    });
    // A test may notice a wrong result long after it was returned. What happened in between did not lead to it.
    events.retain(|event| event.at <= until);
    events.sort_by_key(|event| event.at);
    about.sort_by_key(|event| event.at);
    let surplus = (events.len() + about.len()).saturating_sub(LONGEST).min(events.len());
    left_out += surplus as u64;
    events.drain(..surplus);
    events.extend(about);
    events.sort_by_key(|event| event.at);
    Story { events, left_out }
}

/// When the operation ended that a failure is about. None: it is pending, or the failure is about something else.
fn ended(focus: Option<Focus>) -> Option<Duration> {
    let Some(Focus::Operation(id)) = focus else { return None };
    record::operations(|operations| operations.ended_at(id))
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
                format!("server {server}, the leader of term {before}, leads no more; its term is {term}")
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
        Some(Focus::Server(server)) => silence().into_iter().chain(votes(server)).collect(),
        None => silence(),
    }
}

/// If a server leads in the term of another leader: the votes of those who voted for both.
fn votes(server: usize) -> Vec<Event> {
    let led = record::with_servers(|servers| {
        let leads = |seen: &&SeenState| seen.is_leader;
        let last = servers.states.iter().filter(leads).rfind(|seen| seen.server == server)?;
        let other = |seen: &&SeenState| seen.term == last.term && seen.server != server;
        let first = servers.states.iter().filter(leads).find(other)?;
        Some([(first.server, first.at), (last.server, last.at)])
    });
    let Some(led) = led else { return Vec::new() };
    record::messages(|messages, _| {
        let [first, last] = led.map(|(leader, since)| granted(messages, leader, since));
        // Votes of one term have equal replies.
        let both = first.iter().filter_map(|(voter, vote)| {
            let other = last.get(voter).filter(|other| other.reply == vote.reply)?;
            Some([(*voter, led[0].0, vote), (*voter, led[1].0, other)])
        });
        let tell = |(voter, leader, vote): (u8, usize, &Vote)| {
            let text = format!("server {voter} votes for server {leader}: {}", vote.reply);
            Event::new(vote.at, text, Some(Focus::Server(voter.into())))
        };
        both.flatten().map(tell).collect()
    })
}

/// A vote that a candidate got.
struct Vote {
    at: Duration,
    reply: String,
}

/// The last vote of each server that a candidate had got by a time. What a vote is, the names say: the method has "vote" in
/// its name, and the reply has a field that is true.
fn granted(messages: &Messages, candidate: usize, by: Duration) -> BTreeMap<u8, Vote> {
    let vote = |rpc: &Rpc| {
        let is_asked = matches!(messages.sender_of(rpc), Some(Sender::Server(asks)) if *asks == candidate);
        let method = &messages.methods.get(usize::from(rpc.method))?.name;
        if !is_asked || !rpc.has_reply || !method.to_lowercase().contains("vote") {
            return None;
        }
        let (at, reply) = (rpc.answered()?, messages.reply(rpc).filter(|reply| reply.contains("true"))?);
        Some((rpc.server?, Vote { at: Duration::from_micros(at.into()), reply }))
    };
    let requests = messages.iter().filter(|rpc| u128::from(rpc.sent()) <= by.as_micros());
    requests.filter_map(vote).collect()
}

/// The server that does not answer, and what probably keeps it from answering.
fn silence() -> Vec<Event> {
    let suspects = record::with_servers(|servers| servers.suspects.clone());
    let suspect =
        |(at, server, what): (Duration, usize, String)| Event::new(at, what, Some(Focus::Server(server)));
    let mut events: Vec<Event> = suspects.into_iter().map(suspect).collect();
    if let Some((server, since)) = record::silent() {
        let what = format!("server {server} is asked for its state, and does not answer from now on");
        events.push(Event::new(since, what, Some(Focus::Server(server))));
    }
    events
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
    let is_sought = |seen: &Seen| !sought.is_empty() && seen.call.what.contains(&format!("{sought:?}"));
    let is_about = |seen: &&Seen| {
        let is_same = part.is_empty() && key.is_some() && self::key(&seen.call.what) == key;
        seen.id != id && (is_sought(seen) || is_same || part.contains(&seen.id))
    };
    let mut writes: Vec<(Duration, &Seen)> = (operations.iter().filter(is_about))
        .filter(|seen| !seen.call.what.starts_with("get"))
        .filter_map(|seen| Some((seen.ret.as_ref()?.1, seen)))
        .filter(|(end, _)| *end <= at)
        .collect();
    writes.sort_by_key(|(end, _)| *end);
    // What is looked for may have been written long ago. It is told beside the last write.
    let sought = writes.iter().rposition(|(_, seen)| is_sought(seen)).map(|i| writes.remove(i));
    let others = WRITES - usize::from(sought.is_some());
    let last = writes.split_off(writes.len().saturating_sub(others)).into_iter().chain(sought);
    let mut events = Vec::new();
    for (end, seen) in last {
        let Call { who, what, .. } = &seen.call;
        let shown = Some(Focus::Operation(seen.id));
        let answer = record::messages(|messages, _| messages.answer_to(&seen.call.who, seen.call.at, end));
        let tries = record::messages(|messages, _| messages.tries(&seen.call.who, seen.call.at, end));
        let before = |event: &Event| event.at <= end;
        events.extend(tries.iter().find_map(|rpc| unheard(rpc, who, what, shown).filter(before)));
        let by = answer.map_or(String::new(), |(server, _)| format!(" by server {server}"));
        let by = if tries.len() > 1 { format!("{by}, after {} requests", tries.len()) } else { by };
        events.push(Event::new(end, format!("{who}: {what} is acknowledged{by}"), shown));
    }
    events
}

/// An answer to a write that did not reach the client: the client asks again, although the write may have been executed.
fn unheard(rpc: &Rpc, who: &str, what: &str, shown: Option<Focus>) -> Option<Event> {
    let (server, answered) = (rpc.server?, rpc.answered()?);
    let at = Duration::from_micros(answered.into());
    let text = || format!("server {server} answers {what}, but the reply does not reach {who}");
    (!rpc.has_reply).then(|| Event::new(at, text(), shown))
}

/// The key in `get("x")` or `put("x", "1")`, in quotes.
fn key(what: &str) -> Option<&str> {
    let (_, arguments) = what.split_once('(')?;
    arguments.split([',', ')']).next()
}

/// What a server said of its role before a time, and who led in a newer term then.
fn role(server: usize, at: Duration) -> String {
    record::with_servers(|servers| {
        let seen = |seen: &&SeenState| seen.at <= at;
        let states = || servers.states.iter().filter(seen);
        let Some(own) = states().rfind(|seen| seen.server == server) else { return String::new() };
        let role = if own.is_leader { "as the leader" } else { "as a follower or candidate" };
        let newest =
            states().filter(|seen| seen.is_leader && seen.term > own.term).max_by_key(|seen| seen.term);
        let newer = newest.map_or(String::new(), |newest| {
            let SeenState { at, server, term, .. } = newest;
            format!(", although server {server} has led in term {term} since {:.4} s", at.as_secs_f64())
        });
        format!(", {role} in term {}{newer}", own.term)
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
        let is_own = |other: &&record::Mark| other.server == mark.server && other.kind == mark.kind;
        let own: Vec<_> = marks().filter(is_own).collect();
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
