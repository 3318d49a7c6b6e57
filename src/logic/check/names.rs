//! Names that the kernel and the engine have.

/// Capabilities (capabilities(7)) without `CAP_`, in the order of their numbers.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Limits of setrlimit(2) that the engine sets: all but that of address space.
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Signals (signal(7)) without `SIG`; real-time ones are RTMIN and RTMAX, and so many from them.
const SIGNALS: [&str; 36] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
    "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN",
    "RTMAX",
];

/// Kernel settings of System V IPC and message queues: the ipc namespace's.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Options of a mount.
const MOUNT_OPTIONS: [&str; 15] = [
    "ro",
    "rw",
    "z",
    "Z",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "nocopy",
    "consistent",
    "cached",
    "delegated",
    "volume-nocopy",
];

/// A capability as it is compared: in capitals and without `CAP_`.
pub fn capability(text: &str) -> String {
    let name = text.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// Whether there is such a capability, as [`capability`] writes it; `ALL` is all of them.
pub fn is_capability(name: &str) -> bool {
    name == "ALL" || CAPABILITIES.contains(&name)
}

/// Whether the engine sets a limit of this name.
pub fn is_limit(name: &str) -> bool {
    LIMITS.contains(&name)
}

/// The limits that there are, for people.
pub fn limits() -> String {
    LIMITS.join(", ")
}

/// Whether there is such a signal, by name or number.
pub fn is_signal(text: &str) -> bool {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let from = |start: &str, sign: char| {
        let count = name.strip_prefix(start).and_then(|rest| rest.strip_prefix(sign));
        count
            .and_then(|count| count.parse().ok())
            .is_some_and(|count: u8| (1..=15).contains(&count))
    };
    let is_number = name.bytes().all(|b| b.is_ascii_digit());
    is_number || SIGNALS.contains(&name) || from("RTMIN", '+') || from("RTMAX", '-')
}

/// Whether the engine knows this option of a mount.
pub fn is_mount_option(text: &str) -> bool {
    MOUNT_OPTIONS.contains(&text)
}

/// Whose a kernel setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The network namespace's.
    Net,
    /// The IPC namespace's.
    Ipc,
    /// The one of host names.
    Uts,
}

/// Whose the kernel setting of this name is; nothing when it is the whole machine's.
pub fn namespace(setting: &str) -> Option<Namespace> {
    match setting {
        "kernel.domainname" => Some(Namespace::Uts),
        _ if setting.starts_with("net.") => Some(Namespace::Net),
        _ if setting.starts_with("fs.mqueue.") || OF_IPC.contains(&setting) => Some(Namespace::Ipc),
        _ => None,
    }
}

/// Whether it has the form of a kernel setting's name: words joined by dots, none of them empty.
/// A dot in the name of an interface is written as a slash.
pub fn is_setting(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word != ".." && word.bytes().all(|b| b.is_ascii_graphic());
    text.contains('.') && text.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        assert!(is_capability(&capability("cap_net_admin")) && is_capability(&capability("all")));
        assert!(!is_capability(&capability("NET")) && !is_capability(&capability("CAP_CAP_BPF")));
        for good in ["SIGTERM", "TERM", "9", "RTMIN+3", "SIGRTMAX-15", "RTMIN"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["FOO", "RTMIN+99", "RTMIN-1", "TERM+1"] {
            assert!(!is_signal(bad), "{bad}");
        }
        for good in ["net.ipv4.ip_forward", "net.ipv6.conf.eth0/1.mtu", "kernel.sem"] {
            assert!(is_setting(good), "{good}");
        }
        for bad in ["", "net", "net.", ".net", "net..ipv4", "net.ip v4", "net.\n"] {
            assert!(!is_setting(bad), "{bad:?}");
        }
        assert_eq!(namespace("vm.swappiness"), None);
    }
}
