//! What the host's links tell of the networks that containers are on.
//!
//! A link that was down and is up again may lead elsewhere than before, and so may a bridge whose
//! other ports did (RFC 8415 section 18.2.12). That is a doubt, which a server dispels. A link or a
//! bridge that is gone, or is another one of the same name, is something to look at; and so is a link
//! that was down, because it may have been switched off at its other end.

use std::collections::HashMap;

use crate::adapter::netlink::Wire;
use crate::record::Ifname;

/// What follows from a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The attachment with this link may be on another network, and may have lost its addresses.
    Doubt(Ifname),
    /// All on this segment may be.
    DoubtAll(Ifname),
    /// The attachment with this link is not as it was.
    Look(Ifname),
    /// None on this segment is.
    LookAll(Ifname),
}

/// The links of the host, as they were told last.
#[derive(Debug, Default)]
pub struct Wires {
    known: HashMap<Ifname, State>,
    /// Names by number.
    names: HashMap<u32, Ifname>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    index: u32,
    running: bool,
    /// Whether it has ever run: one that comes up for the first time was nowhere before.
    has_run: bool,
}

impl Wires {
    /// Takes a change. `is_link` says which names are of attachments, `is_segment` which of what they
    /// are plugged into.
    pub fn heard(
        &mut self,
        wire: &Wire,
        is_link: impl Fn(&Ifname) -> bool,
        is_segment: impl Fn(&Ifname) -> bool,
    ) -> Option<Follows> {
        let (link, segment) = (is_link(&wire.name), is_segment(&wire.name));
        let before = self.note(wire);
        if wire.gone {
            return match before {
                _ if link => Some(Follows::Look(wire.name.clone())),
                _ if segment => None,
                _ => None,
            };
        }
        let Some(before) = before else {
            // A bridge that was away is there again, and none of its ports is plugged in.
            return segment.then(|| Follows::LookAll(wire.name.clone()));
        };
        if before.index != wire.index {
            return match (link, segment) {
                (true, _) => Some(Follows::Look(wire.name.clone())),
                (_, true) => Some(Follows::LookAll(wire.name.clone())),
                _ => None,
            };
        }
        if !wire.running || before.running || !before.has_run {
            return None;
        }
        let master = wire.master.and_then(|index| self.names.get(&index));
        match master.filter(|master| is_segment(master)) {
            _ if link => Some(Follows::Doubt(wire.name.clone())),
            _ if segment => Some(Follows::DoubtAll(wire.name.clone())),
            Some(bridge) => Some(Follows::DoubtAll(bridge.clone())),
            None => None,
        }
    }

    /// Takes a whole listing: what is not in it is gone.
    pub fn listed(
        &mut self,
        wires: &[Wire],
        is_link: impl Fn(&Ifname) -> bool,
        is_segment: impl Fn(&Ifname) -> bool,
    ) -> Vec<Follows> {
        let mut follows = Vec::new();
        let there: HashMap<&Ifname, u32> =
            wires.iter().map(|wire| (&wire.name, wire.index)).collect();
        let gone: Vec<Ifname> =
            self.known.keys().filter(|name| !there.contains_key(name)).cloned().collect();
        for name in gone {
            let index = self.known[&name].index;
            let wire = Wire { name, index, master: None, running: false, gone: true };
            follows.extend(self.heard(&wire, &is_link, &is_segment));
        }
        for wire in wires {
            follows.extend(self.heard(wire, &is_link, &is_segment));
        }
        follows
    }

    /// Writes it down; what was known of that name.
    fn note(&mut self, wire: &Wire) -> Option<State> {
        let before = self.known.get(&wire.name).copied();
        if wire.gone {
            // What is made anew under its number has its own name by then.
            self.names.remove(&wire.index);
            if before.is_some_and(|before| before.index == wire.index) {
                self.known.remove(&wire.name);
            }
            return before;
        }
        let has_run = wire.running || before.is_some_and(|b| b.has_run && b.index == wire.index);
        let state = State { index: wire.index, running: wire.running, has_run };
        self.names.insert(wire.index, wire.name.clone());
        self.known.insert(wire.name.clone(), state);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Ifname {
        text.parse().unwrap()
    }

    struct Host(Wires);

    impl Host {
        /// A host with the bridge br1, an uplink and a container in it, all running.
        fn new() -> Host {
            let mut host = Host(Wires::default());
            for (text, index, master) in
                [("br1", 1, None), ("eth0", 2, Some(1)), ("lpa", 3, Some(1)), ("other", 4, None)]
            {
                host.hears(text, index, master, true, false);
            }
            host
        }

        fn hears(
            &mut self,
            text: &str,
            index: u32,
            master: Option<u32>,
            running: bool,
            gone: bool,
        ) -> Option<Follows> {
            let wire = Wire { name: name(text), index, master, running, gone };
            self.0.heard(&wire, |name| name.as_str() == "lpa", |name| name.as_str() == "br1")
        }
    }

    #[test]
    fn what_was_down_and_is_up_again_is_in_doubt() {
        let mut host = Host::new();
        for (text, index, master, doubt) in [
            ("lpa", 3, Some(1), Some(Follows::Doubt(name("lpa")))),
            ("eth0", 2, Some(1), Some(Follows::DoubtAll(name("br1")))),
            ("br1", 1, None, Some(Follows::DoubtAll(name("br1")))),
            ("other", 4, None, None),
        ] {
            assert_eq!(host.hears(text, index, master, true, false), None, "{text} goes on");
            assert_eq!(host.hears(text, index, master, false, false), None, "{text} is down");
            assert_eq!(host.hears(text, index, master, true, false), doubt, "{text} is up");
            assert_eq!(host.hears(text, index, master, true, false), None, "{text} goes on");
        }
    }

    #[test]
    fn a_new_port_is_no_doubt() {
        let mut host = Host::new();
        assert_eq!(host.hears("veth7", 9, Some(1), false, false), None);
        assert_eq!(host.hears("veth7", 9, Some(1), true, false), None);
        assert_eq!(host.hears("veth7", 9, Some(1), false, true), None);
    }

    #[test]
    fn what_is_gone_or_another_is_looked_at() {
        let mut host = Host::new();
        assert_eq!(host.hears("lpa", 3, None, false, true), Some(Follows::Look(name("lpa"))));
        assert_eq!(host.hears("lpa", 10, None, true, false), None, "it is being made");
        assert_eq!(host.hears("lpa", 11, None, true, false), Some(Follows::Look(name("lpa"))));
        assert_eq!(host.hears("br1", 1, None, false, true), None);
        assert_eq!(host.hears("br1", 12, None, false, false), Some(Follows::LookAll(name("br1"))));
    }

    #[test]
    fn a_listing_tells_what_was_missed() {
        let mut host = Host::new();
        let wire = |text, index, running| Wire {
            name: name(text),
            index,
            master: Some(1),
            running,
            gone: false,
        };
        let (lpa, br1) =
            (|name: &Ifname| name.as_str() == "lpa", |name: &Ifname| name.as_str() == "br1");
        let follows = host.0.listed(&[wire("br1", 1, true), wire("eth0", 2, true)], lpa, br1);
        assert_eq!(follows, [Follows::Look(name("lpa"))]);
    }
}
