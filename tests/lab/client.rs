//! A scripted DHCPv6 client (RFC 8415), with a wire format of its own, so that a test does not
//! believe what the library says about itself.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Namespace, PATIENCE};

// RFC 8415, section 7.3.
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;

// RFC 8415, section 21; 39 is RFC 4704.
const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const ELAPSED_TIME: u16 = 8;
const STATUS_CODE: u16 = 13;
const RAPID_COMMIT: u16 = 14;
const IA_PD: u16 = 25;
const IA_PREFIX: u16 = 26;
const CLIENT_FQDN: u16 = 39;

/// One machine on the client's side, with an interface `eth0` in a namespace of its own.
pub struct Client {
    name: String,
    space: Namespace,
    socket: UdpSocket,
    interface: u32,
    /// Its DUID, a DUID-LL until a test changes it.
    pub duid: Vec<u8>,
    /// The number of its identity association.
    pub iaid: u32,
    /// The name that it sends, in any bytes; nothing is sent for `None`.
    pub hostname: Option<Vec<u8>>,
    server: Vec<u8>,
    router: Ipv6Addr,
    address: Option<Ipv6Addr>,
    exchanges: u32,
}

impl Client {
    pub(super) fn plug(machine: &Namespace, bridge: &str, space: Namespace, name: &str) -> Client {
        assert!(name.len() <= 12, "{name} fits into an interface's name");
        let hash = name.bytes().fold(7u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let [a, b, c, d] = hash.to_be_bytes();
        let mac = [0x02, 0xc1, a, b, c, d];
        let mac_text = mac.map(|byte| format!("{byte:02x}")).join(":");
        for interface in ["all", "default"] {
            space.sysctl(&format!("net.ipv6.conf.{interface}.accept_dad"), "0");
        }
        machine.ip(&format!(
            "link add c-{name} type veth peer name eth0 address {mac_text} netns {}",
            space.name()
        ));
        space.ip("link set lo up");
        space.ip("link set eth0 up");
        machine.ip(&format!("link set c-{name} master {bridge} up"));
        let (socket, interface) = space.within(open);
        Client {
            name: name.to_owned(),
            space,
            socket,
            interface,
            duid: [&[0, 3, 0, 1], &mac[..]].concat(),
            iaid: hash & 0xffff,
            hostname: Some(name.as_bytes().to_vec()),
            server: Vec::new(),
            router: Ipv6Addr::UNSPECIFIED,
            address: None,
            exchanges: 0,
        }
    }

    /// Its namespace.
    pub fn space(&self) -> &Namespace {
        &self.space
    }

    /// Its DUID as records write it.
    pub fn duid_text(&self) -> String {
        let pairs: Vec<_> = self.duid.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }

    /// The address that it has leased.
    pub fn address(&self) -> Option<Ipv6Addr> {
        self.address
    }

    /// Takes a lease by Solicit, Advertise, Request and Reply, and puts the address on its
    /// interface, with a default route through the server's machine.
    #[track_caller]
    pub fn lease(&mut self) -> Ipv6Addr {
        // A server that changes its mind after the Advertise is asked anew.
        let address = super::eventually("a lease", PATIENCE, || {
            let offer = self.exchange(SOLICIT, ADVERTISE, &[self.association(None)]);
            let offered = leased(&offer)?;
            self.server = option(&offer, SERVER_ID).expect("a server id").to_vec();
            leased(&self.exchange(REQUEST, REPLY, &[self.association(Some(offered))]))
        });
        self.configure(address)
    }

    /// Takes a lease by Solicit with rapid commit.
    #[track_caller]
    pub fn lease_rapidly(&mut self) -> Ipv6Addr {
        let rapid = pack(RAPID_COMMIT, &[]);
        let reply = self.exchange(SOLICIT, REPLY, &[rapid, self.association(None)]);
        assert!(option(&reply, RAPID_COMMIT).is_some(), "a rapid Reply");
        self.server = option(&reply, SERVER_ID).expect("a server id").to_vec();
        self.configure(leased(&reply).expect("an address in the Reply"))
    }

    /// Renews its lease; returns the address that the server confirmed, if it did.
    #[track_caller]
    pub fn renew(&mut self) -> Option<Ipv6Addr> {
        let reply = self.exchange(RENEW, REPLY, &[self.association(self.address)]);
        leased(&reply)
    }

    /// Asks any server to extend its lease, as when its own does not answer.
    #[track_caller]
    pub fn rebind(&mut self) -> Option<Ipv6Addr> {
        let reply = self.exchange(REBIND, REPLY, &[self.association(self.address)]);
        leased(&reply)
    }

    /// Has a prefix delegated; returns the first of its addresses and its length. The address that it
    /// may have has nothing to do with it.
    #[track_caller]
    pub fn lease_prefix(&mut self) -> (Ipv6Addr, u8) {
        let body = [&self.iaid.to_be_bytes()[..], &[0; 8]].concat();
        let offer = self.exchange(SOLICIT, ADVERTISE, &[pack(IA_PD, &body)]);
        self.server = option(&offer, SERVER_ID).expect("a server id").to_vec();
        let offered = option(&offer, IA_PD).expect("a prefix in the Advertise");
        let reply = self.exchange(REQUEST, REPLY, &[pack(IA_PD, offered)]);
        // RFC 8415, sections 21.21 and 21.22: two lifetimes, the length, the prefix.
        let association = option(&reply, IA_PD).and_then(|body| body.get(12..));
        let prefix = association.and_then(|body| option(body, IA_PREFIX)).expect("a prefix");
        let address: [u8; 16] = prefix[9..25].try_into().expect("16 bytes");
        (address.into(), prefix[8])
    }

    /// Gives its lease back, and takes the address off its interface.
    #[track_caller]
    pub fn release(&mut self) {
        self.give_up(RELEASE);
    }

    /// Tells the server that its address is in use by another.
    #[track_caller]
    pub fn decline(&mut self) {
        self.give_up(DECLINE);
    }

    fn give_up(&mut self, message: u8) {
        let address = self.address.expect("a lease to give up");
        let reply = self.exchange(message, REPLY, &[self.association(Some(address))]);
        assert_eq!(status(&reply), 0, "{}: the server agrees", self.name);
        self.space.ip(&format!("address del {address}/128 dev eth0"));
        self.address = None;
    }

    /// Forgets its lease without telling anybody.
    pub fn forget(&mut self) {
        self.address = None;
    }

    fn configure(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        self.space.ip(&format!("address replace {address}/128 dev eth0 nodad"));
        self.space.ip(&format!("route replace default via {} dev eth0", self.router));
        self.address = Some(address);
        address
    }

    /// Sends a message until an answer of the wanted type comes; returns the answer's options.
    #[track_caller]
    fn exchange(&mut self, message: u8, wanted: u8, options: &[Vec<u8>]) -> Vec<u8> {
        self.exchanges += 1;
        let id = [0x4c, self.interface as u8, self.exchanges as u8];
        let mut packet = vec![message, id[0], id[1], id[2]];
        packet.extend(pack(CLIENT_ID, &self.duid));
        if message != SOLICIT && message != REBIND {
            packet.extend(pack(SERVER_ID, &self.server));
        }
        packet.extend(pack(ELAPSED_TIME, &[0, 0]));
        packet.extend(self.hostname.iter().flat_map(|name| pack(CLIENT_FQDN, &fqdn(name))));
        packet.extend(options.concat());

        // RFC 8415, section 7.1: All_DHCP_Relay_Agents_and_Servers; section 7.2: port 547.
        let group = "ff02::1:2".parse().expect("a group");
        let servers = SocketAddrV6::new(group, 547, 0, self.interface);
        let end = Instant::now() + PATIENCE;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < end {
            self.socket.send_to(&packet, servers).expect("send to the servers");
            while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                let answer = &buffer[..len];
                if len < 4 || answer[0] != wanted || answer[1..4] != id {
                    continue;
                }
                if let IpAddr::V6(from) = from.ip() {
                    self.router = from;
                }
                return answer[4..].to_vec();
            }
        }
        panic!("{}: no answer of type {wanted} to message {message}", self.name);
    }

