//! First fit, the largest first.

use std::ops::Range;

use super::{Packing, Problem};
use crate::logic::place::tree::Tree;

/// Puts each item into the first bin of the order that has room, those first that take the largest
/// shares in sum; with `narrow_first` those before all others that may go to the fewest bins.
pub(super) fn pack(problem: &Problem, order: &[u32], narrow_first: bool) -> Packing {
    let width = problem.width;
    let mut free = problem.free.clone();
    let mut used = problem.open.clone();
    let mut rank = vec![0u32; order.len()];
    (0..).zip(order).for_each(|(at, bin)| rank[*bin as usize] = at);
    let mut tree = Tree::new(problem.bins(), width);
    for bin in 0..problem.bins() {
        tree.set(bin, rank[bin].into(), &free[bin * width..][..width]);
    }
    let mut packing = Packing { to: vec![Vec::new(); problem.kinds()], ..Packing::default() };
    for kind in by_size(problem, narrow_first) {
        let demand = problem.demand_of(kind);
        let ranges = &problem.classes[problem.class[kind] as usize];
        let mut left = problem.count[kind];
        while left > 0 {
            let Some(bin) = tree.best(ranges, demand, |_| true) else { break };
            let room = &mut free[bin * width..][..width];
            let some = take(room, demand, left);
            left -= some;
            tree.set(bin, rank[bin].into(), room);
            packing.opened += usize::from(!used[bin]);
            used[bin] = true;
            packing.put(kind, bin as u32, some);
        }
        packing.left += u64::from(left);
    }
    packing
}

/// The kinds, the largest first; with `narrow_first` of each class, the smallest class first.
fn by_size(problem: &Problem, narrow_first: bool) -> Vec<usize> {
    let scale = problem.scale();
    let of = |kind: usize| -> f64 {
        problem.demand_of(kind).iter().zip(&scale).map(|(d, scale)| *d as f64 * scale).sum()
    };
    let bins = |ranges: &Vec<Range<usize>>| ranges.iter().map(ExactSizeIterator::len).sum();
    let bins: Vec<usize> = problem.classes.iter().map(bins).collect();
    let wide = |kind: usize| if narrow_first { bins[problem.class[kind] as usize] } else { 0 };
    let mut keyed: Vec<(usize, f64, usize)> =
        (0..problem.kinds()).map(|kind| (wide(kind), of(kind), kind)).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    keyed.into_iter().map(|(_, _, kind)| kind).collect()
}

/// Takes room for as many items as fit, at most `most`; how many these are.
fn take(room: &mut [u64], demand: &[u64], most: u32) -> u32 {
    let fit = |(room, demand): (&u64, &u64)| match (*room, *demand) {
        (u64::MAX, _) | (_, 0) => u64::MAX,
        (room, demand) => room / demand,
    };
    let some = room.iter().zip(demand).map(fit).min().unwrap_or(u64::MAX).min(most.into());
    for (room, demand) in room.iter_mut().zip(demand).filter(|(room, _)| **room < u64::MAX) {
        *room -= demand * some;
    }
    some as u32
}
