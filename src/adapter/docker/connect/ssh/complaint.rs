//! What ssh says when it fails, and what can be done about it.

use crate::adapter::docker::connect::url::Remote;
use crate::error::{Error, Kind};

/// A piece of what ssh says, what it means, and what to do.
type Known = (&'static str, Kind, &'static str, &'static str);

/// In the order in which they are looked for.
const KNOWN: [Known; 12] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        Kind::Refused,
        "its host key is not the one that is known: it may be another machine",
        "find out why before you take the old key out of known_hosts",
    ),
    (
        "Host key verification failed",
        Kind::Refused,
        "its host key is not known",
        "compare and accept it once with ssh by hand, or put it into known_hosts",
    ),
    (
        "Permission denied",
        Kind::NotPermitted,
        "no key is accepted there",
        "offer one by ssh-agent or ssh_config; one with a passphrase only by an agent",
    ),
    (
        "Too many authentication failures",
        Kind::NotPermitted,
        "none of the first keys is accepted there",
        "name the right one with IdentityFile and IdentitiesOnly in ssh_config",
    ),
    ("Could not resolve hostname", Kind::Unavailable, "its name is not known", "correct it"),
    (
        "Connection refused",
        Kind::Unavailable,
        "no SSH server listens there",
        "start it, or name its port",
    ),
    ("timed out", Kind::TimedOut, "it does not answer", "see whether it is up"),
    ("No route to host", Kind::Unavailable, "there is no way to it", "see whether it is up"),
    ("Network is unreachable", Kind::Unavailable, "there is no way to it", "see the routes"),
    ("Bad owner or permissions", Kind::NotPermitted, "ssh_config is not yours alone", "chmod it"),
    ("Bad configuration option", Kind::BadInput, "ssh_config is not understood", "correct it"),
    (
        "Could not request local forwarding",
        Kind::Io,
        "the socket on this side cannot be made",
        "see the permissions of the directory for temporary files",
    ),
];

/// Why ssh has ended.
pub(super) fn why(remote: &Remote, told: &[String]) -> Error {
    let doing = format!("ssh {}", remote.place());
    for (words, kind, why, remedy) in KNOWN {
        if let Some(line) = told.iter().rev().find(|line| line.contains(words)) {
            let why = format!("{why} ({})", line.trim_matches('@').trim());
            return Error::new(kind, doing).why(why).remedy(remedy);
        }
    }
    let last = told.iter().rev().find(|line| !line.is_empty());
    let last = last.map_or("it ended without a word", String::as_str);
    Error::new(Kind::Unavailable, doing).why(last)
}

/// Why the engine's socket cannot be reached, if ssh has said so.
pub(super) fn of_engine(remote: &Remote, told: &[String]) -> Option<Error> {
    let line = told.iter().rev().find(|line| line.contains("open failed: "))?;
    let doing = format!("open {} on {}", remote.socket, remote.place());
    Some(if line.contains("prohibited") {
        Error::new(Kind::NotPermitted, doing)
            .why("its SSH server forwards no sockets")
            .remedy("set AllowStreamLocalForwarding in its sshd_config")
    } else {
        Error::new(Kind::Unavailable, doing)
            .why("no Docker engine listens there, or not for this user")
            .remedy("start it there, or let the user into the group docker")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn remote() -> Remote {
        let socket = "/var/run/docker.sock".to_owned();
        Remote { user: Some("ops".to_owned()), host: "h".to_owned(), port: None, socket }
    }

    #[test]
    fn a_changed_key_is_not_taken_for_a_new_one() {
        let unknown = "No ED25519 host key is known for h and you have requested strict \
                       checking.\nHost key verification failed.";
        let changed = format!("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n{unknown}");
        let text = |told_by: &str| why(&remote(), &told(told_by)).to_string();
        assert!(text(unknown).starts_with("ssh ops@h: its host key is not known"));
        assert!(text(&changed).contains("another machine"));
    }

    #[test]
    fn kinds_are_kept_apart() {
        for (text, kind) in [
            ("ops@h: Permission denied (publickey).", Kind::NotPermitted),
            ("ssh: connect to host h port 22: Connection timed out", Kind::TimedOut),
            ("ssh: connect to host h port 22: Connection refused", Kind::Unavailable),
            ("kex_exchange_identification: Connection closed", Kind::Unavailable),
            ("", Kind::Unavailable),
        ] {
            assert_eq!(why(&remote(), &told(text)).kind(), kind, "{text}");
        }
    }

    #[test]
    fn what_the_far_end_does_not_open_is_told() {
        let kind = |text: &str| of_engine(&remote(), &told(text)).map(|error| error.kind());
        let missing = "channel 1: open failed: connect failed: open failed";
        assert_eq!(kind(missing), Some(Kind::Unavailable));
        let forbidden = "channel 1: open failed: administratively prohibited: open failed";
        assert_eq!(kind(forbidden), Some(Kind::NotPermitted));
        assert_eq!(kind("Warning: Permanently added"), None);
    }
}
