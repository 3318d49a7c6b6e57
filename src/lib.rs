//! The library behind the leasepipe programs.
//!
//! Arrows point one way: `bin` → `stage` → `adapter`, `logic`, `pipe` → `record` → `error`, with
//! `cli` and `random` beside them.
//! `record` says what goes over the pipe, `pipe` carries it, `logic` decides without touching the
//! world, each module of `adapter` speaks to one outside system, and a `stage` joins those that one
//! program needs. `tests/layers.rs` holds this picture against the code.

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod adapter;
pub mod cli;
pub mod error;
pub mod logic;
pub mod pipe;
pub mod random;
pub mod record;
pub mod stage;
