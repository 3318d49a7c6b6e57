//! Fewer bins, by exchanging items between those that are there.
//!
//! What is filled one bin after the other leaves to the last ones what nobody wanted. Where few
//! items fill a bin, and it matters which, that costs some bins in a hundred. So one bin after the
//! other is emptied into the rest, as long as that can be made to fit.
//!
//! The number of bins stays, and items are exchanged, as in Buljubašić and Vasquez, "Consistent
//! neighborhood search for one-dimensional bin packing and two-dimensional vector packing"
//! (Computers & Operations Research 76, 2016). They leave out what does not fit; here bins may be
//! too full on the way.

use super::group::{Group, Terms};
use super::{Packing, Problem};
use crate::random::Random;

/// About how many exchanges are tried for each item.
const EFFORT: u64 = 3000;

/// About how many exchanges are tried in all: a few tenths of a second.
const MOST: u64 = 4_000_000;

/// How many exchanges are tried to do without one bin.
const PATIENCE: u64 = 200_000;

/// The most bins between which items are exchanged at a time. In more of them there is always one
/// that has just become too full.
const TOGETHER: usize = 400;

/// The fewest that make a group of their own because they are of the same classes.
const FEW: usize = 50;

/// More than this is not asked for of any resource, so that sums can be signed.
const COUNTABLE: f64 = 1e18;

/// The same packing, or one that needs fewer bins. `packing` has nothing left over, and no packing
/// needs fewer than `bound` bins.
pub(super) fn improve(problem: &Problem, packing: Packing, bound: usize) -> Packing {
    if (0..problem.width).any(|r| problem.asked(r) > COUNTABLE) {
        return packing;
    }
    let terms = Terms::of(problem);
    let mut held = held(problem, &packing);
    let mut random = Random::seeded(0);
    let mut opened = packing.opened;
    let mut effort = problem.items().saturating_mul(EFFORT).min(MOST);
    let mut has_tried = true;
    while has_tried && opened > bound && effort > 0 {
        has_tried = false;
        for bins in groups(&terms, &held, &mut random) {
            let mut group = Group::of(&terms, &held, &bins);
            while opened > bound && effort > 0 && group.empty_one(&mut random) {
                has_tried = true;
                if !group.even_out(&mut random, PATIENCE.min(effort), &mut effort) {
                    break;
                }
                opened -= 1;
                bins.iter().for_each(|bin| held[*bin as usize].clear());
                group.tell(&mut held);
            }
        }
    }
    if opened == packing.opened { packing } else { packed(problem, held, opened) }
}

/// The kinds of the items in each bin.
fn held(problem: &Problem, packing: &Packing) -> Vec<Vec<u32>> {
    let mut held = vec![Vec::new(); problem.bins()];
    for (kind, to) in (0..).zip(&packing.to) {
        for (bin, count) in to {
            held[*bin as usize].extend((0..*count).map(|_| kind));
        }
    }
    held
}

/// The packing in which the bins hold these.
fn packed(problem: &Problem, held: Vec<Vec<u32>>, opened: usize) -> Packing {
    let mut packing = Packing { to: vec![Vec::new(); problem.kinds()], opened, left: 0 };
    for (bin, kinds) in (0..).zip(held) {
        kinds.into_iter().for_each(|kind| packing.put(kind as usize, bin, 1));
    }
    packing
}

