//! dnsmasq as a DHCP server: what it has leased, and what it is to reserve.

pub mod leases;
mod notices;
pub mod reservations;
pub mod watch;
