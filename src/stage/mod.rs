//! What each program does: the pipe, the logic and the adapters that it needs, joined.

pub mod changes;