/// The bins that hold something, in groups: those of the same classes together, else as the dice
/// fall.
fn groups(terms: &Terms, held: &[Vec<u32>], random: &mut Random) -> Vec<Vec<u32>> {
    let used = (0..held.len() as u32).filter(|bin| !held[*bin as usize].is_empty());
    let mut keyed: Vec<(u64, u64, u32)> =
        used.map(|bin| (terms.likeness[bin as usize], random.bits(), bin)).collect();
    keyed.sort_unstable();
    let mut groups = Vec::new();
    for alike in keyed.chunk_by(|a, b| a.0 == b.0) {
        let most = alike.len().div_ceil(alike.len().div_ceil(TOGETHER));
        for some in alike.chunks(most) {
            let some = some.iter().map(|(_, _, bin)| *bin);
            match groups.last_mut() {
                Some(last)
                    if Vec::len(last) + some.len() <= TOGETHER
                        && last.len().min(some.len()) < FEW =>
                {
                    last.extend(some);
                }
                _ => groups.push(some.collect()),
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, even, one, plain, random};
    use super::*;

    /// A packing that wastes bins: each item is in any one that has room, if there is one.
    fn loose(problem: &Problem, random: &mut Random) -> Packing {
        let mut packing = Packing { to: vec![Vec::new(); problem.kinds()], ..Packing::default() };
        let (mut free, mut used) = (problem.free.clone(), problem.open.clone());
        for kind in 0..problem.kinds() {
            let demand = problem.demand_of(kind);
            let ranges = &problem.classes[problem.class[kind] as usize];
            for _ in 0..problem.count[kind] {
                let room = |bin: &usize| free[*bin * problem.width..].iter().zip(demand);
                let fits = |bin: &usize| room(bin).all(|(free, demand)| free >= demand);
                let fit: Vec<usize> = ranges.iter().flat_map(Clone::clone).filter(fits).collect();
                let Some(bin) = random.one_of(&fit).copied() else {
                    packing.left += 1;
                    continue;
                };
                let room = free[bin * problem.width..].iter_mut().zip(demand);
                room.filter(|(free, _)| **free < u64::MAX).for_each(|(free, d)| *free -= d);
                packing.opened += usize::from(!std::mem::replace(&mut used[bin], true));
                packing.put(kind, bin as u32, 1);
            }
        }
        packing
    }

    #[test]
    fn it_never_needs_more_and_breaks_no_limit() {
        let (mut cases, mut better) = (0, 0);
        for seed in 0..400 {
            let problem = random(seed);
            let before = loose(&problem, &mut Random::seeded(seed));
            if problem.width == 0 || before.left > 0 {
                continue;
            }
            let after = improve(&problem, before.clone(), problem.bound());
            check(&problem, &after);
            assert!(after.left == 0 && after.opened <= before.opened);
            assert_eq!(after, improve(&problem, before.clone(), problem.bound()), "the same again");
            cases += 1;
            better += usize::from(after.opened < before.opened);
        }
        assert!(cases > 40 && better > 15, "{better} of {cases}");
    }

    #[test]
    fn a_bin_in_use_is_filled_and_not_emptied() {
        let mut problem = plain(1, 3, 10, vec![4, 6, 5]);
        problem.open = vec![true, false, false];
        let packing =
            Packing { to: vec![vec![(0, 1)], vec![(1, 1)], vec![(2, 1)]], opened: 2, left: 0 };
        check(&problem, &packing);
        let after = improve(&problem, packing, problem.bound());
        check(&problem, &after);
        assert_eq!(after.opened, 1);
        assert!(after.to.iter().flatten().any(|(bin, _)| *bin == 0));
    }

    #[test]
    fn what_no_bin_has_is_not_taken_from_it() {
        // The first two items need what only the first two bins, which do not count it, can give.
        let mut demand = vec![5, 1, 5, 1];
        let mut problem = plain(2, 10, 10, Vec::new());
        for bin in 0..10 {
            problem.free[bin * 2 + 1] = if bin < 2 { u64::MAX } else { 0 };
            demand.extend_from_slice(if bin < 8 { &[5, 0] } else { &[] });
        }
        problem = Problem { free: problem.free, ..plain(2, 10, 10, demand) };
        let to = (0..10).map(|bin| vec![(bin, 1)]).collect();
        let packing = Packing { to, opened: 10, left: 0 };
        check(&problem, &packing);
        let after = improve(&problem, packing, problem.bound());
        check(&problem, &after);
        assert_eq!(after.opened, 5);
    }

    #[test]
    fn what_may_go_nowhere_else_stays() {
        let mut problem = plain(1, 4, 10, vec![1, 2, 3, 3]);
        problem.class = vec![1, 0, 0, 0];
        problem.classes.push(one(3..4));
        let to = vec![vec![(3, 1)], vec![(0, 1)], vec![(1, 1)], vec![(2, 1)]];
        let after = improve(&problem, Packing { to, opened: 4, left: 0 }, problem.bound());
        check(&problem, &after);
        assert_eq!((after.opened, &after.to[0]), (1, &vec![(3, 1)]));
    }

    #[test]
    fn amounts_that_cannot_be_signed_are_left_alone() {
        let problem = plain(1, 2, u64::MAX - 1, vec![(1 << 63) + 5, (1 << 63) + 5]);
        let packing = Packing { to: vec![vec![(0, 1)], vec![(1, 1)]], opened: 2, left: 0 };
        assert_eq!(improve(&problem, packing.clone(), 1), packing);
    }

    #[test]
    fn each_bin_is_in_one_group_and_those_of_the_same_classes_together() {
        let (zones, bins) = (4, 1100);
        let mut problem = plain(1, zones * bins + 6, 10, vec![1; zones * bins + 6]);
        problem.classes = (0..zones).map(|zone| one(zone * bins..(zone + 1) * bins)).collect();
        let held: Vec<Vec<u32>> = (0..problem.bins() as u32).map(|bin| vec![bin]).collect();
        let groups = groups(&Terms::of(&problem), &held, &mut Random::seeded(0));
        let mut all = groups.concat();
        all.sort_unstable();
        assert_eq!(all, (0..problem.bins() as u32).collect::<Vec<u32>>());
        assert!(groups.iter().all(|group| (50..=TOGETHER).contains(&group.len())));
        let zones = |group: &Vec<u32>| {
            let mut zones: Vec<usize> = group.iter().map(|bin| *bin as usize / bins).collect();
            zones.sort_unstable();
            zones.dedup();
            zones.len()
        };
        assert!(groups.iter().filter(|group| zones(group) > 1).count() <= 1);
    }

    #[test]
    fn bins_in_several_groups_are_emptied_in_each() {
        let demand = even(&mut Random::seeded(4), 2, 500, 3);
        let problem = plain(2, 1500, 10_000, demand);
        let before = loose(&problem, &mut Random::seeded(5));
        let after = improve(&problem, before.clone(), problem.bound());
        check(&problem, &after);
        assert!(after.opened + 20 < before.opened, "{} {}", after.opened, before.opened);
    }
}
