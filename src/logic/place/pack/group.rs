//! Bins between which items are exchanged until none is too full.
//!
//! An item of a bin that is too full goes to another bin, or changes places with an item there. What
//! makes the two bins together less too full is done; what makes them more so is done if it is not
//! by much, and by less and less as time goes on: simulated annealing (Kirkpatrick, Gelatt, Vecchi,
//! "Optimization by simulated annealing", Science 220, 1983). How much may be is drawn for each
//! exchange: next to nothing mostly, and a lot at times. With such a long tail (as in Tsallis,
//! Stariolo, "Generalized simulated annealing", Physica A 233, 1996) it hardly depends on the sizes
//! of the items how hot it begins. It takes no function whose last digit depends on the machine.

use super::Problem;
use crate::random::Random;

/// The most by which two bins may become too full at once, as a share of a bin, in the beginning.
const HEAT: f64 = 0.03;

/// Of so many items one goes to another bin without one that comes back.
const ALONE: usize = 10;

/// Room for everything: more than is asked for in all.
const ENOUGH: u64 = 2_000_000_000_000_000_000;

/// What is the same for all groups of a problem.
pub(super) struct Terms<'a> {
    problem: &'a Problem,
    /// For each class which bins are of it.
    members: Vec<Vec<bool>>,
    /// For each bin a number that is the same for bins of the same classes, and most likely for no
    /// others.
    pub(super) likeness: Vec<u64>,
    /// What one unit of each resource counts where a bin is too full; never 0.
    scale: Vec<f64>,
}

impl Terms<'_> {
    pub(super) fn of(problem: &Problem) -> Terms<'_> {
        let scale = problem.scale().into_iter().map(|scale| if scale > 0.0 { scale } else { 1.0 });
        let mut likeness = vec![0; problem.bins()];
        for (class, ranges) in (0..).zip(&problem.classes) {
            let number = Random::seeded(class).bits();
            ranges.iter().flat_map(Clone::clone).for_each(|bin| likeness[bin] ^= number);
        }
        Terms { problem, members: problem.members(), likeness, scale: scale.collect() }
    }
}

/// Bins and what they hold, both numbered from 0. Nothing else is known of an item but its number.
pub(super) struct Group<'a> {
    terms: &'a Terms<'a>,
    /// Which bins they are.
    bins: Vec<u32>,
    /// The items in each bin.
    inside: Vec<Vec<u32>>,
    /// What is free in each bin, bin after bin; less than nothing where too much is in it.
    room: Vec<i64>,
    /// By how much each bin is too full.
    over: Vec<f64>,
    /// The bins that are too full.
    full: Vec<u32>,
    /// The bin that each item is in.
    at: Vec<u32>,
    /// The kind of each item.
    kinds: Vec<u32>,
    /// What each item takes, item after item.
    demand: Vec<i64>,
    /// Whether there are bins that some items may not go to.
    is_divided: bool,
}

