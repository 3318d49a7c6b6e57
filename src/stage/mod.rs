//! What each program does: the pipe, the logic and the adapters that it needs, joined.

pub mod cccf_check;
pub mod cccf_diff;
pub mod cccf_docker_instructions;
pub mod cccf_host;
pub mod cccf_scale;
pub mod changes;
pub mod compose_cccf;
pub mod container_run;
pub mod container_watch;
pub mod docker_cccf;
pub mod engines;
mod flights;
pub mod host_add;
pub mod host_probe;
pub mod hosts;
pub mod image_ship;
mod images;
pub mod lease_bind;
pub mod lease_cccf;
pub mod lease_hook;
pub mod lease_watch;
pub mod listening;
pub mod unionize;
