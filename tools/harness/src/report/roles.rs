//! The servers' terms and roles: what they answered when they were asked, and what their messages tell in between. The harness
//! asks every 10 ms, so that a short election, and all that happens while a server does not answer, is in the messages alone.

use crate::record::{self, Claim, Life, SeenState};
use std::time::Duration;

/// From a time on, what is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) at: Duration,
    pub(super) server: usize,
    pub(super) term: u64,
    pub(super) role: Role,
}

/// A role in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leader,
    /// The server asks for votes.
    Candidate,
    /// A follower or a candidate: the harness asks whether a server leads, and nothing else.
    Other,
}

impl Known {
    pub(super) fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

/// All that is known, in the order of time.
pub(super) fn all() -> Vec<Known> {
    let claims = record::messages(|messages, _| messages.claims());
    record::with_servers(|servers| merge(servers.count, servers.states.iter(), servers.lives.iter(), claims))
}

/// What happened to a server, or was heard of it.
enum News {
    Lives(bool),
    Answers { term: u64, is_leader: bool },
    Claims { term: u64, is_leader: bool },
}

fn merge<'a>(
    count: usize,
    states: impl Iterator<Item = &'a SeenState>,
    lives: impl Iterator<Item = &'a Life>,
    claims: Vec<Claim>,
) -> Vec<Known> {
    let lives = lives.map(|life| (life.at, life.server, News::Lives(life.is_up)));
    let claims = claims
        .into_iter()
        .map(|Claim { at, server, term, is_leader }| (at, server, News::Claims { term, is_leader }));
    let states = states.map(|state| {
        let SeenState { at, server, term, is_leader } = *state;
        (at, server, News::Answers { term, is_leader })
    });
    let mut news: Vec<(Duration, usize, News)> = lives.chain(claims).chain(states).collect();
    news.sort_by_key(|(at, ..)| *at);
    let mut servers: Vec<Server> = (0..count).map(|_| Server::default()).collect();
    let hear = |(at, server, news): (Duration, usize, News)| {
        let (term, role) = servers.get_mut(server)?.hear(&news)?;
        Some(Known { at, server, term, role })
    };
    news.into_iter().filter_map(hear).collect()
}

/// What is known of a server at a time.
#[derive(Default)]
struct Server {
    is_up: bool,
    /// The highest term that was heard of.
    highest: Option<u64>,
    /// What was told last, since the server's start.
    last: Option<(u64, Role)>,
}

impl Server {
    /// Returns what is new.
    fn hear(&mut self, news: &News) -> Option<(u64, Role)> {
        let (term, role) = match *news {
            News::Lives(is_up) => {
                self.is_up = is_up;
                self.last = None;
                return None;
            }
            News::Answers { term, is_leader } => (term, if is_leader { Role::Leader } else { Role::Other }),
            News::Claims { term, is_leader } => {
                // A thread may send late what it prepared in an earlier term, or before a crash. In the same term, a server
                // can still become the leader.
                let leads_now = self.last.is_some_and(|(last, role)| last == term && role != Role::Leader);
                let is_new = self.highest.is_none_or(|highest| term > highest) || is_leader && leads_now;
                if !self.is_up || !is_new {
                    return None;
                }
                (term, if is_leader { Role::Leader } else { Role::Candidate })
            }
        };
        self.highest = self.highest.max(Some(term));
        let is_candidate_still = role == Role::Other && self.last == Some((term, Role::Candidate));
        if self.last == Some((term, role)) || is_candidate_still {
            return None;
        }
        self.last = Some((term, role));
        Some((term, role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What becomes known of server 0, which starts at 0 ms, and starts again at 50 ms. `heard`: the time, the term, whether it
    /// leads, and whether its own messages say so.
    fn known(heard: &[(u64, u64, bool, bool)]) -> Vec<(u64, u64, Role)> {
        let states: Vec<SeenState> = (heard.iter().filter(|(.., claimed)| !claimed))
            .map(|&(at, term, is_leader, _)| SeenState { at: ms(at), server: 0, term, is_leader })
            .collect();
        let claims = (heard.iter().filter(|(.., claimed)| *claimed))
            .map(|&(at, term, is_leader, _)| Claim { at: ms(at), server: 0, term, is_leader })
            .collect();
        let lives = [(0, true), (49, false), (50, true)];
        let lives = lives.map(|(at, is_up)| Life { at: ms(at), server: 0, is_up });
        let known = merge(1, states.iter(), lives.iter(), claims);
        known.into_iter().map(|one| (one.at.as_millis() as u64, one.term, one.role)).collect()
    }

    #[test]
    fn messages_tell_of_an_election_between_two_answers() {
        let heard = [(10, 1, false, false), (12, 2, false, true), (13, 2, true, true), (20, 3, false, false)];
        let told =
            [(10, 1, Role::Other), (12, 2, Role::Candidate), (13, 2, Role::Leader), (20, 3, Role::Other)];
        assert_eq!(known(&heard), told);
        // What an answer says too is told once.
        let heard = [(12, 2, false, true), (20, 2, false, false), (21, 2, true, true), (30, 2, true, false)];
        assert_eq!(known(&heard), [(12, 2, Role::Candidate), (21, 2, Role::Leader)]);
    }

    #[test]
    fn a_late_message_is_not_believed() {
        // The server has gone on to another term, or is down, or has started again.
        let heard = [(10, 3, true, false), (20, 4, false, false), (21, 3, true, true), (22, 4, false, true)];
        assert_eq!(known(&heard), [(10, 3, Role::Leader), (20, 4, Role::Other)]);
        let late = [(10, 3, true, false), (49, 4, true, true), (51, 3, true, true), (52, 4, false, true)];
        assert_eq!(known(&late), [(10, 3, Role::Leader), (52, 4, Role::Candidate)]);
    }
}
