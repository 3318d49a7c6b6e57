//! Devices of the host that are lent to a container: found, moved, and brought back.
//!
//! When the container's namespace ends, the kernel itself moves a physical device back to the
//! machine's first namespace. It keeps the name and hardware address that it had inside, unless the
//! name is taken there: then it is called `dev` and a number. So a device is known again by what
//! no container can change of it.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::{Error, Kind, Result};
use crate::record::{Ifname, Mac};

/// A device as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number in its namespace.
    pub index: u32,
    /// How it looks.
    pub guise: Guise,
    /// What it is known again by.
    pub marks: Marks,
    /// The number of the link that it is plugged into.
    pub master: Option<u32>,
    /// Whether it is made by software, and so goes when its namespace does.
    pub is_virtual: bool,
    /// Whether it is the namespace's own loopback.
    pub is_loopback: bool,
}

/// What can be changed of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guise {
    /// Its name.
    pub name: Ifname,
    /// Its hardware address; absent leaves it as it is, or means that it has none of Ethernet's.
    pub mac: Option<Mac>,
    /// Its largest packet in bytes; absent leaves it as it is.
    pub mtu: Option<u32>,
    /// Whether it is switched on.
    pub up: bool,
}

/// What cannot be changed of a device. A virtual one may have nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The hardware address that it was built with.
    pub permanent: Option<Mac>,
    /// Where it is plugged into the machine, as `BUS/NAME`: `pci/0000:01:10.3`.
    pub slot: Option<String>,
}

impl Marks {
    /// Whether there is nothing to know the device by.
    pub fn is_empty(&self) -> bool {
        *self == Marks::default()
    }
}

impl Netlink {
    /// Every device whose name the suite can write.
    pub fn devices(&self) -> Result<Vec<Device>> {
        let found = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .map_err(|e| failed("list interfaces", &e))?;
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// The device of that name.
    pub fn device(&self, name: &Ifname) -> Result<Option<Device>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        match self.ask(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(read)),
            Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
            Err(e) => Err(failed(format_args!("look for interface {name}"), &e)),
        }
    }

    /// The device with that hardware address. A physical one goes before virtual ones: a bridge,
    /// a VLAN sub-interface and others copy the address of what they stand on.
    ///
    /// # Errors
    /// `NotFound`, and `Refused` when there are several.
    pub fn device_with_mac(&self, mac: Mac) -> Result<Device> {
        let doing = || format!("find interface mac:{mac}");
        let mut found = self.devices()?;
        found.retain(|device| device.guise.mac == Some(mac));
        found.sort_by_key(|device| device.is_virtual);
        let first = found.first().ok_or_else(|| {
            Error::new(Kind::NotFound, doing()).why("no interface has that hardware address")
        })?;
        let rivals = found.iter().filter(|device| device.is_virtual == first.is_virtual);
        let names: Vec<&str> = rivals.map(|device| device.guise.name.as_str()).collect();
        if names.len() > 1 {
            let why = format!("{} have that hardware address", names.join(" and "));
            return Err(Error::new(Kind::Refused, doing())
                .why(why)
                .remedy("give the interface's name"));
        }
        Ok(found.remove(0))
    }

    /// The device with these marks, whatever it is called by now.
    pub fn marked(&self, marks: &Marks) -> Result<Option<Device>> {
        if marks.is_empty() {
            return Ok(None);
        }
        Ok(self.devices()?.into_iter().find(|device| device.marks == *marks))
    }

    /// Gives the device with the number `index` another look, and moves it into the namespace
    /// `netns` where one is named. Its addresses and routes are lost when it moves.
    ///
    /// # Errors
    /// `Refused` when the kernel does not let it be moved or the name is taken there. It may have
    /// moved all the same, with its former name.
    pub fn dress(&self, index: u32, guise: &Guise, netns: Option<BorrowedFd<'_>>) -> Result<()> {
        let doing = || match netns {
            Some(_) => format!("move interface to {}", guise.name),
            None => format!("rename interface to {}", guise.name),
        };
        let message = guise.message(index, netns);
        self.tell(RouteNetlinkMessage::SetLink(message), 0).map_err(|refusal| {
            let refused = |why| Error::new(Kind::Refused, doing()).why(why);
            match refusal.errno() {
                Some(Errno::EEXIST) => refused("the name is taken"),
                Some(Errno::EINVAL) if netns.is_some() => {
                    refused("the kernel does not let it leave its namespace")
                }
                Some(Errno::ENODEV) => {
                    Error::new(Kind::NotFound, doing()).why("the interface has gone")
                }
                _ => refusal.error(doing()),
            }
        })
    }
}

impl Guise {
    fn message(&self, index: u32, netns: Option<BorrowedFd<'_>>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        if self.up {
            message.header.flags = LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.extend(netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        attributes.push(LinkAttribute::IfName(self.name.to_string()));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.as_bytes().to_vec())));
        attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message
    }
}

/// A device out of the kernel's message.
fn read(message: RouteNetlinkMessage) -> Option<Device> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut name = None;
    let (mut mac, mut mtu, mut master) = (None, None, None);
    let (mut permanent, mut slot, mut bus) = (None, None, None);
    let mut is_virtual = false;
    let ethernet = |bytes: Vec<u8>| bytes.try_into().ok().map(Mac::new);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text.parse().ok(),
            LinkAttribute::Address(bytes) => mac = ethernet(bytes),
            LinkAttribute::PermAddress(bytes) => permanent = ethernet(bytes),
            LinkAttribute::Mtu(bytes) => mtu = Some(bytes),
            LinkAttribute::Controller(index) => master = Some(index),
            LinkAttribute::ParentDevName(text) => slot = Some(text),
            LinkAttribute::ParentDevBusName(text) => bus = Some(text),
            LinkAttribute::LinkInfo(infos) => {
                is_virtual |= infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)));
            }
            _ => (),
        }
    }
    let slot = slot.map(|slot| match bus {
        Some(bus) => format!("{bus}/{slot}"),
        None => slot,
    });
    let up = message.header.flags.contains(LinkFlags::Up);
    Some(Device {
        index: message.header.index,
        guise: Guise { name: name?, mac, mtu, up },
        marks: Marks { permanent, slot },
        master,
        is_virtual,
        is_loopback: message.header.link_layer_type == LinkLayerType::Loopback,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(attributes: Vec<LinkAttribute>) -> Option<Device> {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = attributes;
        read(RouteNetlinkMessage::NewLink(message))
    }

    #[test]
    fn a_device_is_known_by_what_cannot_be_changed() {
        let physical = vec![
            LinkAttribute::IfName("enp1s0f0".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::PermAddress(vec![0, 1, 2, 3, 4, 5]),
            LinkAttribute::ParentDevName("0000:01:10.3".into()),
            LinkAttribute::ParentDevBusName("pci".into()),
        ];
        let device = told(physical).unwrap();
        assert_eq!(device.marks.slot.as_deref(), Some("pci/0000:01:10.3"));
        assert_eq!(device.marks.permanent.unwrap().to_string(), "00:01:02:03:04:05");
        assert!(!device.is_virtual && !device.marks.is_empty());
        let dummy = vec![
            LinkAttribute::IfName("d0".into()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
                netlink_packet_route::link::InfoKind::Dummy,
            )]),
        ];
        let device = told(dummy).unwrap();
        assert!(device.is_virtual && device.marks.is_empty());
        assert_eq!(told(vec![LinkAttribute::IfName("a b".into())]), None);
    }
}
