//! A later list of the same hosts.

use super::Placer;
use super::ground::Ground;
use crate::record::Host;

impl Placer {
    /// Takes over from a later list which of the hosts are up and which drain. What it says of their
    /// use is passed over: what went to them through here is counted already.
    ///
    /// Gives false, and takes over nothing, when a host is new, gone or described otherwise.
    pub fn hear(&mut self, hosts: &[Host]) -> bool {
        self.ground.hear(hosts)
    }
}

impl Ground {
    fn hear(&mut self, later: &[Host]) -> bool {
        let known = |host: &Host| {
            let at = self.host(&host.id)? as usize;
            is_same(&self.hosts[at], host).then_some(at)
        };
        let places: Option<Vec<usize>> = later.iter().map(known).collect();
        let Some(places) = places.filter(|places| places.len() == self.hosts.len()) else {
            return false;
        };
        let mut changed = false;
        for (at, host) in places.into_iter().zip(later) {
            let known = &mut self.hosts[at];
            changed |= known.state != host.state;
            known.state = host.state;
            known.reason.clone_from(&host.reason);
        }
        if changed {
            self.classes.look_again(&self.hosts);
            // What did not fit may now.
            self.freed += 1;
        }
        true
    }
}

fn is_same(known: &Host, later: &Host) -> bool {
    known.url == later.url
        && known.tls == later.tls
        && known.labels == later.labels
        && known.capacity == later.capacity
}

#[cfg(test)]
mod tests {
    use super::super::{How, Outcome};
    use super::*;
    use crate::record::{Action, Change, Container};

    fn hosts(states: &[&str]) -> Vec<Host> {
        let host = |(at, state): (usize, &&str)| {
            let text = format!(
                r#"{{"id":"h{at}","url":"unix:///{at}","state":"{state}","labels":{{"zone":"{}"}},
                    "capacity":{{"containers":2}},"used":{{"containers":{at}}}}}"#,
                at % 2
            );
            serde_json::from_str(&text).unwrap()
        };
        states.iter().enumerate().map(host).collect()
    }

    fn placer(states: &[&str]) -> Placer {
        let mut placer = Placer::new(hosts(states), How::default()).unwrap();
        placer.settle(true);
        placer
    }

    fn goes(placer: &mut Placer, id: &str, more: &str) -> Option<String> {
        let text = format!(r#"{{"id":"{id}","image":"b"{more}}}"#);
        let container: Container = serde_json::from_str(&text).unwrap();
        let mut change = Change::new(Action::Add, container);
        match placer.change(&mut change) {
            Outcome::Done => change.container.host.map(|host| host.id),
            _ => None,
        }
    }

    #[test]
    fn what_goes_down_or_drains_is_left_and_what_comes_back_is_used() {
        let mut placer = placer(&["active", "active"]);
        assert_eq!(goes(&mut placer, "a", "").as_deref(), Some("h0"));
        assert!(placer.hear(&hosts(&["down", "active"])));
        assert_eq!(goes(&mut placer, "a", "").as_deref(), Some("h1"));
        // The other host is full, and what was told of that is not told for ever.
        assert_eq!(goes(&mut placer, "b", ""), None);
        assert!(placer.hear(&hosts(&["drain", "active"])));
        assert_eq!(goes(&mut placer, "b", ""), None);
        assert!(placer.hear(&hosts(&["active", "drain"])));
        assert_eq!(goes(&mut placer, "b", "").as_deref(), Some("h0"));
    }

    #[test]
    fn zones_are_those_of_the_hosts_that_are_there() {
        let mut placer = placer(&["active", "active"]);
        let spread = r#","requires":{"spread":"zone","group":"g"}"#;
        assert_eq!(goes(&mut placer, "a", spread).as_deref(), Some("h0"));
        assert!(placer.hear(&hosts(&["active", "down"])));
        assert_eq!(goes(&mut placer, "b", spread).as_deref(), Some("h0"));
    }

    #[test]
    fn other_hosts_are_another_list() {
        let mut placer = placer(&["active", "active"]);
        assert!(!placer.hear(&hosts(&["down"])));
        assert!(!placer.hear(&hosts(&["down", "down", "down"])));
        let mut moved = hosts(&["down", "down"]);
        moved[1].url = "unix:///elsewhere".to_owned();
        assert!(!placer.hear(&moved));
        assert_eq!(goes(&mut placer, "a", "").as_deref(), Some("h0"), "nothing is taken over");
    }
}
