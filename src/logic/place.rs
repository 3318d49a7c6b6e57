//! Which host a container goes to: the least busy one, and then for good.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, Kind, Result};
use crate::record::{Action, Change, Container, ContainerId, Host, HostRef, HostState, State};

/// Hosts, and how many containers each has.
#[derive(Clone, Debug)]
pub struct Placer {
    hosts: Vec<Host>,
    load: Vec<u64>,
    by_id: BTreeMap<String, usize>,
    /// Where the containers are that went through here.
    places: HashMap<ContainerId, usize>,
}

/// Whether a container was on its host before.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    There,
    New,
}

impl Placer {
    /// A placer over these hosts. What a host says of its use counts from the start.
    ///
    /// # Errors
    /// `BadInput` when there is no host, or two of one name.
    pub fn new(hosts: Vec<Host>) -> Result<Placer> {
        let mut by_id = BTreeMap::new();
        for (at, host) in hosts.iter().enumerate() {
            if by_id.insert(host.id.clone(), at).is_some() {
                let what = format!("host \"{}\" stands twice", host.id);
                return Err(Error::new(Kind::BadInput, what));
            }
        }
        if hosts.is_empty() {
            return Err(Error::new(Kind::BadInput, "there is no host to place containers on"));
        }
        let used = |host: &Host| host.used.as_ref().map_or(0, |used| used.containers);
        let load = hosts.iter().map(used).collect();
        Ok(Placer { hosts, load, by_id, places: HashMap::new() })
    }

    /// Gives the change's container a host. One that has a host keeps it; a new one goes to the
    /// active host with the fewest containers, the first in the list among equals.
    ///
    /// # Errors
    /// `NotFound` when the container asks for a host that is not in the list, `Unavailable` when
    /// no host takes containers.
    pub fn change(&mut self, change: &mut Change) -> Result<()> {
        let container = &mut change.container;
        match change.action {
            Action::Remove => self.leave(container),
            Action::Keep | Action::Replace => self.settle(container, Known::There),
            Action::Add => self.settle(container, Known::New),
        }
    }

    /// Gives a bare container a host, by the same rules.
    pub fn container(&mut self, container: &mut Container) -> Result<()> {
        match container.state {
            Some(State::Absent) => self.leave(container),
            Some(_) => self.settle(container, Known::There),
            None => self.settle(container, Known::New),
        }
    }

    fn leave(&mut self, container: &mut Container) -> Result<()> {
        let completed = self.complete(container);
        let at = container.host.as_ref().and_then(|host| self.by_id.get(&host.id)).copied();
        // A host that tells its use has counted a container that was never heard of here.
        match at.filter(|at| self.hosts[*at].used.is_some()) {
            Some(at) if !self.places.contains_key(&container.id) => {
                self.load[at] = self.load[at].saturating_sub(1);
            }
            _ => self.forget(&container.id),
        }
        completed
    }

    fn settle(&mut self, container: &mut Container, known: Known) -> Result<()> {
        if container.host.is_none() {
            let at = match self.places.get(&container.id) {
                Some(at) => *at,
                None => self.least_busy()?,
            };
            container.host = Some(self.hosts[at].as_ref());
        }
        self.complete(container)?;
        self.count(container, known);
        Ok(())
    }

    fn least_busy(&self) -> Result<usize> {
        let active =
            |at: &usize| !matches!(self.hosts[*at].state, Some(HostState::Drain | HostState::Down));
        (0..self.hosts.len()).filter(active).min_by_key(|at| self.load[*at]).ok_or_else(|| {
            Error::new(Kind::Unavailable, "no host takes containers").why("all drain or are down")
        })
    }

    /// Looks up the address of a host that is known by name only.
    fn complete(&self, container: &mut Container) -> Result<()> {
        if container.host.is_none() {
            let place = self.places.get(&container.id).copied();
            let only = (self.hosts.len() == 1).then_some(0);
            container.host = place.or(only).map(|at| self.hosts[at].as_ref());
        }
        let Some(HostRef { id, url, .. }) = &mut container.host else { return Ok(()) };
        let same = |host: &&Host| url.as_ref() == Some(&host.url);
        match (self.by_id.get(id), &url) {
            (Some(at), None) => *url = Some(self.hosts[*at].url.clone()),
            (None, None) => {
                let known: Vec<&str> = self.by_id.keys().map(String::as_str).collect();
                let what = format!("host \"{id}\" is not in the list");
                let error = Error::new(Kind::NotFound, what);
                return Err(error.remedy(format_args!("known are {}", known.join(", "))));
            }
            // Whoever listed the container may know its host by another name.
            (None, Some(_)) => {
                if let Some(host) = self.hosts.iter().find(same) {
                    id.clone_from(&host.id);
                }
            }
            (Some(_), Some(_)) => (),
        }
        Ok(())
    }

