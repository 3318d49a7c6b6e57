//! The items that are left, where those that suit a bin are found at once.
//!
//! Kinds are sorted into sectors: by the class of bins that they go to, by the resource that they
//! take most of, and by how much more of it they take than of the others. In a sector the largest
//! come first. So the first one of each sector that there is room for is worth comparing, and most
//! of the others are not.

use std::ops::Range;

use super::Problem;

/// Into how many steps it is divided how much one resource stands out.
const STEPS: usize = 8;

/// Kinds of items, and how many are left of each.
pub(super) struct Pool<'a> {
    problem: &'a Problem,
    /// The kinds, sector after sector.
    kinds: Vec<u32>,
    /// What they take, in the same order.
    demand: Vec<u64>,
    left: Vec<u32>,
    /// How many items are left in all.
    pub(super) items: u64,
    /// The sum of the shares that each takes.
    sums: Vec<f64>,
    /// For each place one further on, if nothing is left there.
    next: Vec<u32>,
    sectors: Vec<Sector>,
    /// For each class which bins are of it.
    members: Vec<Vec<bool>>,
}

/// Kinds that are alike.
pub(super) struct Sector {
    class: u32,
    /// The resource that they take most of.
    resource: usize,
    /// At least so much of the sum of their shares is of that resource.
    least: f64,
    /// At least so much of it is of the others.
    others: f64,
    pub(super) places: Range<usize>,
}

impl Pool<'_> {
    pub(super) fn new<'a>(problem: &'a Problem, scale: &[f64]) -> Pool<'a> {
        let mut keyed: Vec<((u32, usize, usize), f64, u32)> = (0..problem.kinds())
            .map(|kind| {
                let (sum, resource, step) = shape(problem.demand_of(kind), scale);
                ((problem.class[kind], resource, step), sum, kind as u32)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        let mut sectors: Vec<Sector> = Vec::new();
        let mut last = None;
        for (place, (key, _, _)) in keyed.iter().enumerate() {
            let (class, resource, step) = *key;
            if last.replace(*key) == Some(*key) {
                sectors.last_mut().into_iter().for_each(|sector| sector.places.end += 1);
            } else {
                let least = least(step, problem.width);
                let others = 1.0 - self::least(step + 1, problem.width);
                sectors.push(Sector { class, resource, least, others, places: place..place + 1 });
            }
        }
        let kinds: Vec<u32> = keyed.iter().map(|(_, _, kind)| *kind).collect();
        let demand = kinds.iter().flat_map(|kind| problem.demand_of(*kind as usize));
        Pool {
            problem,
            demand: demand.copied().collect(),
            left: kinds.iter().map(|kind| problem.count[*kind as usize]).collect(),
            items: problem.items(),
            sums: keyed.iter().map(|(_, sum, _)| *sum).collect(),
            next: (0..=kinds.len() as u32).collect(),
            kinds,
            sectors,
            members: problem.members(),
        }
    }

    /// The sectors of what may go into the bin.
    pub(super) fn sectors(&self, bin: usize) -> Vec<usize> {
        let goes = |at: &usize| self.members[self.sectors[*at].class as usize][bin];
        (0..self.sectors.len()).filter(goes).collect()
    }

    /// The places of a sector.
    pub(super) fn places(&self, sector: usize) -> Range<usize> {
        self.sectors[sector].places.clone()
    }

    /// The kind at a place.
    pub(super) fn kind(&self, place: usize) -> usize {
        self.kinds[place] as usize
    }

    /// The sum of the shares that an item at a place takes.
    pub(super) fn sum(&self, place: usize) -> f64 {
        self.sums[place]
    }

    /// What an item at a place takes.
    pub(super) fn demand(&self, place: usize) -> &[u64] {
        &self.demand[place * self.problem.width..][..self.problem.width]
    }

    /// The first place from `place` on in the sector that may hold an item there is room for; the
    /// sector's end when there is none. `free` are the shares that the room is.
    pub(super) fn seek(
        &mut self,
        sector: usize,
        place: usize,
        room: &[u64],
        free: &[f64],
    ) -> usize {
        if place < self.sectors[sector].places.end && self.has(place) && self.goes(place, room) {
            return place;
        }
        let Sector { resource, least, others, places, .. } = &self.sectors[sector];
        let end = places.end;
        let all = free.iter().sum::<f64>();
        let own = free[*resource];
        let mut most = all.min(own / least) + 1e-9;
        if *others > 1e-9 {
            most = most.min((all - own) / others + 1e-9);
        }
        let mut at = place;
        if at < end && self.sums[at] > most {
            at += self.sums[at..end].partition_point(|sum| *sum > most);
        }
        at = self.alive(at);
        while at < end && self.left[at] == 0 {
            at = self.alive(at + 1);
        }
        at.min(end)
    }

    /// The first place from `place` on that was not emptied for good.
    pub(super) fn alive(&mut self, place: usize) -> usize {
        let mut end = place;
        while self.next[end] as usize != end {
            end = self.next[end] as usize;
        }
        let mut at = place;
        while self.next[at] as usize != at {
            at = std::mem::replace(&mut self.next[at], end as u32) as usize;
        }
        end
    }

    /// Whether an item is left at the place.
    pub(super) fn has(&self, place: usize) -> bool {
        self.left[place] > 0
    }

    /// Whether there is room for an item of the place.
    pub(super) fn goes(&self, place: usize, room: &[u64]) -> bool {
        self.demand(place).iter().zip(room).all(|(d, room)| d <= room)
    }

    /// Takes an item out for a while; [`Pool::put_back`] ends it.
    pub(super) fn take(&mut self, place: usize) {
        self.left[place] -= 1;
    }

    /// Puts an item back.
    pub(super) fn put_back(&mut self, place: usize) {
        self.left[place] += 1;
    }

    /// Takes an item out for good.
    pub(super) fn remove(&mut self, place: usize) {
        self.left[place] -= 1;
        self.items -= 1;
        if self.left[place] == 0 {
            self.next[place] = place as u32 + 1;
        }
    }
}

/// The sum of the shares of a demand, which resource it takes most of, and how much that one stands
/// out.
fn shape(demand: &[u64], scale: &[f64]) -> (f64, usize, usize) {
    let (mut sum, mut most, mut resource) = (0.0, 0.0, 0);
    for (r, (demand, scale)) in demand.iter().zip(scale).enumerate() {
        let share = *demand as f64 * scale;
        sum += share;
        if share > most {
            (most, resource) = (share, r);
        }
    }
    let even = 1.0 / demand.len().max(1) as f64;
    let out = if sum > 0.0 { (most / sum - even) / (1.0 - even).max(f64::EPSILON) } else { 0.0 };
    (sum, resource, ((out * STEPS as f64) as usize).min(STEPS - 1))
}

/// How much of the sum is at least of the resource that stands out by this step.
fn least(step: usize, width: usize) -> f64 {
    let even = 1.0 / width.max(1) as f64;
    even + (1.0 - even) * step as f64 / STEPS as f64
}
