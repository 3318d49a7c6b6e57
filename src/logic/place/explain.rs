//! Why a container is where it is, in words.

use super::ground::Being;
use super::rooms::Known;
use super::{Outcome, Placer, Strategy};
use crate::record::{Action, Change, Container, Passed, Placement};

/// How many hosts of one reason are named.
const NAMED: usize = 5;

impl Placer {
    /// Why the change's container goes where it does; `had_host` tells whether it came with one.
    pub fn explain_change(
        &mut self,
        change: &Change,
        had_host: bool,
        outcome: &Outcome,
    ) -> Placement {
        let moved = change.why.iter().find(|why| why.field == "host");
        let from = moved.and_then(|why| why.from.as_ref()?.as_str().map(str::to_owned));
        let mut told = self.explain(&change.container, had_host, outcome);
        told.action = Some(change.action);
        let stays = change.action == Action::Keep || change.action.operates();
        if stays || had_host && change.container.docker.is_some() {
            told.why = told.why.map(|_| "it is there".to_owned());
        } else if change.action == Action::Replace && from.is_none() {
            told.why = told.why.map(|_| "it is made anew where it is".to_owned());
        }
        told.from = from;
        told
    }

    /// Why the container goes where it does.
    pub fn explain(
        &mut self,
        container: &Container,
        had_host: bool,
        outcome: &Outcome,
    ) -> Placement {
        let being = self.ground.being(container);
        self.ground.learn(&container.id, being);
        let host = container.host.as_ref().filter(|_| !matches!(outcome, Outcome::Failed(_)));
        let at = host.and_then(|host| self.ground.referred(host));
        let passed_over = self.passed_over(container, being, at);
        let fit =
            passed_over.iter().find(|passed| passed.why == self.beaten()).map_or(0, |p| p.count);
        let why = match at {
            Some(_) if had_host && container.docker.is_some() => "it is there".to_owned(),
            Some(_) if had_host => "it names the host".to_owned(),
            Some(at) => self.won(at, fit + 1),
            None => "the host is not in the list".to_owned(),
        };
        Placement {
            container: container.id.clone(),
            action: None,
            host: host.map(|host| host.id.clone()),
            from: None,
            why: host.map(|_| why),
            error: match outcome {
                Outcome::Failed(why) | Outcome::Told(why) => Some(why.to_string()),
                Outcome::Done | Outcome::Waits => None,
            },
            passed_over,
            rest: Default::default(),
        }
    }

    /// The hosts other than `at`, by what speaks against them; the most first.
    fn passed_over(&mut self, container: &Container, being: Being, at: Option<u32>) -> Vec<Passed> {
        // Whom it has to be with is not itself.
        let there = self.ground.lift(&container.id);
        let mut all: Vec<(Option<super::reason::Reason>, Vec<u32>)> = Vec::new();
        let mut known = std::collections::BTreeMap::new();
        for host in self.ground.in_order() {
            if Some(host) == at {
                continue;
            }
            let against = self.ground.against(&container.id, being, host);
            let next = all.len();
            let slot = *known.entry(against.clone()).or_insert(next);
            if slot == next {
                all.push((against, Vec::new()));
            }
            all[slot].1.push(host);
        }
        if let Some((host, being)) = there {
            self.ground.put(&container.id, being, host, Known::New);
        }
        all.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
        let name = |host: &u32| self.ground.hosts[*host as usize].id.clone();
        let passed = |(reason, hosts): (Option<super::reason::Reason>, Vec<u32>)| Passed {
            why: reason
                .map_or_else(|| self.beaten().to_owned(), |reason| reason.words(hosts.len())),
            count: hosts.len() as u64,
            hosts: hosts.iter().take(NAMED).map(name).collect(),
            rest: Default::default(),
        };
        all.into_iter().map(passed).collect()
    }

    /// Why a host was taken, of so many that fit.
    fn won(&self, host: u32, of: u64) -> String {
        let rooms = &self.ground.rooms;
        let percent = rooms.share(host as usize) * 100.0;
        let before = rooms.count(host as usize).saturating_sub(1);
        let fit = if of == 1 {
            "the only host that fits".to_owned()
        } else {
            format!("of {of} hosts that fit")
        };
        match self.how.strategy {
            _ if of == 1 => fit,
            Strategy::LeastBusy => format!("{before} containers before it, the fewest {fit}"),
            Strategy::Spread => format!("{percent:.1} % used with it, the smallest share {fit}"),
            Strategy::Binpack => format!("{percent:.1} % used with it, packed on the fewest {fit}"),
            Strategy::Random => format!("drawn {fit}"),
            Strategy::RoundRobin => format!("its turn {fit}"),
            Strategy::Fixed => "it was there".to_owned(),
        }
    }

    /// What is said of a host that would do.
    fn beaten(&self) -> &'static str {
        match self.how.strategy {
            Strategy::LeastBusy => "fit, with as many containers or more",
            Strategy::Spread => "fit, with as large a share used or a larger one",
            Strategy::Binpack => "fit, and are not needed",
            Strategy::Random => "fit, and were not drawn",
            Strategy::RoundRobin => "fit, and have their turn later",
            Strategy::Fixed => "fit, and are not named",
        }
    }
}
