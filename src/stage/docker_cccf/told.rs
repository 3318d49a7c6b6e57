//! What was told of each container, and what is to be told next.
//!
//! Who reads the records knows containers by their names, and engines know them by their ids: one name
//! may go from one container to the next, and nobody is to hear that it is gone while it is there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Options;
use crate::adapter::docker::swarm::SwarmId;
use crate::record::{Container, ContainerId, Object, State};

/// Whose a container is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The host's with that number.
    Host(usize),
    /// A swarm's, whichever of its managers tells of it.
    Swarm(SwarmId),
}

/// A container, by whose it is and the engine's own id.
pub(super) type Place = (Source, String);

/// What was told last of each container.
pub(super) struct Told {
    options: Arc<Options>,
    last: HashMap<Place, Container>,
}

impl Told {
    /// Nothing yet.
    pub(super) fn new(options: Arc<Options>) -> Told {
        Told { options, last: HashMap::new() }
    }

    /// These are all that there are: what is to be told of those that were told before and are not
    /// among them.
    pub(super) fn are_all(&mut self, listed: &[(Place, Container)]) -> Vec<Container> {
        let before = std::mem::replace(&mut self.last, listed.iter().cloned().collect());
        let names: HashSet<(&Source, &ContainerId)> =
            self.last.iter().map(|((of, _), container)| (of, &container.id)).collect();
        let mut gone = Vec::new();
        for (place, container) in before {
            // Another one may have its name by now.
            if !self.last.contains_key(&place) && !names.contains(&(&place.0, &container.id)) {
                gone.push(self.absent(&container));
            }
        }
        gone
    }

    /// These are all that there are of one source, by their ids: what is to be told of that.
    pub(super) fn are_all_of(
        &mut self,
        source: &Source,
        listed: Vec<(String, Container)>,
    ) -> Vec<Container> {
        let ids: HashSet<&String> = listed.iter().map(|(id, _)| id).collect();
        let of_it = self.last.keys().filter(|(of, _)| of == source);
        let gone: Vec<Place> = of_it.filter(|(_, id)| !ids.contains(id)).cloned().collect();
        let there = listed.into_iter().map(|(id, now)| ((source.clone(), id), Some(now)));
        let now = there.chain(gone.into_iter().map(|place| (place, None)));
        now.collect::<Vec<_>>()
            .into_iter()
            .flat_map(|(place, now)| self.is_now(place, now))
            .collect()
    }

