//! Kea's control channel: commands to a running `kea-dhcp6`, and its answers.
//!
//! A command is a JSON object, and so is its answer, with a number that says how it went. They go
//! over a Unix socket, or by HTTP through `kea-ctrl-agent`, or since Kea 2.7.2 to the server itself.
//! What leases and reservations can be asked depends on the hook libraries that the server has
//! loaded; one that is missing is told by its name.

mod channel;
pub mod leases;
mod place;
#[cfg(test)]
pub(crate) mod played;
pub mod reservations;
mod server;

pub use channel::{Answer, Channel};
pub use place::Place;
pub use server::{Server, Subnet};
