use std::collections::BTreeSet;

use super::*;
use crate::record::Of;

/// A lease of the source `test`; the IAID is part of the key.
fn of(event: LeaseEvent, r#type: LeaseType, duid: u8, iaid: u32, address: &str) -> Lease {
    let duid = Duid::new(&[0, 3, duid]).unwrap();
    let ended = matches!(event, LeaseEvent::Expire | LeaseEvent::Release);
    let (address, len) = match address.split_once('/') {
        Some((address, len)) => (address, Some(len.parse().unwrap())),
        None => (address, None),
    };
    Lease {
        event,
        state: if ended { LeaseState::Ended } else { LeaseState::Active },
        family: Family::Ipv6,
        r#type,
        key: Key::of_client(&duid, Some(iaid)),
        duid: Some(duid),
        iaid: Some(iaid),
        client_id: None,
        mac: None,
        address: address.parse().unwrap(),
        prefix_len: len,
        prefix: None,
        hostname: None,
        vendor_class: Vec::new(),
        user_class: Vec::new(),
        expires_at: None,
        grace_until: None,
        source: "test".to_owned(),
        rest: Default::default(),
    }
}

fn lease(event: LeaseEvent, duid: u8, address: &str) -> Lease {
    of(event, LeaseType::Na, duid, 1, address)
}

/// A prefix under an IAID that is not the address's.
fn prefix(event: LeaseEvent, duid: u8, prefix: &str) -> Lease {
    of(event, LeaseType::Pd, duid, 2, prefix)
}

fn from(source: &str, lease: Lease) -> Lease {
    Lease { source: source.to_owned(), ..lease }
}

fn end() -> Checkpoint {
    end_of("test")
}

fn end_of(source: &str) -> Checkpoint {
    Checkpoint { source: Some(source.to_owned()), ..Checkpoint::new(Of::Lease, 0) }
}

/// Takes in the records; gives the clients that each of them makes others.
fn tell(clients: &mut Clients, leases: &[Lease]) -> Vec<Vec<Key>> {
    leases.iter().map(|lease| clients.update(lease).unwrap()).collect()
}

use LeaseEvent::{Add, Change, Expire, List, Release, Renew};

#[test]
fn a_client_with_several_leases_is_known_by_the_first() {
    let mut clients = Clients::default();
    let (nine, three) = (lease(List, 1, "2001:db8::9"), lease(List, 1, "2001:db8::3"));
    let key = nine.key;
    tell(&mut clients, &[nine, three]);
    let client = clients.get(key).unwrap();
    assert_eq!(client.address.to_string(), "2001:db8::3");
    assert_eq!(client.addresses.len(), 2);
    tell(&mut clients, &[lease(Expire, 1, "2001:db8::3")]);
    assert_eq!(clients.get(key).unwrap().address.to_string(), "2001:db8::9");
    tell(&mut clients, &[lease(Release, 1, "2001:db8::9")]);
    assert_eq!(clients.get(key), None);
}

#[test]
fn what_a_listing_leaves_out_is_gone_and_what_came_meanwhile_is_not() {
    let mut clients = Clients::default();
    let (a, b, c) = ("2001:db8::1", "2001:db8::2", "2001:db8::3");
    let key = |duid| lease(List, duid, a).key;
    tell(&mut clients, &[lease(List, 1, a), lease(List, 2, b)]);
    assert!(!clients.is_complete());
    assert_eq!(clients.checkpoint(&end()), []);
    assert!(clients.is_complete());
    tell(&mut clients, &[lease(List, 2, b), lease(Add, 3, c)]);
    assert_eq!(clients.checkpoint(&Checkpoint { partial: true, ..end() }), []);
    tell(&mut clients, &[lease(List, 2, b), lease(List, 3, c)]);
    assert_eq!(clients.checkpoint(&end()), [key(1)]);
    assert!(clients.has(key(2)) && clients.has(key(3)));
}

#[test]
fn a_renewal_and_its_grace_change_nobody() {
    let mut clients = Clients::default();
    let first = lease(List, 1, "2001:db8::1");
    tell(&mut clients, std::slice::from_ref(&first));
    let soon = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let later = Lease { expires_at: Some(soon), event: Renew, ..first.clone() };
    let graced = Lease { grace_until: Some(soon), ..later.clone() };
    assert_eq!(tell(&mut clients, &[later, graced]), [[], []]);
    let named = Lease { hostname: Some("new".parse().unwrap()), event: Change, ..first.clone() };
    assert_eq!(tell(&mut clients, &[named]), [[first.key]]);
}

