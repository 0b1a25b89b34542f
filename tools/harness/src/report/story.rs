//! The story of a failure: the last events that led to it, in words.

use super::roles::{self, Known, Role};
use crate::record::{self, Call, Focus, Groups, Life, Note, Rpc, Seen, Servers, Vote};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many events a story has at most.
const LONGEST: usize = 14;

/// Changes of links and crashes that follow each other within this time are one event.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How many acknowledged writes before a wrong get are told.
const WRITES: usize = 2;

/// How many earlier requests of an acknowledged write are told, at most.
const MOST_TRIES: usize = 3;

/// A server that answers a write sooner has not begun to execute it: that takes a round of messages, and a save.
const PROMPT: Duration = Duration::from_millis(10);

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
    let votes = Votes::all();
    let double = match focus {
        Some(Focus::Server(server)) => two_leaders(&roles, server, &votes),
        _ => None,
    };
    let mut about = about(focus, double.as_ref(), &roles);
    let until = ended(focus).unwrap_or(at);
    // What the failure is about began then.
    let begin = about.iter().map(|event| event.at).min().unwrap_or(until.saturating_sub(BEFORE));
    let (mut events, mut left_out) = record::with_servers(|servers| {
        let mut events = match &double {
            // The elections of other terms have nothing to do with it, even if their leaders still lead.
            Some(_) => Vec::new(),
            None => leaders(servers, &roles, &votes),
        };
        // If voters have voted twice, what happened to other servers does not matter.
        let voters: Vec<usize> = double.iter().flat_map(TwoLeaders::voters).collect();
        let matters = |server: usize| voters.is_empty() || voters.contains(&server);
        let notes = servers.notes.iter().filter(|note| note.server.is_none_or(matters));
        let notes: Vec<Event> = notes.map(noted).collect();
        // Tests that note what they do tell more than the servers show.
        if !notes.is_empty() {
            events.extend(notes);
            return (events, servers.notes.dropped());
        }
        events.extend(general(servers, matters));
        let all = events.len();
        events.retain(|event| event.matters_from(begin));
        let without = (all - events.len()) as u64;
        (events, without)
    });
    // What the failure is about may tell its cause.
    let has_cause = about.iter().any(|event| event.is_cause);
    events.iter_mut().for_each(|event| event.is_cause &= !has_cause);
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

/// What a test has noted.
fn noted(Note { at, server, what }: &Note) -> Event {
    Event::new(*at, what.clone(), server.map(Focus::Server))
}

/// When the operation ended that a failure is about. None: it is pending, or the failure is about something else.
fn ended(focus: Option<Focus>) -> Option<Duration> {
    let Some(Focus::Operation(id)) = focus else { return None };
    record::operations(|operations| operations.ended_at(id))
}

