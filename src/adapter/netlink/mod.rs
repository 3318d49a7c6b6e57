//! The kernel's links, addresses, neighbours and routes, over rtnetlink(7).
//!
//! A [`Netlink`] belongs to the network namespace of the thread that opens it and stays with it,
//! whichever thread uses it later. All calls block. Waiting is by the kernel's own notices, never
//! by asking again and again.

mod address;
mod bridge_vlan;
mod changes;
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
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, Socket};
use rtnetlink::{Handle, MulticastGroup, new_connection};
use tokio::runtime::{Builder, Runtime};

pub use address::{Advertised, Dad, Found, Lifetimes};
pub use bridge_vlan::PortVlan;
pub use changes::{Changes, Seen, Wire};
pub use link::{Bridge, End, Link, Sort};
pub use moved::{Device, Guise, Marks};
use notices::Notices;
pub use offload::Offloads;
pub use rate::Limit;
use refusal::Refusal;
pub use routes::{FoundRoute, best_router};
pub use rules::is_rule;
pub use single::{Ipvlan, Macvlan, New, Single, Vxlan};

use crate::error::{Doing, Error, Kind, Result};

const REMEDY: &str = "run as root or grant CAP_NET_ADMIN and CAP_SYS_ADMIN";

/// The kernel answers at once, but for a machine that is very busy; an answer that has not come by
/// then was lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the kernel's routing family in one network namespace.
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
    notices: Option<Notices>,
}

impl Netlink {
    /// A connection in the network namespace of the calling thread.
    pub fn open() -> Result<Netlink> {
        Netlink::listening(&[])
    }

    /// The same, which also hears when links, IPv6 addresses and IPv6 routes change.
    pub fn watch() -> Result<Netlink> {
        use MulticastGroup::{Ipv6Ifaddr, Ipv6Route, Link};
        Netlink::listening(&[Link, Ipv6Ifaddr, Ipv6Route])
    }

    /// The same, which also hears when links change.
    pub fn watch_links() -> Result<Netlink> {
        Netlink::listening(&[MulticastGroup::Link])
    }

    fn listening(groups: &[MulticastGroup]) -> Result<Netlink> {
        let doing = "open netlink socket";
        let runtime = Builder::new_current_thread().enable_all().build().doing(doing)?;
        let entered = runtime.enter();
        let (mut connection, handle, _) = new_connection().doing(doing)?;
        explain(connection.socket_mut().socket_ref());
        drop(entered);
        runtime.spawn(connection);
        let notices =
            if groups.is_empty() { None } else { Some(Notices::open(groups).doing(doing)?) };
        Ok(Netlink { runtime, handle, notices })
    }

    /// Sends a request with `flags` and waits until the kernel has done it.
    fn call(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.tell(request, flags).map_err(|refusal| refusal.io)
    }

    /// The same, with the kernel's own words for a refusal.
    fn tell(&self, request: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.put(request, flags | NLM_F_ACK).map(drop)
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
        self.put(request, flags).map_err(|refusal| refusal.io)
    }

    /// The same, with the kernel's own words for a refusal.
    fn put(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        let mut handle = self.handle.clone();
        let mut answers = handle.request(message).map_err(io::Error::other)?;
        let gather = async {
            let mut found = Vec::new();
            while let Some(answer) = answers.next().await {
                match answer.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Refusal::read(&error));
                    }
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    _ => (),
                }
            }
            Ok(found)
        };
        let answered = async { tokio::time::timeout(PATIENCE, gather).await };
        self.runtime
            .block_on(answered)
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Waits until `look` finds something: it is asked at once and whenever something changes.
    /// Nothing when `until` comes first. Needs a connection that hears of it.
    pub fn wait_for<T>(
        &self,
        until: Instant,
        mut look: impl FnMut(&Netlink) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let doing = "wait for a netlink notice";
        let notices = self.notices.as_ref();
        let notices =
            notices.ok_or_else(|| Error::new(Kind::Bug, doing).why("nobody listens for any"))?;
        loop {
            notices.clear().doing(doing)?;
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            if !notices.wait(until).doing(doing)? {
                return look(self);
            }
        }
    }
}

/// Asks the kernel to say in words why it refuses something. One that is too old for that says
/// nothing, and does the rest all the same.
fn explain(socket: &Socket) {
    let _ = socket.set_ext_ack(true);
    let _ = socket.set_cap_ack(true);
}

/// The kernel's refusal as an error of the suite.
fn failed(doing: impl std::fmt::Display, why: &io::Error) -> Error {
    let error = Error::io(doing, why);
    match error.kind() {
        Kind::NotPermitted => error.remedy(REMEDY),
        _ => error,
    }
}