#[test]
fn classes_are_those_of_all_its_leases() {
    let mut clients = Clients::default();
    let with = |address: &str, vendor: &[&str], user: &[&str]| Lease {
        vendor_class: vendor.iter().map(ToString::to_string).collect(),
        user_class: user.iter().map(ToString::to_string).collect(),
        ..lease(List, 1, address)
    };
    let key = lease(List, 1, "::1").key;
    let leases = [with("2001:db8::1", &["b", "a"], &[]), with("2001:db8::2", &["a"], &["u"])];
    tell(&mut clients, &leases);
    let client = clients.get(key).unwrap();
    assert_eq!((client.classes.vendor, client.classes.user), (words(&["a", "b"]), words(&["u"])));
    tell(&mut clients, &[lease(Expire, 1, "2001:db8::1")]);
    assert_eq!(clients.get(key).unwrap().classes.vendor, words(&["a"]));
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn a_prefix_is_found_by_the_duid_of_its_source() {
    let mut clients = Clients::default();
    let (na, pd) = (lease(List, 1, "2001:db8::1"), prefix(List, 1, "2001:db8:f::/56"));
    let foreign = from("other", prefix(List, 1, "2001:db8:bad::/56"));
    assert_ne!(na.key, pd.key);
    let touched = tell(&mut clients, &[na.clone(), foreign.clone(), pd.clone()]);
    assert!(touched[2].contains(&na.key));
    let told = |clients: &Clients| -> Vec<String> {
        let client = clients.get(na.key).unwrap();
        client.prefixes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&clients), ["2001:db8:f::/56"]);
    assert_eq!(clients.get(na.key).unwrap().types, [LeaseType::Na, LeaseType::Pd]);
    assert!(!clients.has(pd.key), "it is no client besides");
    let gone = tell(&mut clients, &[prefix(Expire, 1, "2001:db8:f::/56")]);
    assert!(gone[0].contains(&na.key));
    assert_eq!(told(&clients), [""; 0]);
}

#[test]
fn a_prefix_alone_makes_a_client_until_there_is_an_address() {
    let (na, pd) = (lease(Add, 1, "2001:db8::1"), prefix(Add, 1, "2001:db8:f::/56"));
    let mut clients = Clients::default();
    assert_eq!(tell(&mut clients, std::slice::from_ref(&pd)), [[pd.key]]);
    let client = clients.get(pd.key).unwrap();
    assert!(client.is_of_prefix_alone());
    assert_eq!(client.addresses, [pd.address]);
    // Who goes is told before who comes, which frees its place in time.
    let touched = tell(&mut clients, std::slice::from_ref(&na));
    assert_eq!(touched, [[pd.key, na.key]]);
    assert_eq!(clients.keys().collect::<Vec<_>>(), [na.key]);
    let touched = tell(&mut clients, &[lease(Expire, 1, "2001:db8::1")]);
    assert_eq!(touched, [[na.key, pd.key]]);
    assert_eq!(clients.keys().collect::<Vec<_>>(), [pd.key]);
    // Under one key they are one client whatever comes.
    let same = of(Add, LeaseType::Na, 1, 2, "2001:db8::2");
    tell(&mut clients, std::slice::from_ref(&same));
    assert_eq!(clients.get(pd.key).unwrap().address, same.address);
    assert_eq!(clients.get(pd.key).unwrap().prefixes.len(), 1);
}

#[test]
fn one_partial_listing_leaves_the_whole_partial() {
    let mut clients = Clients::default();
    let (a, b) = (lease(List, 1, "2001:db8::1"), from("b", lease(List, 2, "2001:db8::2")));
    tell(&mut clients, &[a.clone(), b.clone()]);
    clients.checkpoint(&end());
    assert!(!clients.is_complete());
    clients.checkpoint(&Checkpoint { partial: true, ..end_of("b") });
    assert!(clients.is_complete() && clients.is_partial());
    tell(&mut clients, std::slice::from_ref(&a));
    clients.checkpoint(&end());
    assert!(clients.is_partial(), "what is missing from the other one is missing still");
    assert!(clients.has(b.key));
    tell(&mut clients, std::slice::from_ref(&b));
    clients.checkpoint(&end_of("b"));
    assert!(!clients.is_partial());
    clients.checkpoint(&Checkpoint { partial: true, ..end() });
    clients.checkpoint(&end_of("b"));
    assert!(clients.is_partial(), "whichever of them it is");
}

#[test]
fn what_could_not_be_understood_leaves_a_listing_partial() {
    let mut clients = Clients::default();
    let a = lease(List, 1, "2001:db8::1");
    tell(&mut clients, std::slice::from_ref(&a));
    clients.checkpoint(&end());
    clients.doubt();
    assert_eq!(clients.checkpoint(&end()), [], "the bad line may have been that client's");
    assert!(clients.is_partial());
    assert_eq!(clients.checkpoint(&end()), [a.key]);
    assert!(!clients.is_partial());
    let bad = Lease { prefix_len: None, ..prefix(List, 1, "2001:db8::/56") };
    assert!(clients.update(&bad).unwrap_err().contains("prefix_len"));
    clients.checkpoint(&end());
    assert!(clients.is_partial());
}