/// The crashes, partitions and network faults of a test. `matters`: whether a server's crashes do.
fn general(servers: &Servers, matters: impl Fn(usize) -> bool) -> Vec<Event> {
    let mut events = lives(servers, matters);
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

/// The votes of the whole test.
struct Votes {
    /// In the order of time.
    all: Vec<Vote>,
    /// Whether the votes of all elections are known.
    are_known: bool,
    /// How many servers there are.
    servers: usize,
}

impl Votes {
    fn all() -> Votes {
        let (all, are_all) = record::messages(|messages, _| messages.votes());
        let servers = record::with_servers(|servers| servers.count);
        // If nobody ever got a vote, the replies say it in a way that is not understood here.
        let are_known = are_all && all.iter().any(|vote| vote.said.is_some());
        Votes { all, are_known, servers }
    }

    /// The votes in a term up to a time.
    fn of(&self, term: u64, until: Duration) -> impl Iterator<Item = &Vote> {
        self.all.iter().filter(move |vote| vote.term == term && vote.at <= until)
    }

    /// Says that a leader was not elected by a majority, if so: the end of a sentence.
    fn shortfall(&self, leader: &Known) -> Option<String> {
        let own: Vec<&Vote> =
            self.of(leader.term, leader.at).filter(|vote| vote.candidate == leader.server).collect();
        let others: Vec<String> =
            own.iter().filter(|vote| vote.said.is_some()).map(|vote| vote.voter.to_string()).collect();
        if !self.are_known || 2 * (others.len() + 1) > self.servers {
            return None;
        }
        let votes = match &others[..] {
            [] if own.is_empty() => "it has asked no other server for its vote in this term".to_string(),
            [] => "no other server has voted for it in this term".to_string(),
            [voter] => format!("of the others, only server {voter} has voted for it in this term"),
            voters => {
                format!("of the others, only servers {} have voted for it in this term", voters.join(" and "))
            }
        };
        Some(format!(", without a majority: {votes}"))
    }
}

/// Who leads, and who does no longer. The first leader that no majority has elected is the cause.
fn leaders(servers: &Servers, roles: &[Known], votes: &Votes) -> Vec<Event> {
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
        let (what, holds, shortfall) = match *led {
            before if known.leads() && before.is_none_or(|(before, _)| before != *term) => {
                (format!("server {server} leads in term {term}"), Holds::ToTheEnd, votes.shortfall(known))
            }
            Some((before, _)) if !known.leads() => {
                let what = format!(
                    "server {server}, the leader of term {before}, leads no more; its term is {term}"
                );
                (what, Holds::AtOnce, None)
            }
            _ => continue,
        };
        if let Some((_, told)) = *led {
            events[told].holds = Holds::Until(*at);
        }
        *led = known.leads().then_some((*term, events.len()));
        let is_cause = shortfall.is_some() && events.iter().all(|event| !event.is_cause);
        let what = what + &shortfall.unwrap_or_default();
        events.push(Event { is_cause, holds, ..Event::new(*at, what, Some(Focus::Server(*server))) });
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
fn lives(servers: &Servers, matters: impl Fn(usize) -> bool) -> Vec<Event> {
    let mut seen = vec![false; servers.count];
    let mut changes: Vec<(Duration, Change, Vec<usize>)> = Vec::new();
    for Life { at, server, is_up } in servers.lives.iter().filter(|life| matters(life.server)) {
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
    /// For each of them, why it should not lead, if too few have voted for it.
    shortfalls: [Option<String>; 2],
    /// The votes in this term of those who have voted for several, one of the two leaders among them.
    votes: Vec<Vote>,
}

impl TwoLeaders {
    /// Those who have voted for several.
    fn voters(&self) -> Vec<usize> {
        self.votes.iter().map(|vote| vote.voter).collect()
    }
}

/// If a server leads in the term of another leader: both.
fn two_leaders(roles: &[Known], server: usize, votes: &Votes) -> Option<TwoLeaders> {
    let last = roles.iter().rfind(|known| known.leads() && known.server == server)?;
    let led_by = |is_it: &dyn Fn(usize) -> bool| {
        roles.iter().find(|known| known.leads() && known.term == last.term && is_it(known.server)).copied()
    };
    let mut led = [led_by(&|other| other != server)?, led_by(&|other| other == server)?];
    led.sort_by_key(|known| known.at);
    let shortfalls = [0, 1].map(|i| votes.shortfall(&led[i]));
    let mut of_voters: BTreeMap<usize, Vec<Vote>> = BTreeMap::new();
    for vote in votes.of(last.term, led[1].at) {
        of_voters.entry(vote.voter).or_default().push(vote.clone());
    }
    let leads = |vote: &Vote| led.iter().any(|known| known.server == vote.candidate);
    let votes = of_voters.into_values().filter(|votes| votes.len() > 1 && votes.iter().any(leads));
    Some(TwoLeaders { term: last.term, led, shortfalls, votes: votes.flatten().collect() })
}

/// The elections of two leaders of one term, and the votes of those who voted for several. The first vote that is a voter's
/// second one is the cause, or else the first election without a majority, or else the second election.
fn elections(TwoLeaders { term, led, shortfalls, votes }: &TwoLeaders) -> Vec<Event> {
    let elected = |(known, shortfall): (&Known, &Option<String>)| {
        let what = format!(
            "server {} leads in term {term}{}",
            known.server,
            shortfall.as_deref().unwrap_or_default()
        );
        Event::new(known.at, what, Some(Focus::Server(known.server)))
    };
    let mut events: Vec<Event> = led.iter().zip(shortfalls).map(elected).collect();
    let voted = |Vote { at, voter, candidate, said, .. }: &Vote| {
        let what = match said {
            None => format!("server {voter} stands in term {term}: a candidate votes for itself"),
            Some((args, reply)) => {
                format!("server {voter} votes for server {candidate}, which asks with {args}: {reply}")
            }
        };
        Event::new(*at, what, Some(Focus::Server(*voter)))
    };
    let is_second = |i: &usize| votes[..*i].iter().any(|before| before.voter == votes[*i].voter);
    let second = (0..votes.len()).filter(is_second).min_by_key(|i| votes[*i].at);
    // The votes come after the two elections.
    let cause = match second {
        Some(i) => 2 + i,
        None => shortfalls.iter().position(Option::is_some).unwrap_or(1),
    };
    events.extend(votes.iter().map(voted));
    events[cause].is_cause = true;
    events
}

/// The server that does not answer, and what probably keeps it from answering.
fn silence() -> Vec<Event> {
    let suspects = record::with_servers(|servers| servers.suspects.clone());
    let silent = record::silent();
    let mut events = suspected(suspects, silent.map(|(server, _)| server));
    if let Some((server, since)) = silent {
        let what = format!("server {server} is asked for its state, and does not answer from now on");
        events.push(Event::new(since, what, Some(Focus::Server(server))));
    }
    events
}

/// What probably made the test hang. The cause is the earliest that happened on the server that does not answer, or the earliest.
fn suspected(suspects: Vec<(Duration, usize, String)>, silent: Option<usize>) -> Vec<Event> {
    let of_silent = suspects.iter().filter(|(_, server, _)| Some(*server) == silent);
    let cause = of_silent.min().or_else(|| suspects.iter().min()).cloned();
    let event = |suspect: (Duration, usize, String)| {
        let is_cause = Some(&suspect) == cause.as_ref();
        let (at, server, what) = suspect;
        Event { is_cause, ..Event::new(at, what, Some(Focus::Server(server))) }
    };
    suspects.into_iter().map(event).collect()
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
            let mut events = writes_before(&operations, id, *at, roles);
            events.push(Event::new(*at, format!("{who} calls {what}"), shown));
            let answer = record::messages(|messages, _| messages.answer_to(who, *at, *end));
            if let Some((rpc, handling)) = answer.and_then(|rpc| Some((rpc, handling(&rpc)?))) {
                let alone = if is_broken(id) { alone(&rpc) } else { String::new() };
                let (server, role) = (handling.server, role(roles, &handling));
                let what = format!("server {server} answers it{alone}{role}");
                events.push(Event::new(handling.answered, what, Some(Focus::Server(server))));
            }
            let result = if result.is_empty() { String::new() } else { format!(" {result}") };
            events.push(Event::new(*end, format!("{who}: {what} returns{result}"), shown));
            events
        }
    }
}

/// The last writes that were acknowledged before the call of an operation: those on the same key, those on the same part
/// of the history, or those with the text that the failure is about.
fn writes_before(operations: &[Seen], id: u64, at: Duration, roles: &[Known]) -> Vec<Event> {
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
        let (answer, tries) = record::messages(|messages, _| {
            let answer = messages.answer_to(who, seen.call.at, end);
            (answer, messages.tries(who, seen.call.at, end))
        });
        let by = answer.and_then(|rpc| handling(&rpc)).map_or(String::new(), |handling| by(roles, &handling));
        let requests = requests(&tries, seen.call.at, end);
        events.push(Event::new(end, format!("{who}: {what} is acknowledged{by}{requests}"), shown));
    }
    events
}

