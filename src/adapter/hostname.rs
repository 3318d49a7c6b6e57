//! What this machine is called.

use crate::error::{Doing, Result};

/// The machine's own name, as the kernel knows it.
pub fn of_this_machine() -> Result<String> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).doing(format_args!("read {path}"))?;
    Ok(name.trim().to_owned())
}