impl Group<'_> {
    /// These bins with what they hold, which they have room for.
    pub(super) fn of<'a>(terms: &'a Terms<'a>, held: &[Vec<u32>], bins: &[u32]) -> Group<'a> {
        let problem = terms.problem;
        let mut group = Group {
            terms,
            bins: bins.to_vec(),
            inside: vec![Vec::new(); bins.len()],
            room: Vec::with_capacity(bins.len() * problem.width),
            over: vec![0.0; bins.len()],
            full: Vec::new(),
            at: Vec::new(),
            kinds: Vec::new(),
            demand: Vec::new(),
            is_divided: false,
        };
        for (at, bin) in bins.iter().enumerate() {
            let free = problem.free_of(*bin as usize);
            group.room.extend(free.iter().map(|free| *free.min(&ENOUGH) as i64));
            for kind in &held[*bin as usize] {
                let demand = problem.demand_of(*kind as usize);
                group.demand.extend(demand.iter().map(|demand| *demand as i64));
                group.kinds.push(*kind);
                group.at.push(0);
                group.put(group.at.len() - 1, at);
            }
        }
        let mut classes: Vec<u32> =
            group.kinds.iter().map(|k| problem.class[*k as usize]).collect();
        classes.sort_unstable();
        classes.dedup();
        let all = |class: &u32| bins.iter().all(|b| terms.members[*class as usize][*b as usize]);
        group.is_divided = !classes.iter().all(all);
        group
    }

    /// Notes what each of the bins that are left holds.
    pub(super) fn tell(&self, held: &mut [Vec<u32>]) {
        for (bin, inside) in self.bins.iter().zip(&self.inside) {
            let kinds = inside.iter().map(|item| self.kinds[*item as usize]);
            held[*bin as usize] = kinds.collect();
        }
    }

    /// Does without a bin that was not in use before, one of those that hold least; what it held
    /// goes where it makes the bins least too full. Nothing may be too full before. False if there is
    /// no such bin, or the others cannot have room for what it holds.
    pub(super) fn empty_one(&mut self, random: &mut Random) -> bool {
        let mut rooms = vec![0i128; self.width()];
        for room in self.room.chunks(self.width()) {
            rooms.iter_mut().zip(room).for_each(|(sum, room)| *sum += i128::from(*room));
        }
        let (mut least, mut best) = (f64::INFINITY, None);
        for bin in (0..self.bins.len()).filter(|bin| self.can_be_emptied(*bin, &rooms)) {
            let luck = 1.0 + random.below(1 << 20) as f64 / f64::from(1 << 20);
            let held = luck * self.held(bin);
            if held < least {
                (least, best) = (held, Some(bin));
            }
        }
        let Some(bin) = best else { return false };
        for item in self.inside[bin].clone() {
            let item = item as usize;
            let more = |to: usize| self.over_with(to, self.demand(item), 1) - self.over[to];
            let others = (0..self.bins.len()).filter(|to| *to != bin && self.goes(item, *to));
            let to = others.min_by(|a, b| more(*a).total_cmp(&more(*b)));
            self.lift(item);
            self.put(item, to.unwrap_or(bin));
            self.weigh(to.unwrap_or(bin));
        }
        self.drop_bin(bin);
        true
    }

    /// Whether it was not in use before, each of its items may go elsewhere, and the others have that
    /// much room together; `rooms` is what all have.
    fn can_be_emptied(&self, bin: usize, rooms: &[i128]) -> bool {
        let held = |r: usize| -> i128 {
            let held = self.inside[bin].iter();
            held.map(|item| i128::from(self.demand(*item as usize)[r])).sum()
        };
        let has_other = |item: &u32| {
            (0..self.bins.len()).any(|other| other != bin && self.goes(*item as usize, other))
        };
        !self.terms.problem.open[self.bins[bin] as usize]
            && (0..rooms.len()).all(|r| held(r) <= rooms[r] - i128::from(self.room(bin)[r]))
            && self.inside[bin].iter().all(has_other)
    }

    /// The shares of what the bin holds, in sum.
    fn held(&self, bin: usize) -> f64 {
        let share = |(demand, scale): (&i64, &f64)| *demand as f64 * scale;
        let shares =
            |item: &u32| self.demand(*item as usize).iter().zip(&self.terms.scale).map(share);
        self.inside[bin].iter().flat_map(shares).sum()
    }

    /// Takes out a bin that is empty; the last one gets its number.
    fn drop_bin(&mut self, bin: usize) {
        let (last, width) = (self.bins.len() - 1, self.width());
        self.bins.swap_remove(bin);
        self.inside.swap_remove(bin);
        self.over.swap_remove(bin);
        self.room.copy_within(last * width.., bin * width);
        self.room.truncate(last * width);
        if bin < last {
            self.inside[bin].iter().for_each(|item| self.at[*item as usize] = bin as u32);
        }
        self.full.iter_mut().filter(|full| **full as usize == last).for_each(|f| *f = bin as u32);
    }

    /// Tries so many exchanges, and takes them off `effort`, or fewer if no bin is too full before;
    /// whether that is so.
    pub(super) fn even_out(&mut self, random: &mut Random, tries: u64, effort: &mut u64) -> bool {
        for step in 0..tries {
            if self.full.is_empty() {
                return true;
            }
            *effort -= 1;
            let drawn = random.below(1 << 20) as f64 / f64::from(1 << 20);
            let (second, cooled) = (drawn * drawn, 1.0 - step as f64 / tries as f64);
            let lax = HEAT * cooled * (second * second) * (second * second);
            let bin = self.full[random.below(self.full.len())] as usize;
            let item = self.inside[bin][random.below(self.inside[bin].len())] as usize;
            if random.below(ALONE) == 0 {
                let to = random.below(self.bins.len());
                self.shift(item, to, lax);
            } else {
                let other = random.below(self.at.len());
                self.swap(item, other, lax);
            }
        }
        self.full.is_empty()
    }

    /// Brings an item into another bin, unless that makes the two bins more than `lax` too full.
    fn shift(&mut self, item: usize, to: usize, lax: f64) {
        let from = self.at[item] as usize;
        if from == to || !self.goes(item, to) {
            return;
        }
        let demand = self.demand(item);
        let over = self.over_with(from, demand, -1) + self.over_with(to, demand, 1);
        if over <= self.over[from] + self.over[to] + lax {
            self.lift(item);
            self.put(item, to);
            self.weigh(from);
            self.weigh(to);
        }
    }

    /// Exchanges two items, unless that makes their bins more than `lax` too full.
    fn swap(&mut self, item: usize, other: usize, lax: f64) {
        let (from, to) = (self.at[item] as usize, self.at[other] as usize);
        if from == to || !self.goes(item, to) || !self.goes(other, from) {
            return;
        }
        let mut over = 0.0;
        for r in 0..self.width() {
            let less = self.demand(item)[r] - self.demand(other)[r];
            over += self.share(self.room(from)[r] + less, r);
            over += self.share(self.room(to)[r] - less, r);
        }
        if over <= self.over[from] + self.over[to] + lax {
            self.lift(item);
            self.lift(other);
            self.put(item, to);
            self.put(other, from);
            self.weigh(from);
            self.weigh(to);
        }
    }

    fn width(&self) -> usize {
        self.terms.scale.len()
    }

    fn room(&self, bin: usize) -> &[i64] {
        &self.room[bin * self.width()..][..self.width()]
    }

    fn demand(&self, item: usize) -> &[i64] {
        &self.demand[item * self.width()..][..self.width()]
    }

    /// Whether the item may go to the bin.
    fn goes(&self, item: usize, bin: usize) -> bool {
        let class = || self.terms.problem.class[self.kinds[item] as usize] as usize;
        !self.is_divided || self.terms.members[class()][self.bins[bin] as usize]
    }

    /// What it counts that so much is free of a resource: nothing, unless it is less than nothing.
    fn share(&self, room: i64, resource: usize) -> f64 {
        -room.min(0) as f64 * self.terms.scale[resource]
    }

    /// By how much the bin is too full when so many times this demand is put there.
    fn over_with(&self, bin: usize, demand: &[i64], times: i64) -> f64 {
        let room = self.room(bin).iter().zip(demand).enumerate();
        room.map(|(r, (room, demand))| self.share(room - times * demand, r)).sum()
    }

    /// Puts an item that is in no bin into one.
    fn put(&mut self, item: usize, bin: usize) {
        self.take(item, bin, 1);
        self.at[item] = bin as u32;
        self.inside[bin].push(item as u32);
    }

    /// Takes an item out of its bin.
    fn lift(&mut self, item: usize) {
        let bin = self.at[item] as usize;
        self.take(item, bin, -1);
        let place = self.inside[bin].iter().position(|there| *there as usize == item);
        if let Some(place) = place {
            self.inside[bin].swap_remove(place);
        }
    }

    /// Takes the room for an item so many times.
    fn take(&mut self, item: usize, bin: usize, times: i64) {
        let width = self.width();
        let demand = &self.demand[item * width..][..width];
        let room = self.room[bin * width..].iter_mut().zip(demand);
        room.for_each(|(room, demand)| *room -= times * demand);
    }

    /// Notes by how much the bin is too full.
    fn weigh(&mut self, bin: usize) {
        let over = (0..self.width()).map(|r| self.share(self.room(bin)[r], r)).sum();
        let was = std::mem::replace(&mut self.over[bin], over);
        if over > 0.0 && was == 0.0 {
            self.full.push(bin as u32);
        } else if over == 0.0 && was > 0.0 {
            self.full.retain(|full| *full as usize != bin);
        }
    }
}
