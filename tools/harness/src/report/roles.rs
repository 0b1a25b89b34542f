//! The servers' terms and roles: what they answered when they were asked, and what their requests and replies tell in between. The harness
//! asks every 10 ms, so that a short election, and all that happens while a server does not answer, is in the messages alone.

use crate::record::{self, Claim, Life, Says, SeenState};
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
    /// The server accepts what the leader of the term sends.
    Follower,
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
    let silent = record::silent().map(|(_, since)| since);
    record::with_servers(|servers| {
        merge(servers.count, servers.states.iter(), servers.lives.iter(), claims, silent)
    })
}

/// What happened to a server, or was heard of it.
enum News {
    Lives(bool),
    /// A server does not answer, and the harness asks none any more.
    IsNotAsked,
    Answers {
        term: u64,
        is_leader: bool,
    },
    /// A message of the server, which has prepared it since `since`.
    Claims {
        term: u64,
        says: Says,
        since: Duration,
    },
}

/// `silent`: since when the harness has waited for an answer.
fn merge<'a>(
    count: usize,
    states: impl Iterator<Item = &'a SeenState>,
    lives: impl Iterator<Item = &'a Life>,
    claims: Vec<Claim>,
    silent: Option<Duration>,
) -> Vec<Known> {
    let lives = lives.map(|life| (life.at, life.server, News::Lives(life.is_up)));
    let claims = (claims.into_iter())
        .map(|Claim { at, since, server, term, says }| (at, server, News::Claims { term, says, since }));
    let states = states.map(|state| {
        let SeenState { at, server, term, is_leader } = *state;
        (at, server, News::Answers { term, is_leader })
    });
    let not_asked =
        silent.into_iter().flat_map(|since| (0..count).map(move |server| (since, server, News::IsNotAsked)));
    let mut news: Vec<(Duration, usize, News)> = lives.chain(claims).chain(states).chain(not_asked).collect();
    news.sort_by_key(|(at, ..)| *at);
    let mut servers: Vec<Server> = (0..count).map(|_| Server::default()).collect();
    let hear = |(at, server, news): (Duration, usize, News)| {
        let (term, role) = servers.get_mut(server)?.hear(at, &news)?;
        Some(Known { at, server, term, role })
    };
    news.into_iter().filter_map(hear).collect()
}

/// What is known of a server at a time.
#[derive(Default)]
struct Server {
    /// Since when it runs. None: it is down.
    up_since: Option<Duration>,
    /// The highest term that was heard of.
    highest: Option<u64>,
    /// What was told last, since the server's start.
    last: Option<(u64, Role)>,
    /// Whether it has not been heard of since the harness has asked no more: what was told last would be news.
    is_unknown: bool,
}

impl Server {
    /// Returns what is new.
    fn hear(&mut self, at: Duration, news: &News) -> Option<(u64, Role)> {
        let (term, role) = match *news {
            News::Lives(is_up) => {
                self.up_since = is_up.then_some(at);
                self.last = None;
                return None;
            }
            News::IsNotAsked => {
                self.is_unknown = true;
                return None;
            }
            News::Answers { term, is_leader } => (term, if is_leader { Role::Leader } else { Role::Other }),
            News::Claims { term, says, since } => {
                // The instance that has crashed may have prepared it.
                if self.up_since.is_none_or(|up_since| since < up_since) {
                    return None;
                }
                if let Some(last) = self.confirmed(term, says) {
                    self.is_unknown = false;
                    return Some(last);
                }
                (term, self.believe(term, says)?)
            }
        };
        self.highest = self.highest.max(Some(term));
        // An answer that says that it does not lead tells less.
        let is_so_still = role == Role::Other
            && matches!(self.last, Some((last, Role::Candidate | Role::Follower)) if last == term);
        if self.last == Some((term, role)) || is_so_still {
            return None;
        }
        self.last = Some((term, role));
        self.is_unknown = false;
        Some((term, role))
    }

    /// What was told last, if nothing is known any more and a message tells the same.
    fn confirmed(&self, term: u64, says: Says) -> Option<(u64, Role)> {
        self.last
            .filter(|last| self.is_unknown && last.0 == term && (says == Says::Term || last.1 == role(says)))
    }

    /// The role that a message tells. None: a thread sends late what it prepared in an earlier term, or before the server's
    /// role has changed. In a term, a server can become a leader or a follower, but not a candidate again.
    fn believe(&self, term: u64, says: Says) -> Option<Role> {
        let role = role(says);
        if self.highest.is_none_or(|highest| term > highest) {
            return Some(role);
        }
        let before = self.last.filter(|(last, _)| *last == term).map(|(_, role)| role)?;
        let can_become = match role {
            Role::Leader => true,
            Role::Candidate => before == Role::Other,
            Role::Follower => matches!(before, Role::Other | Role::Candidate),
            Role::Other => false,
        };
        can_become.then_some(role)
    }
}