/// Who handled an RPC, and when.
struct Handling {
    server: usize,
    arrived: Duration,
    answered: Duration,
}

/// None: the handler has not returned.
fn handling(rpc: &Rpc) -> Option<Handling> {
    let [arrived, answered] = [rpc.arrived()?, rpc.answered()?].map(|at| Duration::from_micros(at.into()));
    Some(Handling { server: rpc.server?.into(), arrived, answered })
}

/// Who has acknowledged a write. If that was not the leader of the newest term: what it was instead, and what it was when it
/// got the request.
fn by(roles: &[Known], Handling { server, arrived, answered }: &Handling) -> String {
    let now = known_at(roles, *server, *answered);
    let who = format!(" by server {server}");
    let Some(now) = now else { return who };
    let newer = newer_leader(roles, &now, *answered);
    if now.leads() && newer.is_none() {
        return who;
    }
    let before = before(roles, &now, *arrived);
    let although = newer.filter(|_| now.leads()).map_or(String::new(), |newer| although(&newer));
    format!("{who}, {}{although}{before}", noun(&now))
}

/// How many requests a write took, since when, and which servers may have begun to execute an earlier one: their replies did not
/// reach the client, or they took long to answer that they do not lead. The last reply that came is the acknowledgement.
fn requests(tries: &[Rpc], call: Duration, end: Duration) -> String {
    if tries.len() < 2 {
        return String::new();
    }
    let mut told: Vec<(u8, String)> = Vec::new();
    let last = tries.iter().filter(|rpc| rpc.has_reply).max_by_key(|rpc| rpc.ended()).map(Rpc::sent);
    for rpc in tries.iter().filter(|rpc| Some(rpc.sent()) != last) {
        let (Some(server), Some(arrived)) = (rpc.server, rpc.arrived()) else { continue };
        if told.iter().any(|(other, _)| *other == server) {
            continue;
        }
        let arrived = Duration::from_micros(arrived.into());
        let answered = rpc.answered().map(|at| Duration::from_micros(at.into()));
        let then = match answered {
            Some(answered) if rpc.has_reply && answered < arrived + PROMPT => continue,
            Some(answered) if rpc.has_reply => {
                format!("answered only at {}, and the client asked again", at(answered))
            }
            Some(answered) if answered <= end => "its reply was lost".to_string(),
            _ => "had not answered by then".to_string(),
        };
        if arrived <= end {
            told.push((server, format!("; server {server} got it at {}, and {then}", at(arrived))));
        }
    }
    let told: String = told.into_iter().take(MOST_TRIES).map(|(_, text)| text).collect();
    format!(", after {} requests since {}{told}", tries.len(), at(call))
}

