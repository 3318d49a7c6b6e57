//! Which of the managers of one swarm lists it: the first of the hosts that can.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::adapter::docker::swarm::SwarmId;

/// How it stands with the hosts of one listing, each by its number.
pub(super) struct Turns {
    standing: Mutex<Vec<Standing>>,
    changed: Condvar,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It has yet to say which swarm it is of.
    Asked,
    /// It lists this swarm, or waits whether it has to.
    Of(SwarmId),
    /// It has listed this swarm.
    Listed(SwarmId),
    /// It lists nothing that another host waits for: it could not, had not to, or is of no swarm that
    /// is known.
    Aside(Option<SwarmId>),
}

/// One host's part. When this is gone, the host lists nothing any more.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    at: usize,
}

impl Turns {
    /// For so many hosts.
    pub(super) fn new(hosts: usize) -> Turns {
        Turns { standing: Mutex::new(vec![Standing::Asked; hosts]), changed: Condvar::new() }
    }

    pub(super) fn of(&self, at: usize) -> Turn<'_> {
        Turn { turns: self, at }
    }

    /// Whether what the host should have listed was listed by another manager of its swarm.
    pub(super) fn is_made_up_for(&self, at: usize) -> bool {
        let standing = self.standing();
        let Standing::Aside(Some(swarm)) = &standing[at] else { return false };
        is_listed(&standing, swarm)
    }

    fn standing(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The host is of that swarm, or of none that is known: whether it has to list. Waits until all
    /// ahead of it have said the same or have failed, and until those of the same swarm are done.
    pub(super) fn comes(&self, swarm: Option<SwarmId>) -> bool {
        let Some(swarm) = swarm else {
            self.stands(Standing::Aside(None));
            return true;
        };
        self.stands(Standing::Of(swarm.clone()));
        let mut standing = self.turns.standing();
        loop {
            if let Some(comes) = comes(&standing, self.at, &swarm) {
                return comes;
            }
            standing = self.turns.changed.wait(standing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// It has listed all that its swarm has.
    pub(super) fn listed(self) {
        let swarm = match &self.turns.standing()[self.at] {
            Standing::Of(swarm) => swarm.clone(),
            _ => return,
        };
        self.stands(Standing::Listed(swarm));
    }

    fn stands(&self, standing: Standing) {
        self.turns.standing()[self.at] = standing;
        self.turns.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let swarm = match &self.turns.standing()[self.at] {
            Standing::Asked => None,
            Standing::Of(swarm) => Some(swarm.clone()),
            Standing::Listed(_) | Standing::Aside(_) => return,
        };
        self.stands(Standing::Aside(swarm));
    }
}

/// Whether the host at that place has to list its swarm; nothing while that depends on others.
fn comes(standing: &[Standing], at: usize, swarm: &SwarmId) -> Option<bool> {
    if is_listed(standing, swarm) {
        return Some(false);
    }
    let may_list = |ahead: &Standing| match ahead {
        Standing::Asked => true,
        Standing::Of(theirs) => theirs == swarm,
        Standing::Listed(_) | Standing::Aside(_) => false,
    };
    (!standing[..at].iter().any(may_list)).then_some(true)
}

fn is_listed(standing: &[Standing], swarm: &SwarmId) -> bool {
    standing.iter().any(|one| matches!(one, Standing::Listed(theirs) if theirs == swarm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    fn swarm(id: &str) -> Option<SwarmId> {
        Some(SwarmId::new(id))
    }

    #[test]
    fn the_first_of_a_swarm_lists_and_the_others_need_not() {
        let turns = Turns::new(5);
        let of = |at, id: &str| {
            let turn = turns.of(at);
            let comes = turn.comes(swarm(id));
            if comes {
                turn.listed();
            }
            comes
        };
        assert_eq!([of(0, "a"), of(1, "a"), of(2, "b"), of(3, "a")], [true, false, true, false]);
        assert!(turns.of(4).comes(None));
        assert!(turns.is_made_up_for(3));
        // It listed itself, and what it failed to tell nobody has told.
        assert!(!turns.is_made_up_for(0) && !turns.is_made_up_for(4));
    }

    #[test]
    fn who_waits_takes_over_from_one_that_fails() {
        let turns = Turns::new(4);
        let listed = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (at, fails) in [(3, false), (2, false), (1, true), (0, true)] {
                let (turns, listed) = (&turns, &listed);
                scope.spawn(move || {
                    let turn = turns.of(at);
                    // Who comes first is to wait.
                    thread::sleep(Duration::from_millis(10 * (3 - at as u64)));
                    // The first fails before it has said which swarm it is of.
                    if at > 0 && turn.comes(swarm("a")) {
                        listed.lock().unwrap().push(at);
                        if !fails {
                            turn.listed();
                        }
                    }
                });
            }
        });
        assert_eq!(listed.into_inner().unwrap(), [1, 2]);
        let made_up_for = [0, 1, 2, 3].map(|at| turns.is_made_up_for(at));
        assert_eq!(made_up_for, [false, true, false, true]);
    }
}
