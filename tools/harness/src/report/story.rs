//! The story of a failure: the last events that led to it, in words.

use super::roles::{self, Known};
use crate::record::{self, Call, Focus, Groups, Life, Messages, Rpc, Seen, Sender, Servers};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many events a story has at most.
const LONGEST: usize = 14;

/// Changes of links and crashes that follow each other within this time are one event.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How many acknowledged writes before a wrong get are told.
const WRITES: usize = 2;

/// If nothing tells when a failure began: how long before it something can have happened that led to it. A few elections.
const BEFORE: Duration = Duration::from_secs(6);

/// Something that happened.
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) what: String,
    /// What shows it on the page.
    pub(crate) shown: Option<Focus>,
    /// Whether it is the step that the failure comes from, which the test noticed later.
    pub(crate) is_cause: bool,
    holds: Holds,
}

/// For how long an event matters.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// At its own time only: it ends something.
    AtOnce,
    /// Until a time: a server leads until then, or is cut off.
    Until(Duration),
    /// Until the end of the test.
    ToTheEnd,
}

impl Event {
    fn new(at: Duration, what: String, shown: Option<Focus>) -> Event {
        Event { at, what, shown, is_cause: false, holds: Holds::ToTheEnd }
    }

    fn that_holds(self, holds: Holds) -> Event {
        Event { holds, ..self }
    }

    /// Whether it can have led to a failure that began at `begin`.
    fn matters_from(&self, begin: Duration) -> bool {
        self.at >= begin
            || match self.holds {
                Holds::AtOnce => false,
                Holds::Until(end) => end >= begin,
                Holds::ToTheEnd => true,
            }
    }
}

/// The last events that led to a failure, and how many before them are left out. Empty if nothing is known.
pub(crate) struct Story {
    pub(crate) events: Vec<Event>,
    pub(crate) left_out: u64,
}