    /// Counts a container on its host, once. What was there before is in the use that a host tells.
    fn count(&mut self, container: &Container, known: Known) {
        let at = container.host.as_ref().and_then(|host| self.by_id.get(&host.id)).copied();
        let before = self.places.get(&container.id).copied();
        if at == before {
            return;
        }
        self.forget(&container.id);
        if let Some(at) = at {
            let told = known == Known::There && before.is_none() && self.hosts[at].used.is_some();
            self.load[at] += u64::from(!told);
            self.places.insert(container.id.clone(), at);
        }
    }

    fn forget(&mut self, id: &ContainerId) {
        if let Some(at) = self.places.remove(id) {
            self.load[at] = self.load[at].saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placer(hosts: &[&str]) -> Placer {
        let host = |text: &&str| serde_json::from_str(text).unwrap();
        Placer::new(hosts.iter().map(host).collect()).unwrap()
    }

    fn change(action: Action, id: &str, host: &str) -> Change {
        let text = format!(r#"{{"id":"{id}","image":"b"{host}}}"#);
        Change::new(action, serde_json::from_str(&text).unwrap())
    }

    fn place(placer: &mut Placer, action: Action, id: &str, host: &str) -> Option<String> {
        let mut change = change(action, id, host);
        placer.change(&mut change).unwrap();
        change.container.host.map(|host| host.id)
    }

    const A: &str = r#"{"kind":"host","id":"a","url":"unix:///a"}"#;
    const B: &str = r#"{"kind":"host","id":"b","url":"unix:///b"}"#;

    #[test]
    fn new_ones_go_where_the_fewest_are_and_the_rest_stays() {
        let mut placer = placer(&[A, B]);
        let mut at = |action, id, host| place(&mut placer, action, id, host).unwrap();
        assert_eq!(at(Action::Keep, "1", r#","host":{"id":"a"}"#), "a");
        assert_eq!(at(Action::Keep, "2", r#","host":{"id":"a"}"#), "a");
        assert_eq!(at(Action::Add, "3", ""), "b");
        assert_eq!(at(Action::Add, "4", ""), "b");
        assert_eq!(at(Action::Add, "5", ""), "a");
        assert_eq!(at(Action::Add, "5", ""), "a", "asked for again");
        assert_eq!(at(Action::Remove, "3", r#","host":{"id":"b"}"#), "b");
        assert_eq!(at(Action::Add, "6", ""), "b");
    }

    #[test]
    fn a_host_that_drains_takes_no_more() {
        let drain = r#"{"kind":"host","id":"a","url":"unix:///a","state":"drain"}"#;
        let mut some = placer(&[drain, B]);
        assert_eq!(place(&mut some, Action::Add, "1", "").unwrap(), "b");
        let mut none = placer(&[drain]);
        let error = none.change(&mut change(Action::Add, "1", "")).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
    }

    #[test]
    fn use_that_a_host_tells_counts() {
        let busy = r#"{"kind":"host","id":"a","url":"unix:///a","used":{"containers":5}}"#;
        assert_eq!(place(&mut placer(&[busy, B]), Action::Add, "1", "").unwrap(), "b");
        let two = r#"{"kind":"host","id":"a","url":"unix:///a","used":{"containers":2}}"#;
        let mut placer = placer(&[two, B]);
        let mut at = |action, id, host| place(&mut placer, action, id, host).unwrap();
        at(Action::Keep, "1", r#","host":{"id":"a"}"#);
        assert_eq!(at(Action::Add, "2", ""), "b");
        at(Action::Remove, "1", r#","host":{"id":"a"}"#);
        at(Action::Remove, "0", r#","host":{"id":"a"}"#);
        assert_eq!(at(Action::Add, "3", ""), "a", "both that it told of are gone");
    }

    #[test]
    fn a_host_under_another_name_is_known_by_where_it_listens() {
        let mut placer = placer(&[A, B]);
        let local = |url: &str| format!(r#","host":{{"id":"local","url":"unix:///{url}"}}"#);
        let mut at = |action, id, host: &str| place(&mut placer, action, id, host).unwrap();
        assert_eq!(at(Action::Keep, "1", &local("b")), "b");
        assert_eq!(at(Action::Remove, "1", &local("b")), "b");
        assert_eq!(at(Action::Keep, "2", &local("elsewhere")), "local");
    }

    #[test]
    fn a_host_that_is_unknown_is_told() {
        let mut placer = placer(&[A]);
        let error =
            placer.change(&mut change(Action::Add, "1", r#","host":{"id":"z"}"#)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("known are a"));
    }

    #[test]
    fn hosts_must_be_there_and_have_names_of_their_own() {
        assert!(Placer::new(vec![]).is_err());
        assert!(Placer::new(vec![Host::local(), Host::local()]).is_err());
    }
}