/// A time as the list's.
fn at(time: Duration) -> String {
    format!("{:.4} s", time.as_secs_f64())
}

/// How long a server took for an answer, if it has heard nothing from another server meanwhile.
fn alone(rpc: &Rpc) -> String {
    let has_heard = record::messages(|messages, _| messages.has_heard_during(rpc));
    match (handling(rpc), has_heard) {
        (Some(Handling { arrived, answered, .. }), Some(false)) => {
            let took = answered.saturating_sub(arrived).as_micros();
            format!(" after {took} µs, without having heard from another server since it got the request")
        }
        _ => String::new(),
    }
}

/// Whether an operation breaks the history.
fn is_broken(id: u64) -> bool {
    record::with_servers(|servers| servers.findings.iter().any(|finding| finding.refused.contains(&id)))
}

/// The key in `get("x")` or `put("x", "1")`, in quotes.
fn key(what: &str) -> Option<&str> {
    let (_, arguments) = what.split_once('(')?;
    arguments.split([',', ')']).next()
}

/// What is known of a server at a time.
fn known_at(roles: &[Known], server: usize, at: Duration) -> Option<Known> {
    roles.iter().rfind(|known| known.server == server && known.at <= at).copied()
}

/// Who leads at a time in a newer term than a server's.
fn newer_leader(roles: &[Known], own: &Known, at: Duration) -> Option<Known> {
    let newer =
        roles.iter().filter(|known| known.at <= at).filter(|known| known.leads() && known.term > own.term);
    newer.max_by_key(|known| known.term).copied()
}

fn noun(known: &Known) -> String {
    let noun = match known.role {
        Role::Leader => "the leader of",
        Role::Candidate => "a candidate in",
        Role::Follower => "a follower in",
        Role::Other => "a follower or candidate in",
    };
    format!("{noun} term {}", known.term)
}

fn although(Known { at, server, term, .. }: &Known) -> String {
    format!(", although server {server} has led in term {term} since {}", self::at(*at))
}

/// The role in which a server answered, who led in a newer term then, and the role in which it got the request, if that was
/// another.
fn role(roles: &[Known], Handling { server, arrived, answered }: &Handling) -> String {
    let Some(own) = known_at(roles, *server, *answered) else { return String::new() };
    let newer = newer_leader(roles, &own, *answered).map_or(String::new(), |newer| although(&newer));
    format!(", as {}{newer}{}", noun(&own), before(roles, &own, *arrived))
}

