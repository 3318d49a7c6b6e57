//! Packets between two network namespaces: what counts in the end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Namespace;

/// The port that is spoken to.
const PORT: u16 = 7007;

/// Whether a UDP packet from `from` to `address` in `to` is answered within `patience`. Each is
/// asked again and again: an address may still be in duplicate detection, a switch still learning.
pub fn reaches(from: &Namespace, to: &Namespace, address: &str, patience: Duration) -> bool {
    let address: IpAddr = address.parse().expect("an address");
    let open = |at: SocketAddr| {
        let socket = UdpSocket::bind(at).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        socket
    };
    let any: IpAddr = match address {
        IpAddr::V4(_) => [0, 0, 0, 0].into(),
        IpAddr::V6(_) => [0u16; 8].into(),
    };
    let server = to.within(|| open((any, PORT).into()));
    let client = from.within(|| open((any, 0).into()));
    let end = Instant::now() + patience;
    let mut piece = [0; 16];
    while Instant::now() < end {
        let sent = client.send_to(b"are you there", (address, PORT));
        if sent.is_err() {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let Ok((_, back)) = server.recv_from(&mut piece) else { continue };
        if server.send_to(b"yes", back).is_ok() && client.recv_from(&mut piece).is_ok() {
            return true;
        }
    }
    false
}
