//! Decisions over records: pure functions that know no clock, no environment and no I/O.

pub mod caps;
pub mod check;
pub mod clients;
pub mod compose;
pub mod dependence;
pub mod diff;
pub mod fleet;
pub mod glob;
pub mod instructions;
pub mod lease_ends;
pub mod leases;
pub mod names;
pub mod place;
pub mod probe;
pub mod reconcile;
pub mod renewal;
pub mod resolv;
pub mod rules;
pub mod scale;
pub mod template;
pub mod watch;