    /// An identity association for a non-temporary address (RFC 8415, section 21.4).
    fn association(&self, address: Option<Ipv6Addr>) -> Vec<u8> {
        let mut body = self.iaid.to_be_bytes().to_vec();
        body.extend([0; 8]); // T1 and T2: the server's choice
        if let Some(address) = address {
            // Section 21.6: the address, then both lifetimes, which the server sets.
            body.extend(pack(IA_ADDRESS, &[&address.octets()[..], &[0; 8]].concat()));
        }
        pack(IA_NA, &body)
    }

    /// How long an echo to `address` takes from here, or nothing when none comes back in a second.
    pub fn ping(&self, address: IpAddr) -> Option<Duration> {
        let mut ping = self.space.command("busybox");
        ping.args(["ping", "-c", "1", "-W", "1", &address.to_string()]);
        let out = ping.output().expect("run ping");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (_, time) = text.split_once("time=")?;
        let ms: f64 = time.split(' ').next()?.parse().ok()?;
        out.status.success().then(|| Duration::from_secs_f64(ms / 1000.0))
    }

    /// What the web server at `address` says about `/`.
    pub fn get(&self, address: IpAddr) -> std::io::Result<String> {
        self.space.within(|| {
            let server = SocketAddr::new(address, 80);
            let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        })
    }
}

