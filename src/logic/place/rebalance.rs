//! Moves of containers that could stay, to where they are better placed.
//!
//! A host that something leaves takes nothing in the same round: whoever carries the moves out may
//! do so in any order, and no host is ever asked for more than it has.

use std::collections::BTreeMap;

use super::rooms::Known;
use super::waiting::{Errand, Waiting};
use super::{Placer, Strategy, Verdict};

/// The containers that may be moved, by their host: places in the list of those that wait.
type Kept = BTreeMap<u32, Vec<usize>>;

/// How many containers are looked at for one that is moved.
const TRIES: usize = 50;

impl Placer {
    /// Moves at most so many, the most useful moves first.
    pub(super) fn rebalance(&mut self, waiting: &mut [Waiting], moves: usize) {
        let mut kept = Kept::new();
        for (at, one) in waiting.iter().enumerate() {
            if let (Errand::Kept { on }, None) = (one.errand, &one.verdict) {
                kept.entry(on).or_default().push(at);
            }
        }
        let mut left = moves;
        self.mend(waiting, &mut kept, &mut left);
        match self.how.strategy {
            Strategy::LeastBusy | Strategy::Spread => self.level(waiting, kept, left),
            Strategy::Binpack => self.empty(waiting, kept, left),
            Strategy::Random | Strategy::RoundRobin | Strategy::Fixed => (),
        }
        self.ground.closed.clear();
        self.ground.received.clear();
    }

    /// Moves containers away from hosts that are not fit for them any more.
    fn mend(&mut self, waiting: &mut [Waiting], kept: &mut Kept, left: &mut usize) {
        for (host, list) in kept {
            list.retain(|at| {
                let one = &mut waiting[*at];
                self.ground.learn(&one.id, one.being);
                self.ground.lift(&one.id);
                let fits = self.ground.fits(&one.id, one.being, *host);
                self.ground.put(&one.id, one.being, *host, Known::New);
                if fits || *left == 0 {
                    return true;
                }
                let moved = self.move_if(one, *host, |_, _| true);
                *left -= usize::from(moved);
                !moved
            });
        }
    }

    /// Moves containers from the hosts with the most on them to those with the least.
    fn level(&mut self, waiting: &mut [Waiting], mut kept: Kept, mut left: usize) {
        let ground = &self.ground;
        let size = |at: &usize| ground.rooms.most(&ground.need(waiting[*at].being).demand);
        kept.retain(|host, _| !ground.received.contains(host));
        for list in kept.values_mut() {
            list.sort_by(|a, b| size(a).total_cmp(&size(b)).then(b.cmp(a)));
        }
        for _ in 0..left.saturating_mul(TRIES) {
            if left == 0 {
                return;
            }
            let load = |(host, _): &(&u32, &Vec<usize>)| self.load(**host);
            let by_load = |a: &(&u32, &Vec<usize>), b: &(&u32, &Vec<usize>)| {
                load(a).total_cmp(&load(b)).then(b.0.cmp(a.0))
            };
            let busiest = kept.iter().filter(|(_, list)| !list.is_empty()).max_by(by_load);
            let Some(host) = busiest.map(|(host, _)| *host) else { return };
            let Some(at) = kept.get_mut(&host).and_then(Vec::pop) else { return };
            let before = self.load(host);
            let one = &mut waiting[at];
            let moved = self.move_if(one, host, |placer, to| placer.load(to) < before);
            left -= usize::from(moved);
        }
    }

    /// Empties hosts, those with the fewest containers first.
    fn empty(&mut self, waiting: &mut [Waiting], kept: Kept, mut left: usize) {
        let mut hosts: Vec<(usize, u32)> =
            kept.iter().map(|(host, list)| (list.len(), *host)).collect();
        hosts.sort_unstable();
        for (count, host) in hosts {
            let all = self.ground.rooms.count(host as usize) == count as u64;
            if !all || count > left || self.ground.received.contains(&host) {
                continue;
            }
            self.ground.closed.insert(host);
            let received = self.ground.received.clone();
            let mut moved: Vec<usize> = Vec::new();
            for at in &kept[&host] {
                let used = |placer: &Placer, to: u32| placer.ground.rooms.count(to as usize) > 1;
                if !self.move_if(&mut waiting[*at], host, used) {
                    break;
                }
                moved.push(*at);
            }
            if moved.len() == count {
                left -= count;
                continue;
            }
            for at in moved {
                let one = &mut waiting[at];
                one.verdict = None;
                self.ground.put(&one.id, one.being, host, Known::New);
            }
            self.ground.closed.remove(&host);
            self.ground.received = received;
        }
    }

    /// Moves a container if it then is as it should be, and otherwise leaves it.
    fn move_if(
        &mut self,
        one: &mut Waiting,
        from: u32,
        good: impl Fn(&Placer, u32) -> bool,
    ) -> bool {
        self.ground.learn(&one.id, one.being);
        self.ground.lift(&one.id);
        let was_closed = !self.ground.closed.insert(from);
        let to = self.ground.choose(&one.id, one.being, &mut self.random);
        if let Some(to) = to {
            self.ground.put(&one.id, one.being, to, Known::New);
            if good(self, to) {
                self.ground.received.insert(to);
                one.verdict = Some(Verdict::Moves { from, to });
                return true;
            }
        }
        self.ground.put(&one.id, one.being, from, Known::New);
        if !was_closed {
            self.ground.closed.remove(&from);
        }
        false
    }

    /// How much is on the host, by the strategy.
    fn load(&self, host: u32) -> f64 {
        match self.how.strategy {
            Strategy::Spread => self.ground.rooms.share(host as usize),
            _ => self.ground.rooms.count(host as usize) as f64,
        }
    }
}
