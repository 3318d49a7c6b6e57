//! What depends on what: who goes before whom, and what goes in a circle.
//!
//! Things are told by their numbers, from 0. Nothing here takes more than linear time, and no stack: a
//! chain may be very long.

use std::cmp::Reverse;

/// An order in which each comes before those that it needs, and otherwise as they are numbered.
/// `needs` has, for each, those that it needs. What goes in a circle comes anyhow.
pub fn dependents_first(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut needs = needs.to_vec();
    needs.iter_mut().for_each(|needs| needs.sort_unstable_by_key(|at| Reverse(*at)));
    let mut walk = Walk::new(&needs);
    (0..needs.len()).rev().for_each(|start| walk.from(start));
    walk.order.reverse();
    walk.order
}

/// Circles, each once around from the first of its numbers. One that shares something with a circle that
/// is told need not be told itself.
pub fn circles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut walk = Walk::new(needs);
    (0..needs.len()).for_each(|start| walk.from(start));
    for circle in &mut walk.circles {
        let least = (0..circle.len()).min_by_key(|at| circle[*at]).unwrap_or_default();
        circle.rotate_left(least);
    }
    walk.circles
}

/// Goes down from one to what it needs, and to what that needs.
struct Walk<'a> {
    needs: &'a [Vec<usize>],
    seen: Vec<Seen>,
    trail: Vec<Step>,
    /// Each behind all that it leads to.
    order: Vec<usize>,
    circles: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Not,
    /// At this place of the trail.
    OnTrail(usize),
    Done,
}

/// One step of the trail.
struct Step {
    at: usize,
    /// How many of its needs have been looked at.
    looked: usize,
    /// How much of the trail, from its beginning, ends with one that is in a circle already.
    told: usize,
}

impl Walk<'_> {
    fn new(needs: &[Vec<usize>]) -> Walk<'_> {
        let seen = vec![Seen::Not; needs.len()];
        Walk { needs, seen, trail: Vec::new(), order: Vec::new(), circles: Vec::new() }
    }

    fn from(&mut self, start: usize) {
        if self.seen[start] == Seen::Not {
            self.enter(start);
        }
        while let Some(step) = self.trail.last_mut() {
            let (at, looked) = (step.at, step.looked);
            step.looked += 1;
            match self.needs[at].get(looked) {
                Some(&next) => match self.seen[next] {
                    Seen::Not => self.enter(next),
                    Seen::OnTrail(place) => self.closed(place),
                    Seen::Done => (),
                },
                None => {
                    self.seen[at] = Seen::Done;
                    self.order.push(at);
                    self.trail.pop();
                }
            }
        }
    }

    fn enter(&mut self, at: usize) {
        self.seen[at] = Seen::OnTrail(self.trail.len());
        let told = self.trail.last().map_or(0, |step| step.told);
        self.trail.push(Step { at, looked: 0, told });
    }

    /// The trail has come back to this place of itself.
    fn closed(&mut self, place: usize) {
        if self.trail.last().is_some_and(|step| step.told > place) {
            return;
        }
        for (at, step) in self.trail.iter_mut().enumerate().skip(place) {
            step.told = at + 1;
        }
        self.circles.push(self.trail[place..].iter().map(|step| step.at).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_before_what_it_needs_and_else_in_its_place() {
        let order = |needs: &[&[usize]]| {
            let needs: Vec<Vec<usize>> = needs.iter().map(|needs| needs.to_vec()).collect();
            dependents_first(&needs)
        };
        assert_eq!(order(&[&[], &[], &[]]), [0, 1, 2]);
        assert_eq!(order(&[&[], &[0], &[], &[1, 2]]), [3, 1, 0, 2]);
        assert_eq!(order(&[&[1], &[2], &[]]), [0, 1, 2]);
        assert_eq!(order(&[&[1], &[0], &[]]).len(), 3);
    }

    #[test]
    fn circles_are_told_once_around() {
        let needs = [vec![1], vec![2], vec![3, 4], vec![1], vec![], vec![5], vec![0, 5]];
        assert_eq!(circles(&needs), [vec![1, 2, 3], vec![5]]);
        // From wherever it is entered, it begins with its first.
        assert_eq!(circles(&[vec![3], vec![2], vec![3], vec![1]]), [[1, 2, 3]]);
        assert!(circles(&[vec![1], vec![], vec![0, 1]]).is_empty());
        // Of two that share one the first is told.
        assert_eq!(circles(&[vec![1, 2], vec![0], vec![0]]), [[0, 1]]);
    }

    #[test]
    fn neither_long_chains_nor_many_circles_take_long() {
        let count = 200_000;
        let chain: Vec<Vec<usize>> = (1..=count).map(|at| vec![at % count]).collect();
        assert_eq!(circles(&chain)[0].len(), count);
        assert_eq!(dependents_first(&chain).len(), count);
        // Each one of the second half leads back to one of the first.
        let back = |at: usize| if at > count / 2 { vec![count - at, at + 1] } else { vec![at + 1] };
        let mut nested: Vec<Vec<usize>> = (0..count - 1).map(back).collect();
        nested.push(Vec::new());
        assert_eq!(circles(&nested).len(), 1);
    }
}
