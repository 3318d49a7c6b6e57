//! What the failures of etcd mean to the suite.

use std::error::Error as Cause;

use etcd_client::Error as Failure;

use crate::error::{Error, Kind};

/// What is to be done about a failure.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Another member, or this one a moment later, may do it. For a request that writes, nobody
    /// knows whether it was done. The reason, for people.
    Again(String),
    /// It is the same everywhere and at any time.
    Final(Error),
}

/// The codes of gRPC that are told apart here; the numbers are the wire's.
mod code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNIMPLEMENTED: i32 = 12;
}

/// What `failure` means for the wish to do `what`.
pub(super) fn verdict(what: &str, failure: &Failure) -> Verdict {
    match failure {
        Failure::GRpcStatus(status) => answered(what, status.code() as i32, status.message())
            .unwrap_or_else(|| Verdict::Again(innermost(status))),
        Failure::TransportError(why) => Verdict::Again(innermost(why)),
        Failure::IoError(why) => Verdict::Again(why.to_string()),
        other => Verdict::Final(Error::new(Kind::Bug, what).why(other)),
    }
}

/// Whether what was asked for is of a time that etcd has forgotten.
pub(super) fn is_compacted(failure: &Failure) -> bool {
    match failure {
        Failure::GRpcStatus(status) => {
            status.code() as i32 == code::OUT_OF_RANGE && status.message().contains("compacted")
        }
        _ => false,
    }
}

/// The verdict on an answer of etcd's own; nothing when another member may answer otherwise.
fn answered(what: &str, code: i32, message: &str) -> Option<Verdict> {
    let told = message.strip_prefix("etcdserver: ").unwrap_or(message);
    let error = |kind| Error::new(kind, what).why(format_args!("etcd says: {told}"));
    let error = match code {
        code::PERMISSION_DENIED => error(Kind::NotPermitted)
            .remedy("give the user's role read and write rights to all keys under the prefix"),
        code::INVALID_ARGUMENT if told.contains("user name is empty") => {
            error(Kind::NotPermitted).remedy("name a user in the address (etcd://USER:PASSWORD@…)")
        }
        code::INVALID_ARGUMENT if told.contains("authentication failed") => {
            error(Kind::NotPermitted)
        }
        // What the user may do has changed; a new connection goes by the new rules.
        code::INVALID_ARGUMENT if told.contains("revision of auth store is old") => return None,
        code::INVALID_ARGUMENT => error(Kind::Refused),
        code::FAILED_PRECONDITION if told.contains("authentication is not enabled") => {
            error(Kind::Refused).remedy("leave user and password out of the address")
        }
        code::FAILED_PRECONDITION | code::UNIMPLEMENTED => error(Kind::Refused),
        code::RESOURCE_EXHAUSTED if told.contains("database space exceeded") => error(Kind::Io)
            .remedy("compact and defragment etcd, disarm its alarm, or raise its quota"),
        code::OUT_OF_RANGE => error(Kind::Refused),
        _ => return None,
    };
    Some(Verdict::Final(error))
}

/// The last and most exact of a chain of messages, without the number that Rust puts behind.
fn innermost(why: &dyn Cause) -> String {
    let mut error = why;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: i32, message: &str) -> Option<Kind> {
        match answered("bind web", code, message)? {
            Verdict::Final(error) => Some(error.kind()),
            Verdict::Again(_) => None,
        }
    }

    /// The messages are those of etcd 3.4.
    #[test]
    fn answers_are_told_apart() {
        let failed = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(kind(3, failed), Some(Kind::NotPermitted));
        assert_eq!(kind(3, "etcdserver: user name is empty"), Some(Kind::NotPermitted));
        assert_eq!(kind(7, "etcdserver: permission denied"), Some(Kind::NotPermitted));
        assert_eq!(kind(9, "etcdserver: authentication is not enabled"), Some(Kind::Refused));
        assert_eq!(kind(8, "etcdserver: mvcc: database space exceeded"), Some(Kind::Io));
        assert_eq!(kind(8, "etcdserver: too many requests"), None);
        assert_eq!(kind(14, "etcdserver: no leader"), None);
        assert_eq!(kind(14, "etcdserver: request timed out"), None);
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        assert_eq!(kind(11, compacted), Some(Kind::Refused));
    }

    #[test]
    fn an_answer_is_told_in_etcd_s_words() {
        let Some(Verdict::Final(told)) = answered("bind web", 7, "etcdserver: permission denied")
        else {
            panic!("final")
        };
        assert!(told.to_string().starts_with("bind web: etcd says: permission denied; give"));
    }
}
