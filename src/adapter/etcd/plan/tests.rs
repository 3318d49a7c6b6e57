//! Plans, carried out on a map that keeps revisions as etcd does.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::adapter::etcd::keys::holder;
use crate::record::{HostRef, Key, LeaseRef};

#[derive(Default)]
struct Store {
    pairs: BTreeMap<String, (String, i64)>,
    revision: i64,
}

impl Store {
    fn seen(&self, key: &str) -> Seen<String> {
        match self.pairs.get(key) {
            Some((value, revision)) => Seen { value: Some(value.clone()), revision: *revision },
            None => Seen { value: None, revision: 0 },
        }
    }

    fn entry(&self, who: &Holder) -> Seen<Entry> {
        let name = keys().binding(who);
        let seen = self.seen(&name);
        let parse = |text: String| value::entry(&name, who, &text).unwrap();
        Seen { value: seen.value.map(parse), revision: seen.revision }
    }

    fn scene(&self, entry: &Entry) -> Scene {
        let claim = self.seen(&keys().claim(entry.binding.address));
        let claim = Seen {
            value: claim.value.map(|text| holder(&text).unwrap()),
            revision: claim.revision,
        };
        let other = claim.value.as_ref().filter(|other| **other != holder_of(entry));
        let other = other.map_or(Seen { value: None, revision: 0 }, |other| self.entry(other));
        Scene { own: self.entry(&holder_of(entry)), claim, other }
    }

    fn make(&mut self, change: &Change) -> bool {
        let stands = |(key, revision): &(String, i64)| self.seen(key).revision == *revision;
        if !change.given.iter().all(stands) {
            return false;
        }
        let mut touched = BTreeSet::new();
        self.revision += 1;
        for step in &change.steps {
            let (Step::Put(key, _) | Step::Delete(key) | Step::DeleteIf(key, _)) = step;
            assert!(touched.insert(key.clone()), "etcd refuses to touch {key} twice");
            match step {
                Step::Put(key, value) => {
                    self.pairs.insert(key.clone(), (value.clone(), self.revision));
                }
                Step::DeleteIf(key, value) if self.seen(key).value.as_ref() != Some(value) => (),
                Step::Delete(key) | Step::DeleteIf(key, _) => drop(self.pairs.remove(key)),
            }
        }
        assert_eq!(self.seen(&change.proof.0).value.as_ref(), Some(&change.proof.1));
        true
    }

    fn bind(&mut self, entry: &Entry) -> Result<Bound> {
        match bind(&keys(), entry, &self.scene(entry))? {
            Plan::Stands(bound) => Ok(bound),
            Plan::Make(change, bound) => {
                assert!(self.make(&change));
                Ok(bound)
            }
        }
    }

    fn names(&self, of: &str) -> Vec<String> {
        let under = format!("/x/{of}/");
        self.pairs.keys().filter_map(|key| Some(key.strip_prefix(&under)?.to_owned())).collect()
    }

    /// That addresses and DUIDs say what bindings say, no more and no less.
    fn is_sound(&self) {
        let (mut claims, mut marks) = (BTreeSet::new(), BTreeSet::new());
        for name in self.names("bindings") {
            let entry = self.entry(&holder(&name).unwrap()).value.unwrap();
            let address = entry.binding.address.to_string();
            assert_eq!(self.pairs[&format!("/x/addresses/{address}")].0, name);
            assert!(claims.insert(address), "bound twice");
            marks.extend(keys().marks(&entry));
        }
        assert_eq!(self.names("addresses"), Vec::from_iter(claims));
        let under = ["clients", "duids"]
            .map(|of| self.names(of).into_iter().map(move |name| format!("/x/{of}/{name}")));
        assert_eq!(under.into_iter().flatten().collect::<BTreeSet<_>>(), marks);
    }
}

