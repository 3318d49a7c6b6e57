//! dnsmasq: what its DHCP server is to reserve, and what its DNS is to know.

mod files;
pub mod names;
pub mod reservations;
