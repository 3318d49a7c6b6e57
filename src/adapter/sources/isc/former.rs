//! Which addresses an identity association had when it was last spoken of, so that it is known
//! which of them a later block leaves out.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::block::Id;
use crate::record::Place;

/// What associations had; one to two hundred bytes for each. They and their places are known by
/// hashes with a key of this process, so no client can have itself taken for another.
#[derive(Debug, Default)]
pub struct Former {
    hasher: RandomState,
    places: HashMap<u64, Box<[Place]>>,
    /// Which association had a place last.
    owners: HashMap<u64, u64>,
}

impl Former {
    /// An association was spoken of again, with all that it has: of what was `mentioned`, this is
    /// `kept`. Returns what it had and has no more, unless another one has that by now.
    pub fn supersede(
        &mut self,
        id: Id,
        mut mentioned: Vec<Place>,
        kept: Box<[Place]>,
    ) -> Vec<Place> {
        let name = self.hasher.hash_one(id);
        mentioned.sort_unstable();
        let mut left_out = Vec::new();
        for place in self.places.remove(&name).unwrap_or_default() {
            let at = self.hasher.hash_one(place);
            if self.owners.get(&at) != Some(&name) {
                continue;
            }
            self.owners.remove(&at);
            if mentioned.binary_search(&place).is_err() {
                left_out.push(place);
            }
        }
        for place in &kept {
            self.owners.insert(self.hasher.hash_one(place), name);
        }
        if !kept.is_empty() {
            self.places.insert(name, kept);
        }
        left_out
    }

    /// What an association had when it was last spoken of, unless another one has that by now.
    pub fn of(&self, id: Id) -> Vec<Place> {
        let name = self.hasher.hash_one(id);
        let has = |place: &&Place| self.owners.get(&self.hasher.hash_one(place)) == Some(&name);
        self.places.get(&name).into_iter().flatten().filter(has).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(last: u16) -> Place {
        let address = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
        Place { address: address.into(), prefix_len: None }
    }

    fn say(former: &mut Former, text: &[u8], mentioned: &[u16], kept: &[u16]) -> Vec<Place> {
        let places = |numbers: &[u16]| numbers.iter().map(|number| place(*number)).collect();
        let kept: Vec<Place> = places(kept);
        former.supersede(Id { word: b"ia-na", text }, places(mentioned), kept.into())
    }

    #[test]
    fn what_a_later_block_leaves_out_is_over() {
        let mut former = Former::default();
        assert_eq!(say(&mut former, b"a", &[1, 2, 3], &[1, 2, 3]), []);
        assert_eq!(say(&mut former, b"a", &[2, 3], &[3]), [place(1)]);
        // What was told as ended is not told again.
        assert_eq!(say(&mut former, b"a", &[4], &[4]), [place(3)]);
        assert_eq!(say(&mut former, b"b", &[], &[]), []);
        assert_eq!(former.of(Id { word: b"ia-na", text: b"a" }), [place(4)]);
        assert_eq!(former.of(Id { word: b"ia-ta", text: b"a" }), []);
    }

    #[test]
    fn what_another_has_by_now_is_not_over() {
        let mut former = Former::default();
        say(&mut former, b"a", &[1, 2], &[1, 2]);
        say(&mut former, b"b", &[1], &[1]);
        assert_eq!(former.of(Id { word: b"ia-na", text: b"a" }), [place(2)]);
        assert_eq!(say(&mut former, b"a", &[3], &[3]), [place(2)]);
        assert_eq!(say(&mut former, b"b", &[], &[]), [place(1)]);
        assert!(former.places.len() == 1 && former.owners.len() == 1);
    }
}