fn keys() -> Keys {
    Keys::under("/x")
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn entry(owner: &str, container: &str, address: &str, duid: &str, since: i64) -> Entry {
    let owner: crate::record::Owner = owner.parse().unwrap();
    let binding = Binding {
        lease: LeaseRef {
            key: Key::derive("test", &[container.as_bytes()]),
            address: "fd00::1".parse().unwrap(),
            prefix_len: None,
            duid: "00:03:00:01:aa".parse().ok(),
            iaid: Some(u32::MAX),
            hostname: "alpha".parse().ok(),
            rest: Default::default(),
        },
        container: container.parse().unwrap(),
        address: address.parse().unwrap(),
        duid: duid.parse().ok(),
        mac: None,
        host: Some(HostRef { id: "north".into(), url: None, tls: None, rest: Default::default() }),
        owner: Some(owner.clone()),
        since: at(since),
        until: None,
        rest: Default::default(),
    };
    Entry { owner, binding, docker_id: Some("abc".into()) }
}

#[test]
fn an_address_is_one_container_s() {
    let mut store = Store::default();
    store.bind(&entry("edge", "a", "fd01::1", "00:04:01", 10)).unwrap();
    for (owner, name, duid) in
        [("edge", "b", "00:04:02"), ("other", "a", "00:04:01"), ("edge", "b", "")]
    {
        let refused = store.bind(&entry(owner, name, "fd01::1", duid, 20)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
        let why = "it is bound to container a of edge on north since 1970-01-01T00:00:00.010Z";
        assert_eq!(refused.to_string(), format!("bind fd01::1: {why}"));
    }
    assert_eq!(store.names("bindings"), ["edge/a"]);
    store.is_sound();
}

#[test]
fn another_name_of_the_same_client_takes_over() {
    let mut store = Store::default();
    store.bind(&entry("edge", "old", "fd01::1", "00:04:01", 10)).unwrap();
    let bound = store.bind(&entry("edge", "new", "fd01::1", "00:04:01", 20)).unwrap();
    let closed = bound.instead_of.unwrap();
    assert_eq!((closed.container.as_str(), closed.until), ("old", Some(at(20))));
    assert_eq!(store.names("bindings"), ["edge/new"]);
    assert_eq!(store.names("history"), ["1970-01-01T00:00:00.020Z/edge/old/1"]);
    store.is_sound();
}

#[test]
fn what_says_the_same_stands_and_what_does_not_is_closed() {
    let mut store = Store::default();
    store.bind(&entry("edge", "a", "fd01::1", "00:04:01", 10)).unwrap();
    let again = store.bind(&entry("edge", "a", "fd01::1", "00:04:01", 20)).unwrap();
    assert_eq!(again, Bound { since: at(10), instead_of: None });
    assert_eq!(store.revision, 1, "nothing was written");
    // A clock that is behind ends no binding before it began.
    let moved = store.bind(&entry("edge", "a", "fd01::2", "00:04:02", 5)).unwrap();
    assert_eq!((moved.instead_of.unwrap().until, moved.since), (Some(at(10)), at(10)));
    assert_eq!(store.entry(&holder("edge/a").unwrap()).value.unwrap().binding.since, at(10));
    assert_eq!(store.names("addresses"), ["fd01::2"]);
    store.is_sound();
    let seen = store.entry(&holder("edge/a").unwrap());
    let (change, closed) = unbind(&keys(), &seen.value.unwrap(), seen.revision, at(30));
    assert!(store.make(&change));
    assert!(!store.make(&change), "it is made once");
    assert_eq!(closed.until, Some(at(30)));
    assert_eq!(store.names("history").len(), 2);
    assert_eq!(store.names("bindings"), [""; 0]);
    store.is_sound();
}

#[test]
fn what_others_have_broken_is_mended() {
    let mut store = Store::default();
    let a = entry("edge", "a", "fd01::1", "00:04:01", 10);
    store.bind(&a).unwrap();
    store.pairs.remove("/x/addresses/fd01::1");
    assert_eq!(store.bind(&a).unwrap().since, at(10));
    store.is_sound();
    // A claim whose binding is gone, or is another address's, holds nothing.
    store.pairs.remove("/x/bindings/edge/a");
    store.pairs.retain(|key, _| key.starts_with("/x/addresses/"));
    store.bind(&entry("other", "b", "fd01::1", "00:04:02", 20)).unwrap();
    store.is_sound();
}

#[test]
fn a_plan_holds_for_what_it_was_made_from_and_for_nothing_else() {
    let mut chance = 11u64;
    let mut below = |limit: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % limit
    };
    let mut store = Store::default();
    let mut planned: Vec<Change> = Vec::new();
    let (mut made, mut stale) = (0, 0);
    for time in 0..4_000 {
        let name = ["a", "b", "c", "d"][below(4) as usize];
        let address = ["fd01::1", "fd01::2", "fd01::3"][below(3) as usize];
        let owner = ["edge", "edge-2"][below(2) as usize];
        let duid = ["00:04:01", "00:04:02", ""][below(3) as usize];
        let entry = entry(owner, name, address, duid, time);
        let own = store.entry(&holder_of(&entry));
        match (below(3), &own.value) {
            (0, Some(held)) => planned.push(unbind(&keys(), held, own.revision, at(time)).0),
            _ => match bind(&keys(), &entry, &store.scene(&entry)) {
                Ok(Plan::Make(change, _)) => planned.push(change),
                Ok(Plan::Stands(_)) => (),
                Err(why) => assert_eq!(why.kind(), Kind::Refused),
            },
        }
        // Plans are carried out later and in another order than they were made.
        if planned.len() > 4 {
            let change = planned.swap_remove(below(5) as usize);
            let before = store.names("bindings").len() + store.names("history").len();
            match store.make(&change) {
                true => made += 1,
                false => stale += 1,
            }
            let after = store.names("bindings").len() + store.names("history").len();
            assert!(after >= before, "no binding is lost, it ends in history");
            store.is_sound();
        }
    }
    assert!(made > 300 && stale > 300, "{made} {stale}");
}
