//! What the kernel tells of a link under `/sys/class/net` and nowhere else.

use std::fs;

use crate::record::Ifname;

/// Whether somebody has set the link's hardware address, so that the kernel leaves it as it is
/// (`addr_assign_type`); nothing when it does not tell.
pub fn mac_is_set(link: &Ifname) -> Option<bool> {
    /// `NET_ADDR_SET` in linux/netdevice.h.
    const SET: &str = "3";
    let text = fs::read_to_string(format!("/sys/class/net/{link}/addr_assign_type")).ok()?;
    Some(text.trim() == SET)
}