/// Numbers that look arbitrary and are the same in every run.
struct Random(u64);

impl Random {
    fn upto(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % most
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.upto(at + 1));
        }
    }
}

/// An arbitrary lease out of a small world, so that much of it meets.
fn arbitrary(random: &mut Random, event: LeaseEvent) -> Lease {
    let (duid, iaid) = (random.upto(4) as u8, random.upto(2) as u32);
    let source = ["a", "b"][random.upto(2)];
    let mut lease = match random.upto(3) {
        0 => of(event, LeaseType::Pd, duid, iaid, &format!("2001:db8:{duid}{iaid}::/56")),
        1 => of(event, LeaseType::Ta, duid, iaid, &format!("2001:db8::1:{duid}:{iaid}")),
        _ => of(event, LeaseType::Na, duid, iaid, &format!("2001:db8::{duid}:{iaid}")),
    };
    if random.upto(3) == 0 {
        lease.vendor_class = vec![format!("v{}", random.upto(2))];
    }
    from(source, lease)
}

/// Everyone, as they are seen.
fn everyone(clients: &Clients) -> Vec<Client> {
    clients.keys().filter_map(|key| clients.get(key)).collect()
}

/// A store that has been told these and nothing else, in one listing.
fn listed(leases: &[Lease]) -> Clients {
    let mut clients = Clients::default();
    for lease in leases {
        clients.update(&Lease { event: List, state: LeaseState::Active, ..lease.clone() }).unwrap();
    }
    clients
}

fn place(lease: &Lease) -> (Key, LeaseType, IpAddr, String) {
    (lease.key, lease.r#type, lease.address, lease.source.clone())
}

#[test]
fn shuffled_and_doubled_listings_say_the_same() {
    let mut random = Random(1);
    for round in 0..200 {
        let mut leases: Vec<Lease> = Vec::new();
        for _ in 0..random.upto(12) {
            let lease = arbitrary(&mut random, List);
            leases.retain(|known| place(known) != place(&lease));
            leases.push(lease);
        }
        let straight = everyone(&listed(&leases));
        let mut doubled = [&leases[..], &leases[..]].concat();
        random.shuffle(&mut doubled);
        let mut clients = listed(&doubled);
        for source in ["a", "b"] {
            clients.checkpoint(&end_of(source));
        }
        assert_eq!(everyone(&clients), straight, "round {round}");
        // A second listing in yet another order changes nobody.
        random.shuffle(&mut leases);
        for lease in &leases {
            assert_eq!(clients.update(lease), Ok(vec![]), "round {round}");
        }
        for source in ["a", "b"] {
            assert_eq!(clients.checkpoint(&end_of(source)), [], "round {round}");
        }
        assert_eq!(everyone(&clients), straight, "round {round}");
    }
}

#[test]
fn a_history_ends_as_a_listing_of_its_end_and_tells_whoever_it_changes() {
    let mut random = Random(2);
    for round in 0..60 {
        let mut clients = Clients::default();
        let mut there: Vec<Lease> = Vec::new();
        let mut known: BTreeMap<Key, Client> = BTreeMap::new();
        for step in 0..60 {
            let touched: BTreeSet<Key> = if random.upto(10) > 0 {
                let event = [Add, Change, Expire][random.upto(3)];
                let lease = arbitrary(&mut random, event);
                there.retain(|known| place(known) != place(&lease));
                if lease.state == LeaseState::Active {
                    there.push(lease.clone());
                }
                clients.update(&lease).unwrap().into_iter().collect()
            } else {
                // A source lists anew, and has lost some leases of which it told nothing.
                let source = ["a", "b"][random.upto(2)];
                there.retain(|lease| lease.source != source || random.upto(3) > 0);
                let mut again: Vec<Lease> =
                    there.iter().filter(|lease| lease.source == source).cloned().collect();
                random.shuffle(&mut again);
                let mut touched = BTreeSet::new();
                for lease in again {
                    let lease = Lease { event: List, ..lease };
                    touched.extend(clients.update(&lease).unwrap());
                }
                touched.extend(clients.checkpoint(&end_of(source)));
                touched
            };
            let now: BTreeMap<Key, Client> =
                everyone(&clients).into_iter().map(|client| (client.key, client)).collect();
            let names: BTreeSet<Key> = known.keys().chain(now.keys()).copied().collect();
            for key in names {
                let changed = known.get(&key) != now.get(&key);
                assert!(!changed || touched.contains(&key), "round {round}, step {step}: {key}");
            }
            known = now;
        }
        assert_eq!(everyone(&clients), everyone(&listed(&there)), "round {round}");
        // Nothing is left of who has gone.
        for lease in there {
            clients.update(&Lease { event: Expire, state: LeaseState::Ended, ..lease }).unwrap();
        }
        let left = (clients.leases.len(), clients.addressed.len(), clients.delegated.len());
        assert_eq!(left, (0, 0, 0), "round {round}");
    }
}
