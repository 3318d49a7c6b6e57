//! What DHCP servers tell a script about their leases, and where it is left for lease-watch.
//!
//! A server that calls a program for each event has told it when the program ends, whether or not
//! anybody was there to hear. So what is told is left in a directory, the spool, which holds one
//! small file for each address or prefix: what is known of it, as one lease record. A later event
//! replaces an earlier one, so nothing is lost while nobody reads, and the directory does not grow
//! with time. [`writer`] is the side of the script and [`reader`] the side of lease-watch, which may
//! run at any time, or not at all.

pub mod dnsmasq;
pub mod entry;
pub mod event;
pub mod kea;
pub mod order;
pub mod reader;
pub mod writer;

mod watch;

/// The file that says that the spool is its server's database, and so holds every lease.
const COMPLETE: &str = ".complete";

/// The file that holds the server's own DUID, as dnsmasq wants it back.
const SERVER_DUID: &str = ".server-duid";

/// The file whose length is how many ends were written since old ones were swept.
const ENDS: &str = ".ends";
