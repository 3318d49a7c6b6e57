//! By which of its managers each swarm is told of, while changes are followed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::adapter::docker::swarm::SwarmId;

/// The manager that tells of each swarm that can be told of, by its number.
#[derive(Debug, Default)]
pub(super) struct Speakers(BTreeMap<SwarmId, usize>);

/// A swarm that another manager tells of than before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elected {
    pub(super) swarm: SwarmId,
    pub(super) speaker: usize,
    /// Who told of it until now; nobody when it is new, or could not be told of.
    pub(super) instead_of: Option<usize>,
}

impl Speakers {
    /// These managers answer: the first of each swarm tells of it, or, if that is to `stay`, who did
    /// before. Gives the swarms for which that is another one than before.
    pub(super) fn elect(
        &mut self,
        up: impl Iterator<Item = (usize, SwarmId)>,
        stay: bool,
    ) -> Vec<Elected> {
        let before = std::mem::take(&mut self.0);
        for (at, swarm) in up {
            let stays = stay && before.get(&swarm) == Some(&at);
            match self.0.entry(swarm) {
                Entry::Occupied(mut first) if stays => *first.get_mut() = at,
                Entry::Occupied(_) => (),
                Entry::Vacant(nobody) => drop(nobody.insert(at)),
            }
        }
        let elected = self.0.iter().filter_map(|(swarm, speaker)| {
            let (speaker, instead_of) = (*speaker, before.get(swarm).copied());
            let elected = Elected { swarm: swarm.clone(), speaker, instead_of };
            (instead_of != Some(speaker)).then_some(elected)
        });
        elected.collect()
    }

    /// Who tells of that swarm.
    pub(super) fn of(&self, swarm: &SwarmId) -> Option<usize> {
        self.0.get(swarm).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tells_of_a_swarm_does_so_for_as_long_as_it_answers() {
        let mut speakers = Speakers::default();
        let mut elect = |up: &[(usize, &str)], stay| -> Vec<(SwarmId, usize, Option<usize>)> {
            let up = up.iter().map(|(at, swarm)| (*at, SwarmId::new(swarm)));
            let elected = speakers.elect(up, stay).into_iter();
            elected.map(|one| (one.swarm, one.speaker, one.instead_of)).collect()
        };
        let of = SwarmId::new;
        assert_eq!(elect(&[(1, "a"), (3, "b")], false), [(of("a"), 1, None), (of("b"), 3, None)]);
        // Before anything is told the first counts, however late it answers.
        let all = [(0, "a"), (1, "a"), (2, "a"), (3, "b")];
        assert_eq!(elect(&all, false), [(of("a"), 0, Some(1))]);
        assert_eq!(elect(&all, true), []);
        assert_eq!(elect(&all[1..], true), [(of("a"), 1, Some(0))]);
        assert_eq!(elect(&all, true), []);
        // One that nobody can tell of has no speaker, and gets one anew.
        assert_eq!(elect(&all[..3], true), []);
        assert_eq!(elect(&all, true), [(of("b"), 3, None)]);
        // A manager that goes over to another swarm tells nothing of the one that it has left.
        assert_eq!(elect(&[(0, "a"), (1, "b"), (3, "b")], true), [(of("a"), 0, Some(1))]);
        assert_eq!([speakers.of(&of("a")), speakers.of(&of("b"))], [Some(0), Some(3)]);
    }
}
