//! The kernel settings that a container gets.

use std::collections::BTreeMap;
use std::path::Path;

use crate::record::Container;

/// Whether the kernel under an engine has the settings that containers on DHCPv6 need. Docker
/// refuses to start a container with a setting that its kernel does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// It speaks IPv6.
    pub ipv6: bool,
    /// It knows optimistic duplicate address detection (RFC 4429).
    pub optimistic_dad: bool,
}

impl Kernel {
    /// This machine's kernel.
    pub fn here() -> Kernel {
        let settings = Path::new("/proc/sys/net/ipv6/conf/all");
        Kernel { ipv6: settings.exists(), optimistic_dad: settings.join("optimistic_dad").exists() }
    }

    /// The kernel of another machine, which cannot be asked: it speaks IPv6, without which none of
    /// this is of use, and knows nothing that kernels are built without.
    pub fn elsewhere() -> Kernel {
        Kernel { ipv6: true, optimistic_dad: false }
    }

    /// The declared settings, and those without which a container has no usable IPv6: Docker turns
    /// it off where its own networks have none, and an address that waits for duplicate address
    /// detection is late by seconds.
    pub(super) fn settings(self, container: &Container, mode: &str) -> BTreeMap<String, String> {
        let mut settings = container.sysctls.clone();
        if mode == "host" || mode.starts_with("container:") {
            return settings;
        }
        let mut unless_declared = |name: &str, value: &str| {
            settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        if container.private_network.is_some() {
            // Who is on the link that unionize plugs it into has no way through it.
            unless_declared("net.ipv4.ip_forward", "0");
        }
        for which in ["all", "default"] {
            if self.ipv6 {
                unless_declared(&format!("net.ipv6.conf.{which}.disable_ipv6"), "0");
            }
            if self.optimistic_dad {
                unless_declared(&format!("net.ipv6.conf.{which}.optimistic_dad"), "1");
            }
        }
        settings
    }
}
