//! Which interfaces a container is to have, and what they are called: one for each that its document
//! names, or the one that the command line asks for.

use super::Options;
use crate::error::{Error, Kind, Result};
use crate::record::{Container, DockerNetwork, Ifname, LinkNetwork, Network};

/// One interface of a container.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its name inside.
    pub interface: Ifname,
    /// What the document says of it; absent when the command line alone asks for it.
    pub network: Option<&'a LinkNetwork>,
}

/// The interfaces of a container, in the order of its document. Their names depend on nothing
/// else, so that they are the same on every run.
pub fn entries<'a>(container: &'a Container, options: &Options) -> Vec<Entry<'a>> {
    let named: Vec<&LinkNetwork> = links(container).collect();
    let usual = |number: usize| -> Ifname {
        format!("eth{number}").parse().expect("no document has so many that the name is too long")
    };
    let mut number = docker_interfaces(container);
    if named.is_empty() {
        let interface = options.network.interface.clone().unwrap_or_else(|| usual(number));
        return vec![Entry { interface, network: None }];
    }
    number += usize::from(has_interface_of_mode(container));
    let given = |at: usize, network: &LinkNetwork| {
        let first = options.network.interface.as_ref().filter(|_| at == 0);
        network.interface.as_ref().or(first).cloned()
    };
    let taken: Vec<Ifname> =
        named.iter().enumerate().filter_map(|(at, network)| given(at, network)).collect();
    let mut next = || loop {
        let name = usual(number);
        number += 1;
        if !taken.contains(&name) {
            return name;
        }
    };
    let entry = |(at, network): (usize, &'a LinkNetwork)| Entry {
        interface: given(at, network).unwrap_or_else(&mut next),
        network: Some(network),
    };
    named.into_iter().enumerate().map(entry).collect()
}

/// Whether a document names interfaces of its own.
pub fn names_links(container: &Container) -> bool {
    links(container).next().is_some()
}

/// Holds what cannot be against interfaces: one name for two, and names that are none.
///
/// # Errors
/// `BadInput`, with the name.
pub fn check(entries: &[Entry]) -> Result<()> {
    for (at, Entry { interface, .. }) in entries.iter().enumerate() {
        if entries[..at].iter().any(|earlier| earlier.interface == *interface) {
            let what = format!("field \"networks\" has two interfaces called {interface}");
            return Err(Error::new(Kind::BadInput, what));
        }
        if is_reserved(interface) {
            let what = format!("the kernel takes no IPv6 interface called {interface}");
            return Err(Error::new(Kind::BadInput, what).remedy("name another one in networks"));
        }
    }
    Ok(())
}

/// Whether the directory of this name holds settings for no interface of its own.
pub fn is_reserved(interface: &Ifname) -> bool {
    matches!(interface.as_str(), "all" | "default")
}

fn links(container: &Container) -> impl Iterator<Item = &LinkNetwork> {
    container.networks.iter().filter_map(|network| match network {
        Network::Link(link) => Some(link),
        Network::Docker(_) => None,
    })
}

/// How many interfaces Docker gives to a container for its networks: these are eth0 and so on.
fn docker_interfaces(container: &Container) -> usize {
    of_docker(container).count() + usize::from(container.private_network.is_some())
}

fn of_docker(container: &Container) -> impl Iterator<Item = &DockerNetwork> {
    container.networks.iter().filter_map(|network| match network {
        Network::Docker(network) => Some(network),
        Network::Link(_) => None,
    })
}

/// Whether Docker gives an interface for the network mode, beside those of the networks. What its
/// absence means for a document that names bridges is in cccf(5).
fn has_interface_of_mode(container: &Container) -> bool {
    let known_as = match container.network_mode.as_deref() {
        _ if container.private_network.is_some() => return false,
        None => return !container.ports.is_empty() && of_docker(container).next().is_none(),
        Some("none" | "host") => return false,
        Some("default") => "bridge",
        Some(mode) => mode,
    };
    !known_as.starts_with("container:")
        && of_docker(container).all(|network| network.network.as_str() != known_as)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(networks: &str, more: &str, interface: Option<&str>) -> String {
        let text = format!(r#"{{"id":"web","image":"b","networks":[{networks}]{more}}}"#);
        let container: Container = serde_json::from_str(&text).unwrap();
        let line: Vec<&str> = interface.iter().flat_map(|name| ["-i", *name]).collect();
        let options = Options::given(&line);
        let entries = entries(&container, &options);
        let wrong = check(&entries).err().map(|why| format!(": {why}")).unwrap_or_default();
        let names: Vec<&str> = entries.iter().map(|entry| entry.interface.as_str()).collect();
        names.join(" ") + &wrong
    }

    #[test]
    fn interfaces_are_called_as_they_are_or_by_their_order() {
        let bridge = r#"{"bridge":"br1"}"#;
        let two = format!("{bridge},{bridge}");
        assert_eq!(names("", "", None), "eth0");
        assert_eq!(names("", "", Some("lan")), "lan");
        assert_eq!(names(&two, "", None), "eth0 eth1");
        assert_eq!(names(&two, "", Some("lan")), "lan eth0");
        assert_eq!(names(&two, "", Some("eth0")), "eth0 eth1");
        let eth0 = r#"{"bridge":"br1","interface":"eth0"}"#;
        assert_eq!(names(&format!("{two},{eth0}"), "", None), "eth1 eth2 eth0");
        assert_eq!(names(&format!("{eth0},{two}"), "", Some("lan")), "eth0 eth1 eth2");
    }

    #[test]
    fn docker_s_interfaces_keep_their_names() {
        let mixed = r#""backend",{"bridge":"br1"},"front",{"bridge":"br2"}"#;
        assert_eq!(names(mixed, "", None), "eth2 eth3");
        let private = r#","private_network":{"name":"n","alias":"web"}"#;
        assert_eq!(names("", private, None), "eth1");
        assert_eq!(names(mixed, private, None), "eth3 eth4");
        assert_eq!(names("", private, Some("lan")), "lan");

        let bridge = r#"{"bridge":"br1"}"#;
        assert_eq!(names(bridge, r#","ports":["0:80"]"#, None), "eth1", "beside Docker's bridge");
        for (mode, mixed, name) in [
            ("none", "", "eth0"),
            ("bridge", "", "eth1"),
            ("default", r#""bridge","#, "eth1"),
            ("back", r#""back","front","#, "eth2"),
            ("back", r#""front","#, "eth2"),
            ("container:db", "", "eth0"),
        ] {
            let more = format!(r#","network_mode":"{mode}""#);
            assert_eq!(names(&format!("{mixed}{bridge}"), &more, None), name, "{mode} {mixed}");
        }
    }

    #[test]
    fn a_name_is_one_interface_s() {
        let twice = r#"{"bridge":"br1","interface":"lan"},{"bridge":"br2","interface":"lan"}"#;
        assert!(names(twice, "", None).contains("two interfaces called lan"));
        let all = r#"{"bridge":"br1","interface":"all"}"#;
        assert!(names(all, "", None).contains("no IPv6 interface called all"));
    }
}