/// What a server was when it got a request, if that was something else. That more becomes known of its role is no change.
fn before(roles: &[Known], now: &Known, arrived: Duration) -> String {
    let is_other = |then: &Known| then.term != now.term || then.role != now.role && then.role != Role::Other;
    let then = known_at(roles, now.server, arrived).filter(is_other);
    then.map_or(String::new(), |then| format!("; it received the request as {}", noun(&then)))
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
    use super::*;
    use crate::record::{Messages, Sender};

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn known(at: u64, server: usize, term: u64, role: Role) -> Known {
        Known { at: ms(at), server, term, role }
    }

    fn vote(at: u64, voter: usize, candidate: usize) -> Vote {
        let said = || ("Args { last_log_index: 7 }".to_string(), "Reply { granted: true }".to_string());
        Vote { at: ms(at), term: 4, voter, candidate, said: (voter != candidate).then(said) }
    }

    /// No server votes in a way that is understood.
    fn nobody() -> Votes {
        Votes { all: Vec::new(), are_known: false, servers: 3 }
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
        let mut events = leaders(&servers, &roles, &nobody());
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
        let events =
            leaders(&servers, &[known(1, 0, 1, Role::Leader), known(5, 0, 1, Role::Other)], &nobody());
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
            let mut events = general(&servers, |_| true);
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
            let TwoLeaders { term, led, .. } = two_leaders(&roles, server, &nobody()).unwrap();
            assert_eq!((term, led.map(|known| known.server)), (2, [1, 2]));
        }
        assert!(two_leaders(&roles, 0, &nobody()).is_none());
        let events = elections(&two_leaders(&roles, 1, &nobody()).unwrap());
        let cause: Vec<&str> =
            events.iter().filter(|event| event.is_cause).map(|event| event.what.as_str()).collect();
        assert_eq!(cause, ["server 2 leads in term 2"]);
    }

    #[test]
    fn a_leader_without_a_majority_is_the_cause() {
        let roles = [known(10, 0, 4, Role::Leader), known(20, 1, 4, Role::Leader)];
        let votes = |all, are_known| Votes { all, are_known, servers: 5 };
        let mut servers = Servers::new();
        servers.count = 5;
        let told = |votes: &Votes| {
            let events = leaders(&servers, &roles[1..], votes);
            (events[0].what.clone(), events[0].is_cause)
        };
        let own = || vec![vote(1, 0, 0), vote(2, 2, 0), vote(2, 3, 0), vote(12, 1, 1)];
        let with = |more| [own(), more].concat();
        let no_majority = |votes: &str| {
            (format!("server 1 leads in term 4, without a majority: {votes} in this term"), true)
        };
        assert_eq!(told(&votes(own(), true)), no_majority("no other server has voted for it"));
        // A vote that comes later does not count.
        let two = with(vec![vote(13, 4, 1), vote(21, 3, 1)]);
        let one = no_majority("of the others, only server 4 has voted for it");
        assert_eq!(told(&votes(two, true)), one);
        let asked_nobody = no_majority("it has asked no other server for its vote");
        assert_eq!(told(&votes(own()[..3].to_vec(), true)), asked_nobody);
        // Elected, and unknown.
        let elected = ("server 1 leads in term 4".to_string(), false);
        assert_eq!(told(&votes(with(vec![vote(13, 4, 1), vote(14, 3, 1)]), true)), elected);
        assert_eq!(told(&votes(own(), false)), elected);
        // Of two leaders of a term, the one that was not elected is the cause, even if it is the first.
        for (elected, other) in [(0, 1), (1, 0)] {
            let all = vec![
                vote(1, elected, elected),
                vote(2, 2, elected),
                vote(3, 3, elected),
                vote(4, other, other),
            ];
            let events = elections(&two_leaders(&roles, 1, &votes(all, true)).unwrap());
            let cause: Vec<&str> =
                events.iter().filter(|event| event.is_cause).map(|event| event.what.as_str()).collect();
            let told = format!(
                "server {other} leads in term 4, without a majority: no other server has voted for it in this term"
            );
            assert_eq!(cause, [told]);
        }
    }

    #[test]
    fn a_write_that_another_than_the_newest_leader_acknowledges_says_so() {
        let roles = [
            known(1, 2, 1, Role::Leader),
            known(5, 0, 2, Role::Leader),
            known(9, 2, 2, Role::Follower),
            known(12, 1, 3, Role::Candidate),
        ];
        let by = |server, arrived, answered| {
            by(&roles, &Handling { server, arrived: ms(arrived), answered: ms(answered) })
        };
        let follower = " by server 2, a follower in term 2; it received the request as the leader of term 1";
        assert_eq!(by(2, 4, 10), follower);
        let deposed =
            " by server 2, the leader of term 1, although server 0 has led in term 2 since 0.0050 s";
        assert_eq!(by(2, 4, 7), deposed);
        assert_eq!(by(1, 12, 13), " by server 1, a candidate in term 3");
        // The usual case, and a server of which nothing is known.
        assert_eq!((by(0, 5, 13).as_str(), by(2, 2, 3).as_str()), (" by server 0", " by server 2"));
        assert_eq!(by(1, 2, 3), " by server 1");
        // Who answers a get says so in any case.
        let role = |server, arrived, answered| {
            role(&roles, &Handling { server, arrived: ms(arrived), answered: ms(answered) })
        };
        assert_eq!(
            role(2, 4, 10),
            ", as a follower in term 2; it received the request as the leader of term 1"
        );
        assert_eq!(role(0, 6, 7), ", as the leader of term 2");
    }

    #[test]
    fn the_requests_of_a_write_that_were_lost_are_told() {
        let mut messages = Messages::new();
        messages.end("end", Sender::Client("client 0".to_string()));
        // When the server got it, when it answered, and whether the client got the reply. 0: never.
        for (sent, server, arrived, answered, has_reply) in [
            (1, 1, 2, 3, false),
            (4, 3, 0, 0, false),
            (5, 2, 6, 7, true),
            (6, 5, 7, 60, true),
            (8, 4, 9, 0, false),
            (61, 0, 62, 63, true),
        ] {
            let rpc = messages.send(ms(sent), "end", Some(server), "KVServer.PutAppend", &[], || None);
            if arrived > 0 {
                messages.arrive(ms(arrived), rpc);
            }
            if answered > 0 {
                messages.answer(ms(answered), rpc, &[]);
            }
            messages.finish(ms(answered.max(13)), rpc, has_reply);
        }
        let tries = messages.tries("client 0", ms(0), ms(70));
        let told = ", after 6 requests since 0.0010 s; server 1 got it at 0.0020 s, and its reply was lost; \
                    server 5 got it at 0.0070 s, and answered only at 0.0600 s, and the client asked again; server 4 got it at 0.0090 s, and had not answered by then";
        assert_eq!(requests(&tries, ms(1), ms(70)), told);
        assert_eq!(requests(&tries[5..], ms(61), ms(70)), "");
    }

    #[test]
    fn a_hang_comes_from_the_first_call_of_the_server_that_does_not_answer() {
        let suspects = || {
            [(5, 0, "second"), (1, 2, "of another"), (3, 0, "first")]
                .map(|(at, server, what)| (ms(at), server, what.to_string()))
                .to_vec()
        };
        let cause = |silent| {
            let events = suspected(suspects(), silent);
            let causes = events.into_iter().filter(|event| event.is_cause).map(|event| event.what);
            causes.collect::<Vec<_>>()
        };
        assert_eq!(
            [cause(Some(0)), cause(None), cause(Some(1))],
            [["first"], ["of another"], ["of another"]]
        );
    }

    #[test]
    fn the_first_second_vote_is_the_cause() {
        let roles = [known(6, 0, 4, Role::Leader), known(20, 2, 4, Role::Leader)];
        let all =
            vec![vote(2, 0, 0), vote(3, 1, 1), vote(5, 1, 0), vote(12, 2, 2), vote(15, 1, 2), vote(21, 0, 2)];
        let double = two_leaders(&roles, 2, &Votes { all, are_known: true, servers: 3 }).unwrap();
        let mut events = elections(&double);
        events.sort_by_key(|event| event.at);
        let voted = [
            "server 1 stands in term 4: a candidate votes for itself",
            "server 1 votes for server 0, which asks with Args { last_log_index: 7 }: Reply { granted: true }",
            "server 0 leads in term 4",
            "server 1 votes for server 2, which asks with Args { last_log_index: 7 }: Reply { granted: true }",
            "server 2 leads in term 4",
        ];
        assert_eq!(texts(&events), voted);
        let causes: Vec<bool> = events.iter().map(|event| event.is_cause).collect();
        assert_eq!(causes, [false, true, false, false, false]);
        // What happens to others does not matter.
        let mut servers = Servers::new();
        servers.count = 3;
        for (at, server, is_up) in
            [(0, 0, true), (0, 1, true), (1, 0, false), (8, 1, false), (9, 0, true), (9, 1, true)]
        {
            servers.live(ms(at), server, is_up);
        }
        let events = general(&servers, |server| double.voters().contains(&server));
        assert_eq!(texts(&events), ["server 1 restarts"]);
    }
}
