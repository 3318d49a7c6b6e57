//! dnsmasq's lease file.

pub mod file;
pub mod text;
