//! Decisions over records: pure functions that know no clock, no environment and no I/O.
