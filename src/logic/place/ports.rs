//! Which ports of which hosts are taken.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::record::{Host, Port, Transport};

/// A port on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot {
    port: u16,
    transport: Transport,
    /// Absent means every address of the host.
    address: Option<IpAddr>,
}

impl Slot {
    /// The ports of the host that a container asks for. Port 0 is whichever is free.
    pub(super) fn of(ports: &[Port]) -> impl Iterator<Item = Slot> {
        ports.iter().filter(|port| port.host != 0).map(|port| Slot {
            port: port.host,
            transport: port.transport,
            address: port.address,
        })
    }

    /// Whether both cannot be taken at once.
    pub(super) fn clashes(&self, other: &Slot) -> bool {
        (self.port, self.transport) == (other.port, other.transport) && self.overlaps(other.address)
    }

    /// Whether both cannot be taken at once, given that port and transport are the same.
    fn overlaps(&self, address: Option<IpAddr>) -> bool {
        match (self.address, address) {
            (None, _) | (_, None) => true,
            (Some(one), Some(other)) => {
                one == other
                    || one.is_ipv4() == other.is_ipv4()
                        && (one.is_unspecified() || other.is_unspecified())
            }
        }
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => (),
        }
        write!(f, "{}", self.port)?;
        match self.transport {
            Transport::Tcp => Ok(()),
            other => write!(f, "/{}", other.as_str()),
        }
    }
}

/// For each host the addresses on which one port is taken, and whether a host told so from the
/// start, without telling by whom.
type Taken = BTreeMap<u32, Vec<(Option<IpAddr>, bool)>>;

/// The ports that are taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports(HashMap<(u16, Transport), Taken>);

impl Ports {
    /// What the hosts tell of their ports.
    pub(super) fn new(hosts: &[Host]) -> Ports {
        let mut ports = Ports::default();
        for (at, host) in (0..).zip(hosts) {
            for port in host.used.iter().flat_map(|used| &used.ports) {
                let taken = ports.0.entry((port.container, port.transport)).or_default();
                taken.entry(at).or_default().push((None, true));
            }
        }
        ports
    }

    /// Takes the ports of a container. One that was there before has those that its host told of.
    pub(super) fn take(&mut self, host: u32, slots: &[Slot], there: bool) {
        for slot in slots {
            let taken = self.0.entry((slot.port, slot.transport)).or_default();
            let on_host = taken.entry(host).or_default();
            let told = on_host.iter_mut().find(|(_, told)| there && *told);
            match told {
                Some(told) => *told = (slot.address, false),
                None => on_host.push((slot.address, false)),
            }
        }
    }

    /// Gives the ports of a container back, or those that its host told of when it was not known.
    pub(super) fn give(&mut self, host: u32, slots: &[Slot], known: bool) {
        for slot in slots {
            let Some(taken) = self.0.get_mut(&(slot.port, slot.transport)) else { continue };
            let Some(on_host) = taken.get_mut(&host) else { continue };
            let own = |(address, told): &(Option<IpAddr>, bool)| match known {
                true => *address == slot.address && !*told,
                false => *told,
            };
            if let Some(at) = on_host.iter().position(own) {
                on_host.swap_remove(at);
            }
            if on_host.is_empty() {
                taken.remove(&host);
            }
        }
    }

    /// The first of these ports that is taken on the host.
    pub(super) fn clash<'a>(&self, host: u32, slots: &'a [Slot]) -> Option<&'a Slot> {
        slots.iter().find(|slot| {
            let taken = self.0.get(&(slot.port, slot.transport)).and_then(|on| on.get(&host));
            taken.is_some_and(|taken| taken.iter().any(|(address, _)| slot.overlaps(*address)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(ports: &[&str]) -> Vec<Slot> {
        let ports: Vec<Port> = ports.iter().map(|port| port.parse().unwrap()).collect();
        Slot::of(&ports).collect()
    }

    #[test]
    fn ports_clash_where_their_addresses_overlap() {
        for (one, other, clash) in [
            ("80:80", "80:8080", true),
            ("80:80", "80:80/udp", false),
            ("0:80", "0:80", false),
            ("0.0.0.0:80:80", "192.0.2.1:80:80", true),
            ("192.0.2.1:80:80", "192.0.2.2:80:80", false),
            ("[::]:80:80", "192.0.2.1:80:80", false),
            ("[::]:80:80", "[fd00::1]:80:80", true),
            ("80:80", "[fd00::1]:80:80", true),
        ] {
            let mut ports = Ports::default();
            ports.take(3, &slots(&[one]), false);
            assert_eq!(ports.clash(3, &slots(&[other])).is_some(), clash, "{one} {other}");
            assert!(ports.clash(2, &slots(&[other])).is_none());
            ports.give(3, &slots(&[one]), true);
            assert!(ports.clash(3, &slots(&[other])).is_none());
        }
    }

    #[test]
    fn a_port_that_a_host_told_of_is_its_containers_own() {
        let text = r#"{"id":"a","url":"unix:///a","used":{"ports":["80"]}}"#;
        let mut ports = Ports::new(&[serde_json::from_str(text).unwrap()]);
        let web = slots(&["192.0.2.1:80:80"]);
        assert!(ports.clash(0, &web).is_some());
        ports.take(0, &web, true);
        ports.give(0, &web, true);
        assert!(ports.clash(0, &web).is_none());
    }
}
