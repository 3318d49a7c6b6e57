//! Decisions over records: pure functions that know no clock, no environment and no I/O.

pub mod clients;
pub mod diff;
pub mod leases;
pub mod place;
pub mod reconcile;
pub mod template;
