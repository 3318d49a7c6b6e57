//! Many containers on few hosts: vector bin packing.
//!
//! Numbers only. There is no fast way to the best packing, so several are made, and the one that
//! needs the fewest hosts is taken. How much is tried depends on the size of the problem and on
//! nothing else, so the same input has the same answer on every machine.

mod exchange;
mod fill;
mod first_fit;
mod group;
mod pool;

use std::ops::Range;

/// What is to be packed into what. Amounts are in one unit for each resource.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// How many resources there are.
    pub(super) width: usize,
    /// What is free in each bin, bin after bin; `u64::MAX` where it is not counted.
    pub(super) free: Vec<u64>,
    /// Whether a bin is in use already.
    pub(super) open: Vec<bool>,
    /// What an item of each kind takes, kind after kind.
    pub(super) demand: Vec<u64>,
    /// How many items there are of each kind.
    pub(super) count: Vec<u32>,
    /// The class of bins that each kind can go to.
    pub(super) class: Vec<u32>,
    /// The bins of each class.
    pub(super) classes: Vec<Vec<Range<usize>>>,
}

/// For each kind the bins that its items go to, with how many. Items that are missing fit nowhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Packing {
    pub(super) to: Vec<Vec<(u32, u32)>>,
    /// How many bins came into use.
    pub(super) opened: usize,
    /// How many items fit nowhere.
    pub(super) left: u64,
}

impl Problem {
    pub(super) fn bins(&self) -> usize {
        self.open.len()
    }

    pub(super) fn kinds(&self) -> usize {
        self.count.len()
    }

    /// How many items there are in all.
    fn items(&self) -> u64 {
        self.count.iter().map(|count| u64::from(*count)).sum()
    }

    /// How much of a resource is asked for in all.
    fn asked(&self, resource: usize) -> f64 {
        let demand = self.demand.iter().skip(resource).step_by(self.width.max(1));
        demand.zip(&self.count).map(|(demand, count)| *demand as f64 * f64::from(*count)).sum()
    }

    fn demand_of(&self, kind: usize) -> &[u64] {
        &self.demand[kind * self.width..][..self.width]
    }

    fn free_of(&self, bin: usize) -> &[u64] {
        &self.free[bin * self.width..][..self.width]
    }

    /// For each class which bins are of it.
    fn members(&self) -> Vec<Vec<bool>> {
        let mut members = vec![vec![false; self.bins()]; self.classes.len()];
        for (members, ranges) in members.iter_mut().zip(&self.classes) {
            ranges.iter().flat_map(Clone::clone).for_each(|bin| members[bin] = true);
        }
        members
    }

    /// One over the most that is free of each resource in a bin; 0 where no bin counts it.
    fn scale(&self) -> Vec<f64> {
        let most = |r: usize| {
            let all = self.free.iter().skip(r).step_by(self.width.max(1));
            all.filter(|free| **free < u64::MAX).max().copied().unwrap_or(0)
        };
        (0..self.width).map(most).map(|m| if m == 0 { 0.0 } else { 1.0 / m as f64 }).collect()
    }

