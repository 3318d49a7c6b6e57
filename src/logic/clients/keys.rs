//! Which clients have leases of one holder, in little room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::record::Key;

/// The clients that have leases of one holder, which is nearly always one.
#[derive(Debug)]
pub enum Keys {
    /// One.
    One(Key),
    /// Several, in order.
    Many(Vec<Key>),
}

impl Keys {
    fn as_slice(&self) -> &[Key] {
        match self {
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Many(keys) => keys,
        }
    }

    /// The clients of a holder.
    pub fn of(index: &HashMap<u64, Keys>, holder: u64) -> &[Key] {
        index.get(&holder).map_or(&[], Keys::as_slice)
    }

    /// A client has a lease of a holder.
    pub fn add(index: &mut HashMap<u64, Keys>, holder: u64, key: Key) {
        match index.entry(holder) {
            Entry::Vacant(entry) => {
                entry.insert(Keys::One(key));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Keys::One(one) if *one == key => (),
                Keys::One(one) => {
                    let mut both = vec![*one, key];
                    both.sort_unstable();
                    entry.insert(Keys::Many(both));
                }
                Keys::Many(keys) => {
                    if let Err(at) = keys.binary_search(&key) {
                        keys.insert(at, key);
                    }
                }
            },
        }
    }

    /// A client has no lease of a holder any more.
    pub fn remove(index: &mut HashMap<u64, Keys>, holder: u64, key: Key) {
        let Entry::Occupied(mut entry) = index.entry(holder) else { return };
        let left = match entry.get_mut() {
            Keys::One(one) => *one != key,
            Keys::Many(keys) => {
                keys.retain(|known| *known != key);
                !keys.is_empty()
            }
        };
        if !left {
            entry.remove();
        }
    }
}