/// The socket of a client on `eth0` of the namespace that the thread is in.
fn open() -> (UdpSocket, u32) {
    let interface = nix::net::if_::if_nametoindex("eth0").expect("eth0");
    let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 546, 0, 0);
    let socket = UdpSocket::bind(any).expect("port 546");
    // A probe finds out when the link-local address is there, which is soon after both ends are up.
    let group = SocketAddrV6::new("ff02::1:2".parse().expect("a group"), 547, 0, interface);
    super::eventually("a link-local address on eth0", PATIENCE, || {
        let probe = UdpSocket::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).ok()?;
        probe.connect(group).ok()?;
        let SocketAddr::V6(local) = probe.local_addr().ok()? else {
            return None;
        };
        local.ip().is_unicast_link_local().then_some(())
    });
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    (socket, interface)
}

/// One option: its code, its length, its body (RFC 8415, section 21.1).
fn pack(code: u16, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("an option's length");
    [&code.to_be_bytes()[..], &len.to_be_bytes(), body].concat()
}

/// The body of RFC 4704's option: no flags, then the name in labels of at most 63 bytes, without an
/// end, as for a name that is not fully qualified.
fn fqdn(name: &[u8]) -> Vec<u8> {
    let labels = name.chunks(63).map(|label| [&[label.len() as u8], label].concat());
    [vec![0], labels.collect::<Vec<_>>().concat()].concat()
}

/// The body of the first option of this code.
fn option(mut options: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [a, b, c, d, rest @ ..] = options {
        let (code, len) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let body = rest.get(..len.into())?;
        if code == wanted {
            return Some(body);
        }
        options = &rest[len.into()..];
    }
    None
}

/// The first address with a valid lifetime in the first IA_NA of an answer.
fn leased(options: &[u8]) -> Option<Ipv6Addr> {
    let association = option(options, IA_NA)?.get(12..)?;
    let body = option(association, IA_ADDRESS)?;
    let valid = u32::from_be_bytes(body.get(20..24)?.try_into().ok()?);
    let address: [u8; 16] = body.get(..16)?.try_into().ok()?;
    (valid > 0).then(|| address.into())
}

/// The status code of an answer, or of its association: 0 is success, absent too.
fn status(options: &[u8]) -> u16 {
    let within = option(options, IA_NA).and_then(|body| body.get(12..)).unwrap_or_default();
    let code = option(options, STATUS_CODE).or_else(|| option(within, STATUS_CODE));
    code.and_then(|body| body.first_chunk()).map_or(0, |code| u16::from_be_bytes(*code))
}