    /// The bins in the order in which they are used: those in use first, then the large ones.
    fn order(&self) -> Vec<u32> {
        let scale = self.scale();
        let size = |bin: usize| -> f64 {
            let share = |(free, scale): (&u64, &f64)| match *free {
                u64::MAX => 1.0,
                free => free as f64 * scale,
            };
            self.free_of(bin).iter().zip(&scale).map(share).sum()
        };
        let mut keyed: Vec<(bool, f64, u32)> =
            (0..self.bins()).map(|bin| (!self.open[bin], -size(bin), bin as u32)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        keyed.into_iter().map(|(_, _, bin)| bin).collect()
    }

    /// The fewest bins that hold everything, were items cut at will and all bins as large as the
    /// largest; what is free in bins that are in use costs nothing.
    pub(super) fn bound(&self) -> usize {
        let scale = self.scale();
        let need = |r: usize| -> f64 {
            let there = (0..self.bins()).filter(|bin| self.open[*bin]);
            let there: f64 = there.map(|bin| self.free_of(bin)[r] as f64).sum();
            (self.asked(r) - there).max(0.0) * scale[r]
        };
        (0..self.width).map(|r| (need(r) - 1e-9).ceil() as usize).max().unwrap_or(0)
    }
}

impl Packing {
    /// Puts so many items of a kind into a bin.
    fn put(&mut self, kind: usize, bin: u32, count: u32) {
        match self.to[kind].last_mut() {
            Some((last, there)) if *last == bin => *there += count,
            _ => self.to[kind].push((bin, count)),
        }
    }
}

/// Beyond so many items first fit, which looks at every bin for each of them, is not tried.
const MANY: u64 = 20_000;

/// Packs everything into as few bins as it can find.
pub(super) fn pack(problem: &Problem) -> Packing {
    let order = problem.order();
    if problem.width == 0 {
        return first_fit::pack(problem, &order, true);
    }
    let bound = problem.bound();
    let mut best: Option<Packing> = None;
    let better = |best: &Option<Packing>, other: &Packing| match best {
        None => true,
        Some(best) => (other.left, other.opened) < (best.left, best.opened),
    };
    let is_best = |best: &Option<Packing>| match best {
        None => false,
        Some(best) => best.left == 0 && best.opened <= bound,
    };
    for way in fill::ways(problem) {
        if !is_best(&best) {
            let other = fill::pack(problem, &order, way);
            best = if better(&best, &other) { Some(other) } else { best };
        }
    }
    let is_small = problem.items() <= MANY;
    // With one class the two are the same.
    for narrow_first in [true, false].into_iter().take(problem.classes.len().max(1)) {
        let has_left = best.as_ref().is_none_or(|best| best.left > 0);
        if has_left && narrow_first || is_small && !is_best(&best) {
            let other = first_fit::pack(problem, &order, narrow_first);
            best = if better(&best, &other) { Some(other) } else { best };
        }
    }
    let best = best.unwrap_or_default();
    if best.left > 0 || best.opened <= bound || !is_small {
        return best;
    }
    exchange::improve(problem, best, bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    pub(super) fn random(seed: u64) -> Problem {
        let mut random = Random::seeded(seed);
        let (width, bins, kinds) = (random.below(4), 1 + random.below(12), 1 + random.below(20));
        let mut numbers = |count: usize, below: usize| -> Vec<u64> {
            (0..count).map(|_| random.below(below) as u64).collect()
        };
        let free = numbers(bins * width, 200);
        let count: Vec<u32> = numbers(kinds, 6).into_iter().map(|n| n as u32).collect();
        Problem {
            width,
            free: free.into_iter().map(|f| if f == 7 { u64::MAX } else { f }).collect(),
            open: numbers(bins, 2).into_iter().map(|open| open == 1).collect(),
            demand: numbers(kinds * width, 90),
            class: numbers(kinds, 2).into_iter().map(|class| class as u32).collect(),
            classes: vec![vec![0..bins], vec![bins / 3..bins / 2, bins / 2..bins]],
            count,
        }
    }

    /// Panics if something is where it has no room or may not go, or is not counted right.
    pub(super) fn check(problem: &Problem, packing: &Packing) {
        let mut free = problem.free.clone();
        let mut used = problem.open.clone();
        let mut left = problem.items();
        for (kind, to) in packing.to.iter().enumerate() {
            assert!(to.iter().map(|(_, count)| count).sum::<u32>() <= problem.count[kind]);
            for (bin, count) in to {
                let bin = *bin as usize;
                let ranges = &problem.classes[problem.class[kind] as usize];
                assert!(ranges.iter().any(|range| range.contains(&bin)), "it may go there");
                for r in 0..problem.width {
                    let free = &mut free[bin * problem.width + r];
                    let taken = problem.demand_of(kind)[r] * u64::from(*count);
                    if *free < u64::MAX {
                        *free = free.checked_sub(taken).expect("there is room");
                    }
                }
                used[bin] = true;
                left -= u64::from(*count);
            }
        }
        let opened = (0..problem.bins()).filter(|bin| used[*bin] && !problem.open[*bin]);
        assert_eq!((packing.left, packing.opened), (left, opened.count()));
    }

    #[test]
    fn nothing_is_packed_where_it_has_no_room_or_may_not_go() {
        for seed in 0..500 {
            let problem = random(seed);
            let packing = pack(&problem);
            check(&problem, &packing);
            assert_eq!(packing, pack(&problem), "the same again");
        }
    }

    /// One range.
    pub(super) fn one(range: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(range).collect()
    }

    /// As many bins, and items of one kind each; the first class is all of the bins.
    pub(super) fn plain(width: usize, bins: usize, whole: u64, demand: Vec<u64>) -> Problem {
        let items = demand.len() / width;
        Problem {
            width,
            free: vec![whole; width * bins],
            open: vec![false; bins],
            demand,
            count: vec![1; items],
            class: vec![0; items],
            classes: vec![vec![0..bins]],
        }
    }

    /// What the parts take when so many full bins are cut into so many nearly equal parts each.
    pub(super) fn even(random: &mut Random, width: usize, bins: usize, parts: usize) -> Vec<u64> {
        let mut demand = vec![0; bins * parts * width];
        for cut in demand.chunks_mut(parts * width) {
            for r in 0..width {
                let weights: Vec<u64> =
                    (0..parts).map(|_| 300 + random.below(1000) as u64).collect();
                let all = weights.iter().sum::<u64>();
                for (part, weight) in cut.chunks_mut(width).zip(weights) {
                    part[r] = weight * 10_000 / all;
                }
            }
        }
        demand
    }

    #[test]
    fn where_few_items_fill_a_bin_it_takes_few_bins_more_than_the_bound() {
        let mut random = Random::seeded(17);
        for (width, parts) in [(2, 3), (3, 5)] {
            let demand = even(&mut random, width, 100, parts);
            let problem = plain(width, 100 * parts, 10_000, demand);
            let packing = pack(&problem);
            check(&problem, &packing);
            assert_eq!(packing.left, 0);
            let opened = packing.opened;
            assert!(opened * 100 <= problem.bound() * 103, "{width} {parts} {opened}");
        }
    }

    #[test]
    fn what_may_go_anywhere_leaves_room_for_what_may_not() {
        let mut random = Random::seeded(2);
        let (zones, bins) = (4, 40);
        let demand = even(&mut random, 2, zones * bins / 2, 3);
        let mut problem = plain(2, zones * bins, 10_000, demand);
        problem.class = (0..problem.count.len()).map(|kind| (kind / 2 % zones) as u32).collect();
        (0..problem.count.len()).step_by(2).for_each(|kind| problem.class[kind] = zones as u32);
        problem.classes = (0..zones).map(|zone| one(zone * bins..(zone + 1) * bins)).collect();
        problem.classes.push(one(0..zones * bins));
        let packing = pack(&problem);
        check(&problem, &packing);
        assert_eq!(packing.left, 0);
    }

    #[test]
    fn what_is_left_over_fits_nowhere() {
        for seed in 0..200 {
            let mut problem = random(seed);
            problem.count.iter_mut().for_each(|count| *count = (*count).min(1));
            let packing = pack(&problem);
            let mut free = problem.free.clone();
            for (kind, to) in packing.to.iter().enumerate() {
                for (bin, _) in to {
                    for r in 0..problem.width {
                        let free = &mut free[*bin as usize * problem.width + r];
                        *free -= if *free == u64::MAX { 0 } else { problem.demand_of(kind)[r] };
                    }
                }
            }
            for kind in (0..problem.kinds()).filter(|kind| packing.to[*kind].is_empty()) {
                let ranges = &problem.classes[problem.class[kind] as usize];
                let fits = |bin: usize| {
                    let free = &free[bin * problem.width..][..problem.width];
                    free.iter().zip(problem.demand_of(kind)).all(|(free, demand)| free >= demand)
                };
                let some =
                    problem.count[kind] > 0 && ranges.iter().any(|range| range.clone().any(fits));
                assert!(!some, "{seed}");
            }
        }
    }

    #[test]
    fn bins_that_were_cut_up_are_put_together_again() {
        let mut random = Random::seeded(3);
        let (bins, whole) = (60, 10_000);
        let mut demand = Vec::new();
        for _ in 0..bins {
            let mut cut = || {
                let mut cuts = [0, whole].to_vec();
                cuts.extend((0..4).map(|_| random.below(whole)));
                cuts.sort_unstable();
                cuts.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect::<Vec<u64>>()
            };
            let (cpus, memory) = (cut(), cut());
            demand.extend(cpus.into_iter().zip(memory).flat_map(|(cpus, memory)| [cpus, memory]));
        }
        let problem = plain(2, demand.len() / 2, whole as u64, demand);
        assert_eq!(problem.bound(), bins);
        let packing = pack(&problem);
        assert_eq!(packing.left, 0);
        assert!(packing.opened <= bins + 2, "{}", packing.opened);
        assert!(packing.opened < first_fit::pack(&problem, &problem.order(), false).opened);
    }
}
