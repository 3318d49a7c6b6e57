//! What a replica is: its base, but for what two containers cannot share.

use crate::error::{Error, Kind, Result};
use crate::record::{
    Addressing, Container, ContainerId, Hostname, Key, Network, Object, Port, Record, State,
};

/// What stands between the name of a base and the number of its replica.
const MARK: &str = "-scale-";

/// The longest host name that the kernel takes (HOST_NAME_MAX).
const LONGEST_HOST_NAME: usize = 64;

/// What may be scaled.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most containers that one document may stand for, itself included.
    pub max: u32,
    /// Whether replicas may publish the same ports of a host, because each gets a host of its own.
    pub same_ports: bool,
}

/// The base and the number in the name of a replica; nothing when a name is none.
pub fn split(id: &str) -> Option<(&str, u32)> {
    let (base, digits) = id.rsplit_once(MARK)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten().map(|number| (base, number))
}

/// The replicas of one container, made one after the other in the same place.
pub struct Replicas {
    record: Record,
    base: ContainerId,
    hostname: Option<Hostname>,
    key: Option<Key>,
}

impl Replicas {
    /// Those of `base`, which [`fit`] has found fit to have `scale` of itself.
    pub fn of(base: &Container) -> Replicas {
        let replica = Container {
            scale: None,
            scaled_from: Some(base.id.clone()),
            host: base.host.clone(),
            ..base.declared()
        };
        Replicas::like(base, replica)
    }

    /// Those of `base` as they are told when they are wanted no more: with what their removal
    /// needs.
    pub fn gone(base: &Container) -> Replicas {
        let mut bare = Object::default();
        bare.set("id", &base.id);
        bare.set("image", &base.image);
        let bare = Container::try_from(bare).expect("a container has a name and an image");
        let replica = Container {
            private_network: base.private_network.clone(),
            scaled_from: Some(base.id.clone()),
            host: base.host.clone(),
            owner: base.owner.clone(),
            state: Some(State::Absent),
            ..bare
        };
        Replicas::like(base, replica)
    }

    fn like(base: &Container, replica: Container) -> Replicas {
        Replicas {
            base: base.id.clone(),
            hostname: replica.hostname.clone(),
            key: base.key,
            record: Record::Container(Box::new(replica)),
        }
    }

    /// The replica of this number, counted from 1; nothing when it could have no name.
    pub fn number(&mut self, number: u32) -> Option<&mut Record> {
        let id = name(&self.base, number)?;
        let hostname = match &self.hostname {
            Some(base) => Some(host_name(base, number)?),
            None => None,
        };
        self.rename(id);
        let Record::Container(replica) = &mut self.record else { unreachable!("it is made so") };
        replica.hostname = hostname;
        replica.key = self.key.map(|key| key_of(key, number));
        Some(&mut self.record)
    }

    /// The replica of this name, whatever made it one.
    pub fn named(&mut self, id: ContainerId) -> &Record {
        self.rename(id);
        &self.record
    }

    fn rename(&mut self, id: ContainerId) {
        let Record::Container(replica) = &mut self.record else { unreachable!("it is made so") };
        replica.id = id;
    }
}

/// `BASE-scale-NUMBER`, if a container can be called so.
pub fn name(base: &ContainerId, number: u32) -> Option<ContainerId> {
    format!("{base}{MARK}{number}").parse().ok()
}

/// The host name with the same behind its first label, if a host can be called so.
fn host_name(base: &Hostname, number: u32) -> Option<Hostname> {
    let text = base.as_str();
    let (label, domain) = text.split_at(text.find('.').unwrap_or(text.len()));
    let text = format!("{label}{MARK}{number}{domain}");
    if text.len() <= LONGEST_HOST_NAME { text.parse().ok() } else { None }
}

/// An identity of the replica's own, the same on every run.
fn key_of(base: Key, number: u32) -> Key {
    Key::derive("replica", &[base.as_str().as_bytes(), &number.to_be_bytes()])
}

/// Whether there can be `scale` of a container.
///
/// # Errors
/// `Refused`, with every field that is in the way.
pub fn fit(base: &Container, scale: u32, limits: Limits) -> Result<()> {
    let mut wrong = Vec::new();
    if scale > limits.max {
        wrong.push(format!("field \"scale\" is more than --max {}", limits.max));
    }
    if scale > 1 {
        names(base, scale - 1, &mut wrong);
        ports(base, limits, &mut wrong);
        addresses(base, &mut wrong);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format_args!("scale to {scale}")).why(wrong.join(", ")))
}

/// The last name is the longest one.
fn names(base: &Container, last: u32, wrong: &mut Vec<String>) {
    if name(&base.id, last).is_none() {
        let what = "field \"id\" leaves no room for names of replicas (at most 128 characters)";
        wrong.push(what.to_owned());
    }
    if let Some(host) = &base.hostname
        && host_name(host, last).is_none()
    {
        wrong.push(format!("field \"hostname\": \"{host}\" leaves no room for names of replicas"));
    }
}

fn ports(base: &Container, limits: Limits, wrong: &mut Vec<String>) {
    let is_fixed = |port: &&Port| port.host != 0;
    let Some(port) = base.ports.iter().find(is_fixed) else { return };
    match &base.host {
        _ if !limits.same_ports => wrong.push(format!(
            "field \"ports\": each would publish \"{port}\" (0 lets Docker choose the host's port, \
             and --same-ports is for replicas that each get a host of their own)"
        )),
        Some(host) => wrong.push(format!(
            "field \"ports\": each would publish \"{port}\" on host \"{}\"",
            host.id
        )),
        None => (),
    }
}

fn addresses(base: &Container, wrong: &mut Vec<String>) {
    if let Some(address) = base.addresses.first() {
        wrong.push(format!("field \"addresses\": each would have \"{address}\""));
    }
    for (at, network) in base.networks.iter().enumerate() {
        let (field, value) = match network {
            Network::Docker(network) => match (network.ipv4_address, network.ipv6_address) {
                (Some(address), _) => ("ipv4_address", address.to_string()),
                (None, Some(address)) => ("ipv6_address", address.to_string()),
                (None, None) => continue,
            },
            Network::Link(link) => {
                let is_fixed = |given: &&Addressing| matches!(given, Addressing::Fixed(_));
                match (link.mac, link.addresses.iter().find(is_fixed)) {
                    (Some(mac), _) => ("mac", mac.to_string()),
                    (None, Some(address)) => ("addresses", address.to_string()),
                    (None, None) => continue,
                }
            }
        };
        wrong.push(format!("field \"networks[{at}].{field}\": each would have \"{value}\""));
    }
}