/// The story of a failure that was noticed at a time, and is about `focus`.
pub(crate) fn of(at: Duration, focus: Option<Focus>) -> Story {
    let roles = roles::all();
    let double = match focus {
        Some(Focus::Server(server)) => two_leaders(&roles, server),
        _ => None,
    };
    let mut about = about(focus, double.as_ref(), &roles);
    let until = ended(focus).unwrap_or(at);
    // What the failure is about began then.
    let begin = about.iter().map(|event| event.at).min().unwrap_or(until.saturating_sub(BEFORE));
    let (mut events, mut left_out) = record::with_servers(|servers| {
        let notes: Vec<Event> =
            servers.notes.iter().map(|(at, what)| Event::new(*at, what.clone(), None)).collect();
        // Tests that note what they do tell more than the servers show.
        if !notes.is_empty() {
            return (notes, servers.notes.dropped());
        }
        let mut events = match &double {
            // The elections of other terms have nothing to do with it, even if their leaders still lead.
            Some(_) => Vec::new(),
            None => leaders(servers, &roles),
        };
        events.extend(general(servers));
        let all = events.len();
        events.retain(|event| event.matters_from(begin));
        let without = (all - events.len()) as u64;
        (events, without)
    });
    // Notes may tell the same.
    events.retain(|event| about.iter().all(|other| other.what != event.what));
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

/// The crashes, partitions and network faults of a test.
fn general(servers: &Servers) -> Vec<Event> {
    let mut events = lives(servers);
    events.extend(partitions(servers));
    let networks: Vec<_> = servers.networks.iter().collect();
    for (i, (at, network)) in networks.iter().enumerate().skip(1) {
        let before = networks[i - 1].1;
        let (what, is_usual) = match (network.is_unreliable, network.reorders) {
            (true, _) if !before.is_unreliable => ("the network becomes unreliable", false),
            (_, true) => ("the network holds replies back from now on", false),
            _ => ("the network becomes reliable", true),
        };
        let next = networks.get(i + 1).map_or(Holds::ToTheEnd, |(next, _)| Holds::Until(*next));
        let holds = if is_usual { Holds::AtOnce } else { next };
        events.push(Event::new(*at, what.to_string(), None).that_holds(holds));
    }
    events
}

/// Who leads, and who does no longer.
fn leaders(servers: &Servers, roles: &[Known]) -> Vec<Event> {
    // The term in which a server leads, and the event that tells it.
    let mut latest: Vec<Option<(u64, usize)>> = vec![None; servers.count];
    let mut events: Vec<Event> = Vec::new();
    for known @ Known { at, server, term, .. } in roles {
        let Some(led) = latest.get_mut(*server) else { continue };
        // A crash ends it too. The crash is told anyway.
        let since = led.map(|(_, told)| events[told].at);
        let crashes = |life: &&Life| {
            life.server == *server
                && !life.is_up
                && life.at <= *at
                && since.is_some_and(|since| life.at >= since)
        };
        if let (Some(crash), Some((_, told))) = (servers.lives.iter().find(crashes), *led) {
            events[told].holds = Holds::Until(crash.at);
            *led = None;
        }
        let (what, holds) = match *led {
            before if known.leads() && before.is_none_or(|(before, _)| before != *term) => {
                (format!("server {server} leads in term {term}"), Holds::ToTheEnd)
            }
            Some((before, _)) if !known.leads() => {
                let what = format!(
                    "server {server}, the leader of term {before}, leads no more; its term is {term}"
                );
                (what, Holds::AtOnce)
            }
            _ => continue,
        };
        if let Some((_, told)) = *led {
            events[told].holds = Holds::Until(*at);
        }
        *led = known.leads().then_some((*term, events.len()));
        events.push(Event::new(*at, what, Some(Focus::Server(*server))).that_holds(holds));
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
        let starts = |life: &&Life| life.is_up && life.at > at && who.contains(&life.server);
        let holds = match (change, servers.lives.iter().find(starts)) {
            (Change::Crash, None) => Holds::ToTheEnd,
            (Change::Crash, Some(life)) => Holds::Until(life.at),
            (Change::Start | Change::Restart, _) => Holds::AtOnce,
        };
        let shown = Some(Focus::Server(who[0]));
        Event::new(at, format!("{subject} {verb}{more}"), shown).that_holds(holds)
    };
    changes.into_iter().map(tell).collect()
}

/// The end of all partitions.
const TOGETHER: &str = "all servers reach each other again";

/// Which of the running servers reach each other. Servers that are down reach nobody: that is no news.
fn partitions(servers: &Servers) -> Vec<Event> {
    let groups: Vec<&Groups> = servers.groups.iter().collect();
    let is_up = |server: usize, at: Duration| {
        let last = servers.lives.iter().rfind(|life| life.server == server && life.at <= at);
        last.is_some_and(|life| life.is_up)
    };
    let mut events: Vec<Event> = Vec::new();
    let mut before = TOGETHER.to_string();
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
            [] | [_] => TOGETHER.to_string(),
            [_, alone] if alone.len() == 1 => format!("server {} is cut off from the others", alone[0]),
            _ => {
                let parts: Vec<String> = parts.iter().map(|part| joined(part)).collect();
                format!("the servers are divided: {}", parts.join(" | "))
            }
        };
        // A server that restarts is connected again: that is no news either.
        if what != before && up.len() > 1 {
            if let Some(event) = events.last_mut().filter(|event| event.holds == Holds::ToTheEnd) {
                event.holds = Holds::Until(*at);
            }
            let holds = if what == TOGETHER { Holds::AtOnce } else { Holds::ToTheEnd };
            events.push(Event::new(*at, what.clone(), None).that_holds(holds));
            before = what;
        }
    }
    events
}

