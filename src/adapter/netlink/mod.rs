//! The kernel's links, addresses, neighbours and routes, over rtnetlink(7).
//!
//! A [`Netlink`] belongs to the network namespace of the thread that opens it and stays with it,
//! whichever thread uses it later. All calls block. Waiting is by the kernel's own [`Notices`],
//! never by asking again and again.

mod address;
mod bridge_vlan;
mod changes;
mod conversation;
mod elsewhere;
mod link;
mod moved;
mod neighbour;
mod notices;
mod offload;
mod rate;
mod refusal;
mod route;
mod routes;
mod rules;
mod single;
#[cfg(test)]
mod tests;

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage;

pub use address::{Advertised, Dad, Found, Lifetimes};
pub use bridge_vlan::PortVlan;
pub use changes::{Changes, Seen, Wire};
use conversation::Conversation;
pub use link::{Bridge, End, Link, Sort};
pub use moved::{Device, Guise, Marks};
pub use notices::{Group, Notices};
pub use offload::Offloads;
pub use rate::Limit;
use refusal::Refusal;
pub use routes::{FoundRoute, best_router};
pub use rules::is_rule;
pub use single::{Ipvlan, Macvlan, New, Single, Vxlan};

use crate::error::{Doing, Error, Kind, Result};

const REMEDY: &str = "run as root or grant CAP_NET_ADMIN and CAP_SYS_ADMIN";

/// A connection to the kernel's routing family in one network namespace, for one thread at a time.
pub struct Netlink {
    conversation: Conversation,
}

impl Netlink {
    /// A connection in the network namespace of the calling thread.
    pub fn open() -> Result<Netlink> {
        Ok(Netlink { conversation: Conversation::open().doing("open netlink socket")? })
    }

    /// Sends a request with `flags` and waits until the kernel has done it.
    fn call(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.tell(request, flags).map_err(|refusal| refusal.io)
    }

    /// The same, with the kernel's own words for a refusal.
    fn tell(&self, request: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.conversation.ask(request, flags | NLM_F_ACK).map(drop)
    }

    /// Everything of one sort.
    fn dump(&self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.ask(request, NLM_F_DUMP)
    }

    /// Sends a request and gathers the answers.
    fn ask(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.conversation.ask(request, flags).map_err(|refusal| refusal.io)
    }
}

/// The kernel's refusal as an error of the suite.
fn failed(doing: impl std::fmt::Display, why: &io::Error) -> Error {
    let error = Error::io(doing, why);
    match error.kind() {
        Kind::NotPermitted => error.remedy(REMEDY),
        _ => error,
    }
}