    /// A container is like this now, or is not there: what is to be told of that, in this order.
    pub(super) fn is_now(&mut self, place: Place, now: Option<Container>) -> Vec<Container> {
        let of = place.0.clone();
        let before = self.last.remove(&place);
        if let Some(container) = &now {
            self.last.insert(place, container.clone());
        }
        match (before, now) {
            (Some(before), Some(now)) if before == now => Vec::new(),
            (_, Some(now)) if !self.options.tells(&now) => Vec::new(),
            (Some(before), Some(now)) if before.id != now.id => {
                self.gone(&of, &before).into_iter().chain([now]).collect()
            }
            (_, Some(now)) => vec![now],
            (Some(before), None) => self.gone(&of, &before).into_iter().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// That a container is there no more, unless another one has its name by now.
    fn gone(&self, of: &Source, gone: &Container) -> Option<Container> {
        let is_there = self.last.iter().any(|((its, _), other)| its == of && other.id == gone.id);
        (!is_there).then(|| self.absent(gone))
    }

    /// What is left to say of a container that is gone; who plugged it in has to know what as.
    fn absent(&self, gone: &Container) -> Container {
        match self.options.landing {
            true => Container {
                key: gone.key,
                networks: gone.networks.clone(),
                private_network: gone.private_network.clone(),
                ..absent(gone)
            },
            false => absent(gone),
        }
    }
}

fn absent(gone: &Container) -> Container {
    let mut bare = Object::default();
    bare.set("id", &gone.id);
    bare.set("image", &gone.image);
    let mut bare = Container::try_from(bare).unwrap_or_else(|_| gone.clone());
    bare.host = gone.host.clone();
    bare.owner = gone.owner.clone();
    bare.state = Some(State::Absent);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HostsAt;
    use crate::stage::engines::Reach;

    fn told() -> Told {
        Told::new(Arc::new(Options {
            hosts: HostsAt::local(),
            reach: Reach::new(false),
            swarm: false,
            owner: None,
            labels: Vec::new(),
            all: false,
            landing: false,
            follow: true,
            resync: None,
        }))
    }

    fn container(name: &str, state: &str) -> Container {
        let text = format!(r#"{{"id":"{name}","image":"b","env":["A=1"],"state":"{state}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn place(at: usize, id: &str) -> Place {
        (Source::Host(at), id.to_owned())
    }

    fn words(records: Vec<Container>) -> Vec<String> {
        let word = |record: &Container| {
            let state = serde_json::to_string(&record.state).unwrap();
            format!("{} {}", record.id, state.trim_matches('"'))
        };
        records.iter().map(word).collect()
    }

    #[test]
    fn a_name_is_gone_only_when_nobody_on_that_host_has_it() {
        let mut told = told();
        let runs = |name: &str| Some(container(name, "running"));
        assert_eq!(words(told.is_now(place(0, "1"), runs("web"))), ["web running"]);
        assert_eq!(words(told.is_now(place(0, "1"), runs("web"))), [""; 0]);
        // Another one takes the name before the first is gone.
        assert_eq!(words(told.is_now(place(0, "2"), runs("web"))), ["web running"]);
        assert_eq!(words(told.is_now(place(0, "1"), None)), [""; 0]);
        // The same name on another host is another container.
        assert_eq!(words(told.is_now(place(1, "3"), runs("web"))), ["web running"]);
        assert_eq!(words(told.is_now(place(0, "2"), runs("old"))), ["web absent", "old running"]);
        assert_eq!(words(told.is_now(place(0, "2"), None)), ["old absent"]);
        assert_eq!(words(told.is_now(place(0, "2"), None)), [""; 0]);
    }

    #[test]
    fn a_listing_tells_what_went_while_nobody_listened() {
        let mut told = told();
        let listing = |all: &[(&str, &str)]| -> Vec<(Place, Container)> {
            all.iter().map(|(id, name)| (place(0, id), container(name, "running"))).collect()
        };
        assert_eq!(words(told.are_all(&listing(&[("1", "a"), ("2", "b")]))), [""; 0]);
        let gone = told.are_all(&listing(&[("3", "a")]));
        assert!(gone[0].env.is_empty());
        assert_eq!(words(gone), ["b absent"]);
    }

    #[test]
    fn who_tells_of_a_swarm_in_place_of_another_tells_what_has_changed() {
        let mut told = told();
        let (a, b) = (Source::Swarm(SwarmId::new("a")), Source::Swarm(SwarmId::new("b")));
        let of = |all: &[(&str, &str, &str)]| -> Vec<(String, Container)> {
            let one = |(id, name, host): &(&str, &str, &str)| {
                let host = Some(crate::record::Host::new(host, "unix:///x").as_ref());
                (id.to_string(), Container { host, ..container(name, "running") })
            };
            all.iter().map(one).collect()
        };
        let first = [("1", "web", "m1"), ("2", "db", "m1"), ("3", "old", "m1")];
        assert_eq!(words(told.are_all_of(&a, of(&first))).len(), 3);
        assert_eq!(words(told.are_all_of(&b, of(&[("1", "web", "m9")]))), ["web running"]);
        assert_eq!(words(told.are_all_of(&a, of(&first))), [""; 0]);
        // By another manager: the one name has another service by now, and one is gone.
        let records = told.are_all_of(&a, of(&[("1", "web", "m2"), ("4", "db", "m2")]));
        let host = |at: usize| records[at].host.as_ref().unwrap().id.clone();
        assert_eq!([host(0), host(1), host(2)], ["m2", "m2", "m1"]);
        assert_eq!(words(records), ["web running", "db running", "old absent"]);
        assert_eq!(words(told.are_all_of(&b, Vec::new())), ["web absent"]);
    }
}
