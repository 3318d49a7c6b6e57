//! Containers that go to one host together: those of one private network, and those that must be
//! with each other.

use std::collections::HashMap;

use super::Placer;
use super::ground::{Being, Ground};
use super::needs::Company;
use super::reason::{Reason, nowhere};
use super::rooms::Known;
use super::waiting::{Errand, Waiting, went};
use super::{Strategy, Verdict};
use crate::error::{Error, Kind};
use crate::record::{Affinity, ContainerId, Peer};

/// A container that is to be on the same host as others.
type Member = (ContainerId, Being);

/// Those that wait, by their names: places in the list.
type Names = HashMap<ContainerId, usize>;

impl Placer {
    /// Chooses for one after the other; each round for those whose company is there by then. Those
    /// of a private network that is nowhere yet go where all of them fit, if there is such a host.
    pub(super) fn decide_in_turn(&mut self, waiting: &mut [Waiting], mut open: Vec<usize>) {
        let mut networks: HashMap<u32, Vec<usize>> = HashMap::new();
        for at in &open {
            let Waiting { id, being, .. } = &waiting[*at];
            self.ground.learn(id, *being);
            if being.traits.network != 0 {
                networks.entry(being.traits.network).or_default().push(*at);
            }
        }
        while self.decide_ready(waiting, &networks, &open)
            || self.decide_circles(waiting, &open)
            || self.decide_rest(waiting, &open)
        {
            open.retain(|at| waiting[*at].verdict.is_none());
        }
        for at in open {
            let Waiting { id, being, errand, .. } = waiting[at].clone();
            waiting[at].verdict = Some(self.nowhere(&id, being, errand));
            if errand == Errand::New {
                self.alone.insert(id, being);
            }
        }
    }

    /// Decides for those whose company is there, and for whom the company of those is there that are in
    /// the same private network; whether there were any.
    fn decide_ready(
        &mut self,
        waiting: &mut [Waiting],
        networks: &HashMap<u32, Vec<usize>>,
        open: &[usize],
    ) -> bool {
        let mut any = false;
        for at in open {
            let being = waiting[*at].being;
            let mut party = vec![*at];
            if self.ground.network(being).is_none() {
                let all = networks.get(&being.traits.network).into_iter().flatten().copied();
                party.extend(all.filter(|other| other != at));
            }
            party.retain(|at| waiting[*at].verdict.is_none());
            let lacks =
                |at: &usize| self.ground.lacks_company(&waiting[*at].id, waiting[*at].being);
            if party.is_empty() || waiting[*at].verdict.is_some() || party.iter().any(lacks) {
                continue;
            }
            any = true;
            if party.len() == 1 || self.seat(waiting, &party).is_err() {
                party.into_iter().for_each(|at| self.decide_one(&mut waiting[at]));
            }
        }
        any
    }

    /// Decides for those that wait for each other, for all of them or for none; whether there were
    /// any.
    fn decide_circles(&mut self, waiting: &mut [Waiting], open: &[usize]) -> bool {
        let can_come =
            |one: &Waiting| one.verdict.is_none() && !matches!(one.errand, Errand::Kept { .. });
        let named = waiting.iter().enumerate().filter(|(_, one)| can_come(one));
        let names: Names = named.map(|(at, one)| (one.id.clone(), at)).collect();
        let mut any = false;
        for at in open {
            if waiting[*at].verdict.is_some() {
                continue;
            }
            let Some(party) = self.ground.circle(waiting, &names, *at) else { continue };
            any = true;
            let Err(why) = self.seat(waiting, &party) else { continue };
            // Whom it waits for, without being waited for, is not refused for its sake.
            let needs_it = |other: &usize| {
                let circle = self.ground.circle(waiting, &names, *other);
                circle.is_some_and(|circle| circle.contains(at))
            };
            let bound: Vec<usize> = party.iter().copied().filter(needs_it).collect();
            for one in bound {
                let why = why.clone().at(with_whom(waiting, &party, one));
                waiting[one].verdict = Some(self.refused(waiting[one].errand, why));
            }
        }
        any
    }

