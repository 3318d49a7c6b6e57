//! Drives a [`Machine`] over a UDP socket of the calling thread's network namespace.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, setsockopt, socket};

use super::Link;
use super::machine::{Action, Machine, Outcome};
use super::sieve::LONGEST;
use crate::error::{Doing, Error, Kind, Result};

/// Section 7.2: the UDP ports of clients, and of servers and relay agents.
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// Section 7.1: All_DHCP_Relay_Agents_and_Servers.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// How soon to look again whether a link-local address or the port has become free to use.
const SOON: Duration = Duration::from_millis(2);

/// How long to wait for the port to become free before sharing it. Calls on one link take turns, which
/// is a matter of milliseconds; a DHCPv6 client of the host's own keeps it for good.
const TURN: Duration = Duration::from_millis(250);

/// A number to begin the machine's random numbers with, another one for each call.
pub(super) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Runs the exchange until it ends, which the machine does after `give_up_after`.
pub(super) fn run(
    mut machine: Machine,
    link: Link<'_>,
    give_up_after: Duration,
) -> Result<Outcome> {
    let start = Instant::now();
    let socket = open(link, start, give_up_after)?;
    let to = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, link.index);
    let mut datagram = [0; LONGEST + 1];
    loop {
        match machine.poll(start.elapsed()) {
            Action::Send(message) => send(&socket, &message, to, start, give_up_after)?,
            Action::Wait(until) => {
                if let Some(length) = receive(&socket, &mut datagram, start, until)? {
                    machine.receive(start.elapsed(), &datagram[..length]);
                }
            }
            Action::End(outcome) => return outcome,
        }
    }
}

/// A socket on the client's port and a link-local address, from which all must be sent (section 16).
///
/// An address that is not there yet, or still tentative, and a port in use are waited for.
fn open(link: Link<'_>, start: Instant, give_up_after: Duration) -> Result<UdpSocket> {
    loop {
        let waited = start.elapsed();
        let failure = match open_once(link, waited > TURN).doing("open DHCPv6 client port")? {
            Ok(socket) => return Ok(socket),
            Err(failure) => failure,
        };
        if waited + SOON > give_up_after {
            return Err(failure.error());
        }
        thread::sleep(SOON);
    }
}

/// Why there is no socket yet, though there may soon be.
#[derive(Clone, Copy)]
enum NotYet {
    NoAddress,
    PortInUse,
}

impl NotYet {
    fn error(self) -> Error {
        let (why, remedy) = match self {
            NotYet::NoAddress => (
                "the interface has no link-local address that can be used",
                "see that it is up, has a carrier and IPv6 is not disabled on it",
            ),
            NotYet::PortInUse => {
                ("another program has it for itself", "stop the other DHCPv6 client on this link")
            }
        };
        Error::new(Kind::TimedOut, "open DHCPv6 client port").why(why).remedy(remedy)
    }
}

fn open_once(link: Link<'_>, shared: bool) -> nix::Result<Result<UdpSocket, NotYet>> {
    let mut not_yet = NotYet::NoAddress;
    for source in sources(link)? {
        match bind_to(SocketAddrV6::new(source, CLIENT_PORT, 0, link.index), shared) {
            Ok(socket) => return Ok(Ok(socket)),
            Err(Errno::EADDRNOTAVAIL) => {}
            Err(Errno::EADDRINUSE) => not_yet = NotYet::PortInUse,
            Err(other) => return Err(other),
        }
    }
    Ok(Err(not_yet))
}

/// The link-local addresses to send from.
fn sources(link: Link<'_>) -> nix::Result<Vec<Ipv6Addr>> {
    if let Some(source) = link.source {
        return Ok(vec![source]);
    }
    let of_link = |address: &SockaddrIn6| {
        address.scope_id() == link.index && address.ip().is_unicast_link_local()
    };
    let addresses = getifaddrs()?.filter_map(|entry| entry.address?.as_sockaddr_in6().copied());
    Ok(addresses.filter(of_link).map(|address| address.ip()).collect())
}

/// A socket that is bound to the address and, because that is link-local, to its link.
fn bind_to(address: SocketAddrV6, shared: bool) -> nix::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Datagram, flags, None)?;
    setsockopt(&socket, Ipv6V6Only, &true)?;
    setsockopt(&socket, ReuseAddr, &shared)?;
    bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
    Ok(UdpSocket::from(socket))
}

/// Sends one message, again and again while the link cannot take it yet.
fn send(
    socket: &UdpSocket,
    message: &[u8],
    to: SocketAddrV6,
    start: Instant,
    give_up_after: Duration,
) -> Result<()> {
    loop {
        let failure = match socket.send_to(message, SocketAddr::V6(to)) {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        if !passes(&failure) || start.elapsed() + SOON > give_up_after {
            return Err(failure).doing("send DHCPv6 message");
        }
        thread::sleep(SOON);
    }
}

/// Whether a failure to send may be over soon: a link that comes up, an address that becomes valid.
fn passes(failure: &io::Error) -> bool {
    matches!(
        failure.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::EADDRNOTAVAIL
                | Errno::ENETUNREACH
                | Errno::ENETDOWN
                | Errno::EHOSTUNREACH
                | Errno::ENOBUFS
                | Errno::EAGAIN
                | Errno::EINTR
        )
    )
}

/// The length of the next datagram, or nothing when none came until then.
fn receive(
    socket: &UdpSocket,
    datagram: &mut [u8],
    start: Instant,
    until: Duration,
) -> Result<Option<usize>> {
    loop {
        match socket.recv(datagram) {
            Ok(length) => return Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).doing("receive DHCPv6 message"),
        }
        let left = until.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        wait(socket, left).doing("wait for DHCPv6 message")?;
    }
}

/// Waits until something comes in, or for `left`, rounded up to milliseconds.
fn wait(socket: &UdpSocket, left: Duration) -> nix::Result<()> {
    let millis = left.as_nanos().div_ceil(1_000_000);
    let timeout = PollTimeout::try_from(millis.min(60_000) as u16).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(other) => Err(other),
    }
}