fn joined(servers: &[usize]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The events of what the failure is about.
fn about(focus: Option<Focus>, double: Option<&TwoLeaders>, roles: &[Known]) -> Vec<Event> {
    match (focus, double) {
        (Some(Focus::Operation(id)), _) => of_operation(id, roles),
        (Some(Focus::Mark(id)), _) => of_mark(id),
        (_, Some(double)) => elections(double),
        (Some(Focus::Server(_)) | None, None) => silence(),
    }
}

/// Two servers that lead in one term, the first of them first.
struct TwoLeaders {
    term: u64,
    led: [Known; 2],
}

/// If a server leads in the term of another leader: both.
fn two_leaders(roles: &[Known], server: usize) -> Option<TwoLeaders> {
    let last = roles.iter().rfind(|known| known.leads() && known.server == server)?;
    let led_by = |is_it: &dyn Fn(usize) -> bool| {
        roles.iter().find(|known| known.leads() && known.term == last.term && is_it(known.server)).copied()
    };
    let mut led = [led_by(&|other| other != server)?, led_by(&|other| other == server)?];
    led.sort_by_key(|known| known.at);
    Some(TwoLeaders { term: last.term, led })
}

/// The elections of two leaders of one term, and the votes of those who voted for both. The second vote of such a voter is
/// the cause, or else the second election.
fn elections(TwoLeaders { term, led }: &TwoLeaders) -> Vec<Event> {
    let elected = |known: &Known| {
        let what = format!("server {} leads in term {term}", known.server);
        Event::new(known.at, what, Some(Focus::Server(known.server)))
    };
    let (mut events, votes): (Vec<Event>, Vec<Event>) = (led.iter().map(elected).collect(), votes(led));
    let second = votes.iter().map(|vote| vote.at).max();
    events.extend(votes);
    // The later of the two votes, or the later of the two leaders.
    let at = second.unwrap_or(led[1].at);
    if let Some(cause) = events.iter_mut().rfind(|event| event.at == at) {
        cause.is_cause = true;
    }
    events
}

/// The votes of those who voted for both of two leaders.
fn votes(led: &[Known; 2]) -> Vec<Event> {
    record::messages(|messages, _| {
        let [first, last] = led.map(|known| granted(messages, known.server, known.at));
        // Votes of one term have equal replies.
        let both = first.iter().filter_map(|(voter, vote)| {
            let other = last.get(voter).filter(|other| other.reply == vote.reply)?;
            Some([(*voter, led[0].server, vote), (*voter, led[1].server, other)])
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
    let suspect = |(at, server, what): (Duration, usize, String)| {
        let event = Event::new(at, what, Some(Focus::Server(server)));
        Event { is_cause: true, ..event }
    };
    let mut events: Vec<Event> = suspects.into_iter().map(suspect).collect();
    if let Some((server, since)) = record::silent() {
        let what = format!("server {server} is asked for its state, and does not answer from now on");
        events.push(Event::new(since, what, Some(Focus::Server(server))));
    }
    events
}

fn of_operation(id: u64, roles: &[Known]) -> Vec<Event> {
    let operations = record::operations(|operations| operations.seen());
    let Some(Seen { call, ret, .. }) = operations.iter().find(|seen| seen.id == id) else {
        return Vec::new();
    };
    let Call { who, what, at } = call;
    let shown = Some(Focus::Operation(id));
    match ret {
        None => {
            let mut events = silence();
            events.push(Event::new(*at, format!("{who} calls {what}, which never returns"), shown));
            events
        }
        Some((result, end)) => {
            let mut events = writes_before(&operations, id, *at);
            events.push(Event::new(*at, format!("{who} calls {what}"), shown));
            let answer = record::messages(|messages, _| messages.answer_to(who, *at, *end));
            if let Some((server, answered)) = answer {
                let role = role(roles, server, answered);
                let what = format!("server {server} answers it{role}");
                events.push(Event::new(answered, what, Some(Focus::Server(server))));
            }
            let result = if result.is_empty() { String::new() } else { format!(" {result}") };
            events.push(Event::new(*end, format!("{who}: {what} returns{result}"), shown));
            events
        }
    }
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

/// What is known of a server's role at a time, and who led in a newer term then.
fn role(roles: &[Known], server: usize, at: Duration) -> String {
    let known = || roles.iter().filter(|known| known.at <= at);
    let Some(own) = known().rfind(|known| known.server == server) else { return String::new() };
    let role = if own.leads() { "as the leader" } else { "as a follower or candidate" };
    let newest =
        known().filter(|known| known.leads() && known.term > own.term).max_by_key(|known| known.term);
    let newer = newest.map_or(String::new(), |newest| {
        let Known { at, server, term, .. } = newest;
        format!(", although server {server} has led in term {term} since {:.4} s", at.as_secs_f64())
    });
    format!(", {role} in term {}{newer}", own.term)
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

#[cfg(test)]
mod tests {
    use super::super::roles::Role;
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn known(at: u64, server: usize, term: u64, role: Role) -> Known {
        Known { at: ms(at), server, term, role }
    }

    fn texts(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.what.as_str()).collect()
    }

    #[test]
    fn a_leader_matters_while_it_leads() {
        let roles = [
            known(1, 0, 1, Role::Leader),
            known(5, 0, 2, Role::Other),
            known(6, 1, 2, Role::Leader),
            known(9, 1, 3, Role::Leader),
        ];
        let mut servers = Servers::new();
        servers.count = 2;
        let mut events = leaders(&servers, &roles);
        let told = [
            "server 0 leads in term 1",
            "server 0, the leader of term 1, leads no more; its term is 2",
            "server 1 leads in term 2",
            "server 1 leads in term 3",
        ];
        assert_eq!(texts(&events), told);
        events.retain(|event| event.matters_from(ms(7)));
        assert_eq!(texts(&events), told[2..]);
        events.retain(|event| event.matters_from(ms(20)));
        assert_eq!(texts(&events), told[3..]);
    }

    #[test]
    fn a_crash_ends_a_leadership() {
        let mut servers = Servers::new();
        servers.count = 1;
        for (at, is_up) in [(0, true), (3, false), (4, true)] {
            servers.live(ms(at), 0, is_up);
        }
        let events = leaders(&servers, &[known(1, 0, 1, Role::Leader), known(5, 0, 1, Role::Other)]);
        assert_eq!(texts(&events), ["server 0 leads in term 1"]);
        assert!(events[0].holds == Holds::Until(ms(3)));
    }

    #[test]
    fn a_crash_or_a_partition_matters_until_it_is_over() {
        let mut servers = Servers::new();
        servers.count = 3;
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            servers.link(ms(0), i, j, true);
        }
        (0..3).for_each(|server| servers.live(ms(0), server, true));
        servers.live(ms(10), 0, false);
        servers.live(ms(20), 0, true);
        for (at, connected) in [(30, false), (40, true), (50, false)] {
            servers.link(ms(at), 0, 2, connected);
            servers.link(ms(at), 1, 2, connected);
        }
        servers.network(ms(0), |network| network.is_unreliable = false);
        servers.network(ms(60), |network| network.is_unreliable = true);
        servers.network(ms(70), |network| network.is_unreliable = false);
        let told = |begin| {
            let mut events = general(&servers);
            events.retain(|event| event.matters_from(ms(begin)));
            events.sort_by_key(|event| event.at);
            events.into_iter().map(|event| (event.at.as_millis(), event.what)).collect::<Vec<_>>()
        };
        let cut = "server 2 is cut off from the others".to_string();
        let all = [
            (10, "server 0 crashes".to_string()),
            (20, "server 0 starts again".to_string()),
            (30, cut.clone()),
            (40, TOGETHER.to_string()),
            (50, cut.clone()),
            (60, "the network becomes unreliable".to_string()),
            (70, "the network becomes reliable".to_string()),
        ];
        assert_eq!(told(1), all);
        assert_eq!(told(15), all);
        assert_eq!(told(35), all[2..]);
        assert_eq!(told(45), all[4..]);
        assert_eq!(told(100), [(50, cut)]);
    }

    #[test]
    fn the_second_leader_of_a_term_is_found() {
        let roles = [
            known(1, 0, 1, Role::Leader),
            known(5, 1, 2, Role::Candidate),
            known(6, 1, 2, Role::Leader),
            known(7, 2, 2, Role::Leader),
        ];
        // Whichever of the two the test names.
        for server in [1, 2] {
            let TwoLeaders { term, led } = two_leaders(&roles, server).unwrap();
            assert_eq!((term, led.map(|known| known.server)), (2, [1, 2]));
        }
        assert!(two_leaders(&roles, 0).is_none());
        let events = elections(&two_leaders(&roles, 1).unwrap());
        let cause: Vec<&str> =
            events.iter().filter(|event| event.is_cause).map(|event| event.what.as_str()).collect();
        assert_eq!(cause, ["server 2 leads in term 2"]);
    }
}