    /// Decides for those who lack nobody themselves; whether there were any.
    fn decide_rest(&mut self, waiting: &mut [Waiting], open: &[usize]) -> bool {
        let mut any = false;
        for at in open {
            let one = &mut waiting[*at];
            if !self.ground.lacks_company(&one.id, one.being) {
                self.decide_one(one);
                any = true;
            }
        }
        any
    }

    fn decide_one(&mut self, one: &mut Waiting) {
        one.verdict = Some(self.decide(&one.id, one.being, one.errand));
    }

    /// Puts them on one host.
    fn seat(&mut self, waiting: &mut [Waiting], party: &[usize]) -> Result<(), Error> {
        let member = |at: &usize| (waiting[*at].id.clone(), waiting[*at].being);
        let members: Vec<Member> = party.iter().map(member).collect();
        let were: Vec<_> = members.iter().map(|(id, _)| self.ground.lift(id)).collect();
        match self.gather(&members) {
            Ok(host) => {
                for at in party {
                    waiting[*at].verdict = Some(went(waiting[*at].errand, host));
                }
                Ok(())
            }
            Err(why) => {
                for ((id, _), was) in members.iter().zip(were) {
                    if let Some((host, being)) = was {
                        self.ground.put(id, being, host, Known::New);
                    }
                }
                Err(why)
            }
        }
    }

    /// Decides for one that is new behind the listing, and whose company is nowhere. If that has come
    /// before, and waits for this one, it is asked for again, and finds this one there.
    pub(super) fn decide_alone(&mut self, id: &ContainerId, being: Being) -> Verdict {
        self.ground.learn(id, being);
        let others = self.alone.iter().map(|(id, being)| Waiting::new(id, *being, Errand::New));
        let mut waiting: Vec<Waiting> = others.collect();
        waiting.push(Waiting::new(id, being, Errand::New));
        let named = waiting.iter().enumerate();
        let names: Names = named.map(|(at, one)| (one.id.clone(), at)).collect();
        let at = waiting.len() - 1;
        let verdict = match self.ground.circle(&waiting, &names, at) {
            None => self.nowhere(id, being, Errand::New),
            Some(party) => match self.seat(&mut waiting, &party) {
                Ok(()) => {
                    for other in party.iter().filter(|other| **other != at) {
                        self.ground.lift(&waiting[*other].id);
                    }
                    waiting.swap_remove(at).verdict.expect("it has a seat")
                }
                Err(why) => self.refused(Errand::New, why.at(with_whom(&waiting, &party, at))),
            },
        };
        if matches!(verdict, Verdict::Nowhere(_)) {
            self.alone.insert(id.clone(), being);
        }
        verdict
    }

    /// Finds a host where all of these fit at once, which are nowhere, and puts them there.
    fn gather(&mut self, members: &[Member]) -> Result<u32, Error> {
        if self.how.strategy == Strategy::Fixed {
            return Err(self.unnamed());
        }
        if let Some(why) = self.ground.quarrel(members) {
            return Err(Error::new(Kind::Unavailable, "no host fits").why(why));
        }
        let beings: Vec<Being> = members.iter().map(|(_, being)| *being).collect();
        let company = self.ground.company_of_all(members);
        let all = self.ground.together(&beings, company);
        let first = &members[0].0;
        self.ground.learn(first, all);
        let closed = self.ground.closed.clone();
        let mut against = Vec::new();
        let chosen = loop {
            let Some(host) = self.ground.choose(first, all, &mut self.random) else { break None };
            match self.ground.place_all(members, host) {
                None => break Some(host),
                Some(reason) => against.push(reason),
            }
            self.ground.closed.insert(host);
        };
        self.ground.closed = closed;
        let Some(host) = chosen else {
            let mut reasons = self.ground.reasons(first, all);
            against.into_iter().for_each(|reason| *reasons.entry(reason).or_insert(0) += 1);
            return Err(nowhere(&reasons));
        };
        members.iter().for_each(|_| self.ground.chosen(host));
        Ok(host)
    }
}

