//! What the Docker engine's failures mean to the suite.

use std::error::Error as Cause;
use std::fmt::Display;
use std::io;

use bollard::errors::Error as Failure;

use crate::error::{Error, Kind};

/// The failure to do `what`.
///
/// The engine's own refusals are told by its HTTP status. A connection that cannot be made, or
/// breaks, means that there is no engine, unless the socket itself forbids it.
pub(super) fn failure(what: impl Display, why: &Failure) -> Error {
    match why {
        Failure::DockerResponseServerError { status_code, message } => {
            Error::new(refusal(*status_code), what).why(message.trim())
        }
        Failure::DockerStreamError { error } => Error::new(Kind::Refused, what).why(error.trim()),
        Failure::RequestTimeoutError => {
            Error::new(Kind::TimedOut, what).why("the Docker engine did not answer in time")
        }
        Failure::JsonDataError { .. } | Failure::JsonSerdeError { .. } => {
            Error::new(Kind::BadInput, what)
                .why(format_args!("the Docker engine's answer cannot be read: {why}"))
        }
        Failure::SocketNotFoundError(path) => nobody(what, &format!("no socket {path}")),
        other => disconnected(what, other),
    }
}

/// The failure to fetch an image: whatever the engine says of it, the image is not to be had.
pub(super) fn no_image(what: impl Display, why: &Failure) -> Error {
    match why {
        Failure::DockerResponseServerError { message: text, .. }
        | Failure::DockerStreamError { error: text } => {
            Error::new(Kind::NotFound, what).why(text.trim())
        }
        other => failure(what, other),
    }
}

/// Whether the failure is that of an engine that was asked for something that it does not have.
pub(super) fn is_missing(why: &Failure) -> bool {
    status(why) == Some(404)
}

/// The HTTP status of the engine's refusal.
pub(super) fn status(why: &Failure) -> Option<u16> {
    match why {
        Failure::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Docker's API answers 500 for most that goes wrong in a container itself: a port that is taken,
/// a command that is not there.
fn refusal(status: u16) -> Kind {
    match status {
        400 => Kind::BadInput,
        401 | 403 => Kind::NotPermitted,
        404 => Kind::NotFound,
        408 | 504 => Kind::TimedOut,
        502 | 503 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

fn disconnected(what: impl Display, why: &Failure) -> Error {
    match system_error(why) {
        Some(system) if system.kind() == io::ErrorKind::PermissionDenied => {
            Error::new(Kind::NotPermitted, what)
                .why("the Docker engine's socket is not open to this user")
                .remedy("run as root or as a member of the group docker")
        }
        Some(system) => nobody(what, &system.to_string()),
        None => {
            let text = innermost(why);
            match distrust(&text) {
                Some((kind, why, remedy)) => {
                    Error::new(kind, what).why(format_args!("{why} ({text})")).remedy(remedy)
                }
                None => nobody(what, &text),
            }
        }
    }
}

/// What TLS has against one side or the other, by the words that rustls has for it: what kind of
/// failure that is, what it means, and what to do.
///
/// With TLS 1.3 an engine's refusal of our certificate comes after the connection is made, with its
/// first answer.
fn distrust(text: &str) -> Option<(Kind, &'static str, &'static str)> {
    const THEIRS: &str = "see that its certificate is of the authority in ca.pem, is in date, and \
                          names the host as its URL does";
    const OURS: &str = "see that cert.pem is in date and of an authority that the engine trusts";
    const REFUSALS: [&str; 9] = [
        "CertificateRequired",
        "BadCertificate",
        "UnknownCA",
        "CertificateExpired",
        "CertificateRevoked",
        "CertificateUnknown",
        "UnsupportedCertificate",
        "AccessDenied",
        "DecryptError",
    ];
    if text.contains("invalid peer certificate") {
        return Some((Kind::Refused, "the engine's certificate cannot be trusted", THEIRS));
    }
    if let Some((_, alert)) = text.split_once("received fatal alert: ") {
        return Some(match REFUSALS.iter().any(|refusal| alert.starts_with(refusal)) {
            true => (Kind::NotPermitted, "the engine does not accept our certificate", OURS),
            false => (Kind::Refused, "the engine breaks TLS off", "see the engine's log"),
        });
    }
    let is_plain = text.contains("InvalidContentType");
    let remedy = "give it TLS, or say --insecure to do without encryption";
    is_plain.then_some((Kind::Refused, "what answers there does not speak TLS", remedy))
}

fn nobody(what: impl Display, why: &str) -> Error {
    Error::new(Kind::Unavailable, what)
        .why(format_args!("no Docker engine answers ({why})"))
        .remedy("start it, or name another host")
}

/// The operating system's error at the root of a failure, if there is one.
fn system_error(why: &Failure) -> Option<&io::Error> {
    let mut cause: Option<&(dyn Cause + 'static)> = match why {
        Failure::IOError { err } => Some(err),
        other => Some(other),
    };
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>() {
            Some(io) if io.raw_os_error().is_some() => return Some(io),
            _ => cause = error.source(),
        }
    }
    None
}

/// The last and most exact of a chain of messages.
fn innermost(why: &Failure) -> String {
    let mut error: &dyn Cause = why;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16) -> Failure {
        Failure::DockerResponseServerError { status_code, message: "No such container: x\n".into() }
    }

    #[test]
    fn refusals_keep_their_kind_and_the_engine_s_words() {
        let told = failure("inspect x", &answer(404));
        assert_eq!(told.kind(), Kind::NotFound);
        assert_eq!(told.to_string(), "inspect x: No such container: x");
        for (status, kind) in [
            (400, Kind::BadInput),
            (403, Kind::NotPermitted),
            (409, Kind::Refused),
            (500, Kind::Refused),
            (503, Kind::Unavailable),
        ] {
            assert_eq!(failure("x", &answer(status)).kind(), kind, "{status}");
        }
    }

    #[test]
    fn who_distrusts_whom_is_told() {
        let tls = |text: &str| Failure::IOError { err: io::Error::other(text.to_owned()) };
        let told = failure("x", &tls("invalid peer certificate: Expired"));
        assert_eq!(told.kind(), Kind::Refused);
        assert!(told.to_string().contains("the engine's certificate"), "{told}");
        let told = failure("x", &tls("received fatal alert: CertificateRequired"));
        assert_eq!(told.kind(), Kind::NotPermitted);
        assert!(told.to_string().contains("our certificate"), "{told}");
        let told = failure("x", &tls("received fatal alert: HandshakeFailure"));
        assert_eq!(told.kind(), Kind::Refused);
        assert_eq!(failure("x", &tls("connection closed")).kind(), Kind::Unavailable);
    }

    #[test]
    fn a_closed_door_and_an_empty_house_are_told_apart() {
        let system = |number| Failure::IOError { err: io::Error::from_raw_os_error(number) };
        assert_eq!(failure("x", &system(13)).kind(), Kind::NotPermitted);
        assert_eq!(failure("x", &system(111)).kind(), Kind::Unavailable);
        assert_eq!(failure("x", &system(2)).kind(), Kind::Unavailable);
        assert_eq!(failure("x", &Failure::RequestTimeoutError).kind(), Kind::TimedOut);
    }
}
