//! The VLANs of a bridge's port, where the bridge keeps VLANs apart.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};

use super::{Netlink, failed};
use crate::error::Result;

/// One VLAN that a port is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortVlan {
    /// Its number.
    pub id: u16,
    /// Whether frames without a tag are taken into it.
    pub pvid: bool,
    /// Whether its frames leave without a tag.
    pub untagged: bool,
}

impl PortVlan {
    /// What a port is in that knows nothing of VLANs itself.
    pub fn access(id: u16) -> PortVlan {
        PortVlan { id, pvid: true, untagged: true }
    }
}

impl Netlink {
    /// The VLANs of the port with the number `index`; none where the bridge has no such thing.
    pub fn port_vlans(&self, index: u32) -> Result<Vec<PortVlan>> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        let found = self
            .dump(RouteNetlinkMessage::GetLink(message))
            .map_err(|e| failed("list the VLANs of the bridges' ports", &e))?;
        Ok(found.into_iter().flat_map(|message| vlans(message, index)).collect())
    }

    /// Puts the port with the number `index` into the VLAN `id` alone, its frames without tags. A
    /// new port is in the bridge's default VLAN, and has to leave it: else what is flooded there
    /// would reach it.
    pub fn put_into_vlan(&self, index: u32, id: u16) -> Result<()> {
        let wanted = PortVlan::access(id);
        let before = self.port_vlans(index)?;
        for other in before.iter().filter(|vlan| vlan.id != id) {
            self.call(RouteNetlinkMessage::DelLink(message(index, *other)), 0)
                .map_err(|e| failed(format_args!("take the port out of VLAN {}", other.id), &e))?;
        }
        if before.contains(&wanted) {
            return Ok(());
        }
        self.call(RouteNetlinkMessage::SetLink(message(index, wanted)), 0)
            .map_err(|e| failed(format_args!("put the port into VLAN {id}"), &e))
    }
}

fn message(index: u32, vlan: PortVlan) -> LinkMessage {
    let mut flags = BridgeVlanInfoFlags::empty();
    flags.set(BridgeVlanInfoFlags::Pvid, vlan.pvid);
    flags.set(BridgeVlanInfoFlags::Untagged, vlan.untagged);
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let info = AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid: vlan.id });
    message.attributes.push(LinkAttribute::AfSpecBridge(vec![info]));
    message
}

fn vlans(message: RouteNetlinkMessage, index: u32) -> Vec<PortVlan> {
    let RouteNetlinkMessage::NewLink(message) = message else { return Vec::new() };
    if message.header.index != index {
        return Vec::new();
    }
    let infos = message.attributes.into_iter().filter_map(|attribute| match attribute {
        LinkAttribute::AfSpecBridge(infos) => Some(infos),
        _ => None,
    });
    let vlan = |info| match info {
        AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid }) => Some(PortVlan {
            id: vid,
            pvid: flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: flags.contains(BridgeVlanInfoFlags::Untagged),
        }),
        _ => None,
    };
    infos.flatten().filter_map(vlan).collect()
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn hex(message: &LinkMessage) -> String {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What `bridge vlan add dev X vid 10 pvid untagged` and `bridge vlan del dev X vid 1` of
    /// iproute2 6.1 send, as strace(1) shows them.
    #[test]
    fn vlans_are_set_as_iproute2_does() {
        let head = "07000000030000000000000000000000";
        let access = hex(&message(3, PortVlan::access(10)));
        assert_eq!(access, format!("{head}0c001a000800020006000a00"));
        let plain = PortVlan { id: 1, pvid: false, untagged: false };
        assert_eq!(hex(&message(3, plain)), format!("{head}0c001a000800020000000100"));
    }

    #[test]
    fn a_port_s_vlans_are_read_from_its_own_message() {
        let trunk = PortVlan { id: 20, pvid: false, untagged: false };
        let mut both = message(3, PortVlan::access(10));
        both.attributes.extend(message(3, trunk).attributes);
        let read = |index| vlans(RouteNetlinkMessage::NewLink(both.clone()), index);
        assert_eq!(read(3), [PortVlan::access(10), trunk]);
        assert_eq!(read(4), []);
    }
}
