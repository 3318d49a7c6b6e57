//! The best host that has room, without looking at all of them.
//!
//! A tournament over the hosts in their order: every node knows the best key below it, and of each
//! resource the most that is free on any host below it. A search goes down only where something
//! better than what it has may have room.

use std::ops::Range;

/// How good a host is; the smallest is the best.
pub(super) type Key = u128;

/// Hosts with a key and what is free on them.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// How many leaves there are, a power of two.
    leaves: usize,
    /// How many resources are counted.
    width: usize,
    keys: Vec<Key>,
    free: Vec<u64>,
}

/// What is looked for, and the best that was found.
struct Search<'a, F> {
    within: Range<usize>,
    demand: &'a [u64],
    suits: F,
    best: Option<usize>,
    key: Key,
}

impl Tree {
    /// A tree of so many hosts, none of which can be found before it is [`Tree::set`].
    pub(super) fn new(hosts: usize, width: usize) -> Tree {
        let leaves = hosts.next_power_of_two();
        let nodes = leaves * 2;
        Tree { leaves, width, keys: vec![Key::MAX; nodes], free: vec![0; nodes * width] }
    }

    /// Tells how good the host is now and what is free on it.
    pub(super) fn set(&mut self, host: usize, key: Key, free: &[u64]) {
        let mut node = self.leaves + host;
        self.keys[node] = key;
        self.free[node * self.width..][..self.width].copy_from_slice(free);
        while node > 1 {
            node /= 2;
            if !self.sum_up(node) {
                return;
            }
        }
    }

    /// Learns what is below the node from its two children; whether that is news.
    fn sum_up(&mut self, node: usize) -> bool {
        let (left, right) = (node * 2, node * 2 + 1);
        let key = self.keys[left].min(self.keys[right]);
        let mut news = self.keys[node] != key;
        self.keys[node] = key;
        let width = self.width;
        let (above, below) = self.free.split_at_mut(left * width);
        let above = &mut above[node * width..][..width];
        for (at, most) in above.iter_mut().enumerate() {
            let now = below[at].max(below[width + at]);
            news |= *most != now;
            *most = now;
        }
        news
    }

    /// The best host in these ranges on which that much is free and that suits.
    pub(super) fn best(
        &self,
        ranges: &[Range<usize>],
        demand: &[u64],
        suits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let mut search = Search { within: 0..0, demand, suits, best: None, key: Key::MAX };
        for range in ranges {
            search.within = range.clone();
            self.visit(1, 0, self.leaves, &mut search);
        }
        search.best
    }

    fn visit<F: FnMut(usize) -> bool>(
        &self,
        node: usize,
        first: usize,
        len: usize,
        search: &mut Search<F>,
    ) {
        if self.keys[node] >= search.key
            || first >= search.within.end
            || first + len <= search.within.start
            || !self.has(node, search.demand)
        {
            return;
        }
        if len == 1 {
            if (search.suits)(first) {
                (search.best, search.key) = (Some(first), self.keys[node]);
            }
            return;
        }
        let half = len / 2;
        let (left, right) = (node * 2, node * 2 + 1);
        if self.keys[left] <= self.keys[right] {
            self.visit(left, first, half, search);
            self.visit(right, first + half, half, search);
        } else {
            self.visit(right, first + half, half, search);
            self.visit(left, first, half, search);
        }
    }

    fn has(&self, node: usize, demand: &[u64]) -> bool {
        let free = &self.free[node * self.width..][..self.width];
        free.iter().zip(demand).all(|(free, demand)| free >= demand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn it_finds_what_a_look_at_every_host_finds() {
        let mut random = Random::seeded(5);
        for hosts in [1, 2, 7, 64, 100] {
            let mut tree = Tree::new(hosts, 2);
            let mut plain = vec![(Key::MAX, [0; 2]); hosts];
            for _ in 0..500 {
                let (host, key) = (random.below(hosts), random.below(50) as Key);
                let free = [random.below(10) as u64, random.below(10) as u64];
                tree.set(host, key, &free);
                plain[host] = (key, free);
                let demand = [random.below(10) as u64, random.below(10) as u64];
                let start = random.below(hosts + 1);
                let range = start..start + random.below(hosts + 1 - start);
                let odd = |host: &usize| !host.is_multiple_of(3);
                let fits = |host: &usize| {
                    let (key, free) = plain[*host];
                    key < Key::MAX && free[0] >= demand[0] && free[1] >= demand[1]
                };
                let want = range.clone().filter(odd).filter(fits).map(|host| plain[host].0).min();
                let found = tree.best(&[range], &demand, |host| odd(&host));
                assert_eq!(found.map(|host| plain[host].0), want);
                assert!(found.iter().all(odd) && found.iter().all(fits));
            }
        }
    }
}
