//! The kernel's settings under `/proc/sys/net`: mostly IPv6 per interface.
//!
//! The files show the network namespace of the thread that opens them. Writing one can take the
//! kernel seconds on a busy machine, so nothing is written that is so already.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use crate::error::{Doing, Error, Kind, Result};
use crate::record::Ifname;

/// Whose settings.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those that an interface is born with.
    Default,
    /// Those of one interface.
    Interface(&'a Ifname),
}

/// The value of a setting, in the namespace of the calling thread; nothing when the kernel does
/// not have it.
pub fn get(of: Of<'_>, setting: &str) -> Result<Option<i32>> {
    let path = path(of, setting);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing(format_args!("read {path}"))?,
    };
    let wrong = |_| Error::new(Kind::BadInput, format!("read {path}")).why("not a number");
    text.trim().parse().map(Some).map_err(wrong)
}

/// Writes a setting, in the namespace of the calling thread.
pub fn set(of: Of<'_>, setting: &str, value: i32) -> Result<()> {
    let path = path(of, setting);
    // To have it made or emptied would only take longer.
    let file = OpenOptions::new().write(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(value.to_string().as_bytes()));
    written.doing(format_args!("write {value} to {path}"))
}

/// Whether what bridges carry goes through the ip6tables of the calling thread's namespace.
pub fn bridges_are_filtered() -> bool {
    let path = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}

fn path(of: Of<'_>, setting: &str) -> String {
    let of = match of {
        Of::Default => "default",
        Of::Interface(name) => name.as_str(),
    };
    format!("/proc/sys/net/ipv6/conf/{of}/{setting}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_the_kernel_lacks_is_absent() {
        assert_eq!(get(Of::Default, "no_such_setting").unwrap(), None);
        let lo = "lo".parse().unwrap();
        assert!(get(Of::Interface(&lo), "disable_ipv6").unwrap().is_some());
    }
}
