//! One bin after the other, each filled as tightly as a limited search can.
//!
//! A bin is begun with the largest item that is left. What comes next is most like the room that is
//! left, by the inner product of the two. Several ways to fill the rest are tried, with some luck,
//! and the one that leaves the least of what is scarce is taken. Bins that are filled while there
//! is much to choose from are filled almost without a gap, and the few last ones do not count for
//! much.

use super::pool::Pool;
use super::{Packing, Problem};
use crate::random::Random;

/// About how many items are put somewhere, on trial or for good, in one packing. With less than
/// [`FEW`] fillings of each bin it is not worth it.
const EFFORT: u64 = 300_000;

/// The fewest fillings of one bin that are tried, if not one alone.
const FEW: u64 = 4;

/// About how many items are compared with the room in a bin, beyond those that are put there.
const OFFERS: u64 = 1_000_000;

/// The most fillings of one bin that are tried.
const FILLINGS: u64 = 200;

/// How many items of a sector are looked at for one that there is room for.
const LOOKS: usize = 12;

/// The share of a resource that is free where it is not counted: more than anything takes.
const UNCOUNTED: f64 = 1e12;

/// A bin is full when what is left of it is worth no more than this share.
const FULL: f64 = 1e-6;

/// One way to pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// How many fillings of each bin are tried.
    fillings: u64,
    /// How many items of each sector are compared.
    offers: usize,
}

/// The ways that are worth their time for a problem of this size.
pub(super) fn ways(problem: &Problem) -> Vec<Way> {
    let items = problem.items().max(1);
    let fillings = (EFFORT / items).min(FILLINGS);
    let offers = (OFFERS / items).clamp(1, 40) as usize;
    let plain = Way { fillings: 1, offers };
    if fillings < FEW { vec![plain] } else { vec![plain, Way { fillings, offers: offers.min(4) }] }
}

/// A way to fill one bin.
struct Filling {
    /// What the room that it leaves is worth.
    slack: f64,
    taken: Vec<u32>,
}

struct Filler<'a> {
    pool: Pool<'a>,
    random: Random,
    scale: Vec<f64>,
    /// What a share of each resource is worth: the scarcer, the more.
    worth: Vec<f64>,
    offers: usize,
    /// Whether there is one filling of each bin, so that what it takes is taken for good.
    once: bool,
    /// The sectors of the bin, and the first place of each that there may be room for.
    sectors: Vec<(usize, usize)>,
}

/// Packs one bin after the other, in the order given.
pub(super) fn pack(problem: &Problem, order: &[u32], way: Way) -> Packing {
    let scale = problem.scale();
    let mut filler = Filler {
        pool: Pool::new(problem, &scale),
        random: Random::seeded(0),
        worth: worth(problem, &scale),
        scale,
        offers: way.offers,
        once: way.fillings == 1,
        sectors: Vec::new(),
    };
    let mut packing = Packing { to: vec![Vec::new(); problem.kinds()], ..Packing::default() };
    for bin in order {
        if filler.pool.items == 0 {
            break;
        }
        let filling = filler.best(*bin as usize, problem, way.fillings);
        if filling.taken.is_empty() {
            continue;
        }
        packing.opened += usize::from(!problem.open[*bin as usize]);
        for place in filling.taken {
            if way.fillings > 1 {
                filler.pool.remove(place as usize);
            }
            packing.put(filler.pool.kind(place as usize), *bin, 1);
        }
    }
    packing.left = filler.pool.items;
    packing
}

/// A share of a resource is worth as much as is asked for of it.
fn worth(problem: &Problem, scale: &[f64]) -> Vec<f64> {
    let asked: Vec<f64> = (0..problem.width).map(|r| problem.asked(r) * scale[r]).collect();
    let most = asked.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    asked.into_iter().map(|asked| asked / most).collect()
}

impl Filler<'_> {
    /// The best filling of a bin.
    fn best(&mut self, bin: usize, problem: &Problem, fillings: u64) -> Filling {
        let room = problem.free_of(bin);
        let sectors = self.pool.sectors(bin);
        let begin = |pool: &Pool| -> Vec<(usize, usize)> {
            sectors.iter().map(|sector| (*sector, pool.places(*sector).start)).collect()
        };
        self.sectors = begin(&self.pool);
        let mut best = self.fill(room.to_vec(), 0.0);
        for turn in 1..fillings {
            if best.slack < FULL || best.taken.is_empty() {
                break;
            }
            self.sectors = begin(&self.pool);
            let other = self.fill(room.to_vec(), 0.25 * (turn % 8 + 1) as f64);
            if other.slack < best.slack {
                best = other;
            }
        }
        best
    }

    /// Fills a bin; the more luck, the less it is the best item that comes next.
    fn fill(&mut self, mut room: Vec<u64>, luck: f64) -> Filling {
        let mut taken = Vec::with_capacity(16);
        let mut free = vec![0.0; room.len()];
        loop {
            for (r, free) in free.iter_mut().enumerate() {
                let counted = room[r] < u64::MAX;
                *free = if counted { room[r] as f64 * self.scale[r] } else { UNCOUNTED };
            }
            let Some(place) = self.next(&room, &free, taken.is_empty(), luck) else { break };
            for (room, demand) in room.iter_mut().zip(self.pool.demand(place)) {
                *room -= if *room == u64::MAX { 0 } else { *demand };
            }
            match self.once {
                true => self.pool.remove(place),
                false => self.pool.take(place),
            }
            taken.push(place as u32);
        }
        if !self.once {
            taken.iter().for_each(|place| self.pool.put_back(*place as usize));
        }
        let slack = |r: usize| if room[r] == u64::MAX { 0.0 } else { free[r] * self.worth[r] };
        Filling { slack: (0..room.len()).map(slack).sum(), taken }
    }

    /// The item that comes next into the room.
    fn next(&mut self, room: &[u64], free: &[f64], is_first: bool, luck: f64) -> Option<usize> {
        let (mut best, mut most) = (None, -1.0);
        for at in 0..self.sectors.len() {
            let (sector, begin) = self.sectors[at];
            let end = self.pool.places(sector).end;
            let mut place = self.pool.seek(sector, begin, room, free);
            self.sectors[at].1 = place;
            let (mut looks, mut offers) = (0, 0);
            while place < end && looks < LOOKS + self.offers && offers < self.offers {
                let has = self.pool.has(place);
                if has && self.pool.goes(place, room) {
                    offers += 1;
                    let mut score = match is_first {
                        true => self.pool.sum(place),
                        false => self.alike(place, free),
                    };
                    if luck > 0.0 && !is_first {
                        score *=
                            1.0 + luck * self.random.below(1 << 20) as f64 / f64::from(1 << 20);
                    }
                    if score > most {
                        (best, most) = (Some(place), score);
                    }
                    if is_first {
                        break;
                    }
                }
                looks += usize::from(has);
                place = self.pool.alive(place + 1);
            }
        }
        best
    }

    /// How much the item is like what is free.
    fn alike(&self, place: usize, free: &[f64]) -> f64 {
        let demand = self.pool.demand(place);
        (0..free.len()).map(|r| demand[r] as f64 * self.scale[r] * self.worth[r] * free[r]).sum()
    }
}
