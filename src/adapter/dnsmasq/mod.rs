//! dnsmasq as a DHCP server: what it is to reserve.

pub mod reservations;
