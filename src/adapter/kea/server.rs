//! What a server is and has, as its configuration says (`config-get`).

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Channel;
use crate::error::{Error, Kind, Result};

/// A DHCPv6 server, as far as it matters here.
#[derive(Debug)]
pub struct Server {
    subnets: Vec<Subnet>,
    /// Whether it has a database for reservations.
    pub has_host_database: bool,
}

/// A link that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// What the server calls it.
    pub id: u32,
    /// Its prefix.
    pub prefix: Ipv6Net,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "Dhcp6")]
    dhcp6: Option<Dhcp6>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Dhcp6 {
    #[serde(default)]
    subnet6: Vec<Subnet6>,
    #[serde(default)]
    shared_networks: Vec<SharedNetwork>,
    hosts_database: Option<IgnoredAny>,
    #[serde(default)]
    hosts_databases: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct SharedNetwork {
    #[serde(default)]
    subnet6: Vec<Subnet6>,
}

#[derive(Deserialize)]
struct Subnet6 {
    id: u32,
    subnet: Ipv6Net,
}

impl Channel {
    /// The server that answers here.
    ///
    /// # Errors
    /// `Refused` when it is not one of DHCPv6, and as [`Channel::ask`].
    pub fn server(&self) -> Result<Server> {
        let configuration = self.get::<(), Configuration>("config-get", None)?;
        let Some(Configuration { dhcp6: Some(dhcp6) }) = configuration else {
            return Err(Error::new(Kind::Refused, "config-get")
                .why("the server that answers is not kea-dhcp6")
                .remedy("name the control socket of kea-dhcp6")
                .at(self.place()));
        };
        let shared = dhcp6.shared_networks.into_iter().flat_map(|network| network.subnet6);
        let subnets = dhcp6.subnet6.into_iter().chain(shared);
        let subnet = |Subnet6 { id, subnet }| Subnet { id, prefix: subnet.trunc() };
        Ok(Server {
            subnets: subnets.map(subnet).collect(),
            has_host_database: dhcp6.hosts_database.is_some() || !dhcp6.hosts_databases.is_empty(),
        })
    }

    /// Which of these commands the server does not know.
    pub fn lacks<'a>(&self, commands: &[&'a str]) -> Result<Vec<&'a str>> {
        let known: Option<Vec<String>> = self.get::<(), _>("list-commands", None)?;
        let known = known.unwrap_or_default();
        let is_known = |command: &&str| known.iter().any(|known| known == command);
        Ok(commands.iter().filter(|command| !is_known(command)).copied().collect())
    }
}

impl Server {
    /// The subnet of an address: of several the one with the longest prefix.
    pub fn subnet_of(&self, address: Ipv6Addr) -> Option<Subnet> {
        let of_it = self.subnets.iter().filter(|subnet| subnet.prefix.contains(&address));
        of_it.copied().max_by_key(|subnet| subnet.prefix.prefix_len())
    }
}