fn role(says: Says) -> Role {
    match says {
        Says::Leads => Role::Leader,
        Says::Stands => Role::Candidate,
        Says::Follows => Role::Follower,
        Says::Term => Role::Other,
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
            .map(|&(at, term, is_leader, _)| {
                let says = if is_leader { Says::Leads } else { Says::Stands };
                claim(at, at, term, says)
            })
            .collect();
        merged(&states, claims)
    }

    fn claim(at: u64, since: u64, term: u64, says: Says) -> Claim {
        Claim { at: ms(at), since: ms(since), server: 0, term, says }
    }

    fn merged(states: &[SeenState], claims: Vec<Claim>) -> Vec<(u64, u64, Role)> {
        merged_with_silence(states, claims, None)
    }

    fn merged_with_silence(
        states: &[SeenState],
        claims: Vec<Claim>,
        silent: Option<u64>,
    ) -> Vec<(u64, u64, Role)> {
        let lives = [(0, true), (49, false), (50, true)];
        let lives = lives.map(|(at, is_up)| Life { at: ms(at), server: 0, is_up });
        let known = merge(1, states.iter(), lives.iter(), claims, silent.map(ms));
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
        let heard = [(10, 3, true, false), (20, 4, false, false), (21, 3, true, true), (22, 3, false, true)];
        assert_eq!(known(&heard), [(10, 3, Role::Leader), (20, 4, Role::Other)]);
        let late = [(10, 3, true, false), (49, 4, true, true), (51, 3, true, true), (52, 4, false, true)];
        assert_eq!(known(&late), [(10, 3, Role::Leader), (52, 4, Role::Candidate)]);
        // A handler that began before the crash answers after the restart.
        let replies = vec![claim(60, 48, 7, Says::Term), claim(61, 50, 6, Says::Term)];
        assert_eq!(merged(&[], replies), [(61, 6, Role::Other)]);
    }

    #[test]
    fn replies_tell_who_follows() {
        let says = vec![
            claim(1, 1, 1, Says::Stands),
            claim(2, 2, 1, Says::Leads),
            claim(4, 3, 1, Says::Term),
            claim(5, 4, 2, Says::Follows),
            // A thread that has prepared a heartbeat before.
            claim(6, 6, 1, Says::Leads),
            claim(7, 7, 2, Says::Stands),
            claim(9, 9, 3, Says::Stands),
            claim(11, 10, 3, Says::Follows),
        ];
        let answers = [(3, 1, true), (8, 2, false), (12, 3, false)];
        let answers =
            answers.map(|(at, term, is_leader)| SeenState { at: ms(at), server: 0, term, is_leader });
        let told = [
            (1, 1, Role::Candidate),
            (2, 1, Role::Leader),
            (5, 2, Role::Follower),
            (9, 3, Role::Candidate),
            (11, 3, Role::Follower),
        ];
        assert_eq!(merged(&answers, says), told);
    }

    #[test]
    fn what_was_known_before_the_silence_is_news_after_it() {
        let says = [(1, Says::Stands), (2, Says::Leads), (5, Says::Leads), (6, Says::Leads), (7, Says::Term)];
        let says: Vec<Claim> = says.into_iter().map(|(at, says)| claim(at, at, 1, says)).collect();
        let before = [(1, 1, Role::Candidate), (2, 1, Role::Leader)];
        assert_eq!(merged(&[], says.clone()), before);
        assert_eq!(merged_with_silence(&[], says, Some(4)), [&before[..], &[(5, 1, Role::Leader)]].concat());
        // A reply says the term: the role of this term is still the same.
        let says =
            vec![claim(2, 2, 1, Says::Follows), claim(5, 5, 1, Says::Term), claim(6, 6, 1, Says::Term)];
        assert_eq!(merged_with_silence(&[], says, Some(4)), [(2, 1, Role::Follower), (5, 1, Role::Follower)]);
    }

    #[test]
    fn a_server_whose_new_term_was_heard_of_first_is_a_candidate_when_it_asks_for_votes() {
        let heard = [(10, 2, false, false), (11, 2, false, true), (20, 2, false, false)];
        assert_eq!(known(&heard), [(10, 2, Role::Other), (11, 2, Role::Candidate)]);
    }
}