impl Ground {
    /// All that have to be where this one is and are nowhere yet, itself first; nothing when some of
    /// them do not wait.
    fn circle(&self, waiting: &[Waiting], names: &Names, at: usize) -> Option<Vec<usize>> {
        let mut party = vec![at];
        let mut next = 0;
        while let Some(at) = party.get(next).copied() {
            let Waiting { id, being, .. } = &waiting[at];
            for peer in self.missed(id, *being) {
                let is_one = |at: usize| {
                    let Waiting { id, being, .. } = &waiting[at];
                    self.neighbours.is_one(peer, id, being.traits)
                };
                if !party.iter().any(|at| is_one(*at)) {
                    let found = match peer {
                        Peer::Container(id) => names.get(id).copied(),
                        _ => names.values().copied().filter(|at| is_one(*at)).min(),
                    };
                    party.push(found.filter(|at| waiting[*at].verdict.is_none())?);
                }
            }
            if being.traits.network != 0 && self.network(*being).is_none() {
                let same = |at: &usize| {
                    waiting[*at].being.traits.network == being.traits.network
                        && waiting[*at].verdict.is_none()
                        && !party.contains(at)
                };
                let mut others: Vec<usize> = names.values().copied().filter(same).collect();
                others.sort_unstable();
                party.extend(others);
            }
            next += 1;
        }
        Some(party)
    }

    /// Why these cannot be together anywhere.
    fn quarrel(&self, members: &[Member]) -> Option<String> {
        for (at, (id, being)) in members.iter().enumerate() {
            let hard = |affinity: &&Affinity| affinity.hard;
            for (other_at, (other, of)) in members.iter().enumerate() {
                let company = self.company(*of);
                let refuses = |to: &Affinity| self.neighbours.is_one(&to.to, id, being.traits);
                if at != other_at && company.without.iter().filter(hard).any(refuses) {
                    return Some(format!("{other} must not be with {id}, and must be"));
                }
                let ports = self.needs.ports(self.need(*of));
                let own = self.needs.ports(self.need(*being));
                let both = |slot: &&super::ports::Slot| own.iter().any(|own| own.clashes(slot));
                if let Some(slot) = ports.iter().find(both).filter(|_| at < other_at) {
                    return Some(format!("{id} and {other} both want port {slot} of it"));
                }
            }
        }
        None
    }

    /// What these ask of others, once they are together.
    fn company_of_all(&self, members: &[Member]) -> Company {
        let spread = self.company(members[0].1).spread;
        let mut all = Company { spread, ..Company::default() };
        for (at, (id, being)) in members.iter().enumerate() {
            let company = self.company(*being);
            let brought = |peer: &Peer| {
                members.iter().enumerate().any(|(other, (id, being))| {
                    other != at && self.neighbours.is_one(peer, id, being.traits)
                })
            };
            let goes_anywhere = |peer: &Peer| {
                self.neighbours.is_one(peer, id, being.traits)
                    && !self.is_any_open(peer, &self.peers(peer))
            };
            let met = |to: &Peer| brought(to) || goes_anywhere(to);
            all.with.extend(company.with.iter().filter(|to| !to.hard || !met(&to.to)).cloned());
            all.without.extend_from_slice(&company.without);
        }
        all
    }

    /// Puts all on the host, if they fit there together; otherwise none, and what speaks against it.
    fn place_all(&mut self, members: &[Member], host: u32) -> Option<Reason> {
        for (id, being) in members {
            self.add(id, *being, host, Known::New);
        }
        let against = members.iter().find_map(|(id, being)| {
            self.lift(id);
            let against = self.against(id, *being, host);
            self.add(id, *being, host, Known::New);
            against
        });
        if against.is_some() {
            for (id, _) in members {
                self.lift(id);
            }
        }
        against
    }
}

/// Whom one of the party has to be with.
fn with_whom(waiting: &[Waiting], party: &[usize], at: usize) -> String {
    let others = party.iter().filter(|other| **other != at);
    let others: Vec<&str> = others.map(|other| waiting[*other].id.as_str()).collect();
    format!("it must be with {}", others.join(", "))
}
