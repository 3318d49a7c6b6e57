//! A container's end of a link, and the library's DHCPv6 client on it.

use leasepipe::adapter::dhcp6::{Client, Lease, Link};
use leasepipe::record::{Duid, Ifname};

use super::{Lab, Namespace, PATIENCE};

/// A container's end of a link: a namespace with `eth0` in it.
pub struct Plugged {
    /// Its namespace.
    pub space: Namespace,
    /// Who asks there: a DUID-UUID that ends in its number, IAID 7.
    pub client: Client,
}

/// How the link-local address comes up.
#[derive(Clone, Copy, PartialEq)]
pub enum Dad {
    /// It can be used at once.
    Optimistic,
    /// After one to two seconds.
    Wait,
}

/// Plugs the container of this number into `br1` of the lab.
pub fn plug(lab: &mut Lab, number: u8, dad: Dad) -> Plugged {
    let path = lab.namespace(&format!("c{number}"));
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let space = Namespace::left_behind(name);
    if dad == Dad::Optimistic {
        space.sysctl("net.ipv6.conf.all.optimistic_dad", "1");
        space.sysctl("net.ipv6.conf.default.optimistic_dad", "1");
    }
    let mac = format!("02:00:00:00:01:{number:02x}");
    lab.ip(&format!(
        "link add v{number} master br1 type veth peer eth0 address {mac} netns {name}"
    ));
    // dnsmasq sleeps for 100 ms before it answers a machine that it has no neighbour entry of.
    let link_local = format!("fe80::ff:fe00:1{number:02x}");
    lab.ip(&format!("neigh replace {link_local} lladdr {mac} dev br1 nud stale"));
    lab.ip(&format!("link set v{number} up"));
    space.ip("link set eth0 up");
    let duid = [&[0, 4][..], &[0xcc; 15], &[number]].concat();
    let duid = Duid::new(&duid).expect("a DUID");
    let client = Client { give_up_after: PATIENCE, ..Client::new(duid, 7) };
    Plugged { space, client }
}

/// Runs `call` on an interface of a namespace.
pub fn on<T: Send>(
    space: &Namespace,
    interface: &str,
    call: impl FnOnce(Link<'_>) -> T + Send,
) -> T {
    let name: Ifname = interface.parse().expect("a name");
    space.within(|| {
        let index = nix::net::if_::if_nametoindex(interface).expect("the interface");
        call(Link { index, name: &name, source: None })
    })
}

impl Plugged {
    /// Runs `call` for its client on its link.
    pub fn on<T: Send>(&self, call: impl FnOnce(&Client, Link<'_>) -> T + Send) -> T {
        on(&self.space, "eth0", |link| call(&self.client, link))
    }

    /// Leases what its client wants, which must work.
    #[track_caller]
    pub fn lease(&self) -> Lease {
        self.on(|client, link| client.lease(link)).expect("a lease")
    }
}
