//! What the Docker engine's failures mean to the suite.

use std::error::Error as Cause;
use std::fmt::Display;
use std::io;

use bollard::errors::Error as Failure;

use super::connect::TOO_LONG;
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

/// The failure to fetch an image from that registry.
///
/// The engine hands on what the registry said, with a status of its own choice, so only the words
/// tell a closed door from an empty house.
pub(super) fn no_image(what: impl Display, registry: &str, why: &Failure) -> Error {
    let text = match why {
        Failure::DockerResponseServerError { message: text, .. }
        | Failure::DockerStreamError { error: text } => text.trim(),
        other => return failure(what, other),
    };
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = if says(&UNKNOWN) {
        Kind::NotFound
    } else if says(&CLOSED) {
        Kind::NotPermitted
    } else if says(&LATE) {
        Kind::TimedOut
    } else if says(&ABSENT) {
        Kind::Unavailable
    } else if status(why).is_none_or(|status| status == 404) {
        Kind::NotFound
    } else {
        Kind::Refused
    };
    let error = Error::new(kind, what).why(text);
    if kind == Kind::NotPermitted {
        return error.remedy(format_args!("give the right login for {registry} to docker login"));
    }
    error
}

/// What is said when a registry has no such image, or hides it.
const UNKNOWN: [&str; 4] = ["manifest unknown", "not found", "does not exist", "name unknown"];

/// What is said when it does not let somebody in.
const CLOSED: [&str; 4] = ["unauthorized", "no basic auth credentials", "denied", "forbidden"];

/// What is said when it does not answer in time.
const LATE: [&str; 4] =
    ["Client.Timeout", "i/o timeout", "deadline exceeded", "TLS handshake timeout"];

/// What is said when nothing answers where it should be.
const ABSENT: [&str; 6] =
    ["dial tcp", "lookup ", "no such host", "connection re", "Service Unavailable", "unreachable"];

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
            if text == TOO_LONG {
                return Error::new(Kind::BadInput, what)
                    .why(format_args!("the Docker engine's answer cannot be read: {text}"));
            }
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
    if let Some((_, fault)) = text.split_once("invalid peer certificate: ") {
        let (why, remedy) = fault_of(fault);
        return Some((Kind::Refused, why, remedy));
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

/// What is wrong with the engine's certificate, and what to do about it.
fn fault_of(text: &str) -> (&'static str, &'static str) {
    let says = |words: &str| text.contains(words);
    if says("expired") || says("Expired") {
        let why = "the engine's certificate cannot be trusted: it has expired";
        (why, "give the engine a new one, or set the clock here right")
    } else if says("not valid yet") || says("NotValidYet") {
        let why = "the engine's certificate cannot be trusted: it is not valid yet";
        (why, "set the clocks here and there right")
    } else if says("not valid for") || says("NotValidForName") {
        let why = "the engine's certificate cannot be trusted: it is for another host";
        (why, "name the host in its URL as its certificate does")
    } else if says("UnknownIssuer") {
        let why = "the engine's certificate cannot be trusted: it is of no authority in ca.pem";
        (why, "put the authority that signed it there, if that is the right one")
    } else {
        let why = "the engine's certificate cannot be trusted";
        (why, "see that it is of an authority in ca.pem, and made for a server")
    }
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
        assert!(told.to_string().contains("cannot be trusted: it has expired"), "{told}");
        let told = failure("x", &tls("received fatal alert: CertificateRequired"));
        assert_eq!(told.kind(), Kind::NotPermitted);
        assert!(told.to_string().contains("our certificate"), "{told}");
        let told = failure("x", &tls("received fatal alert: HandshakeFailure"));
        assert_eq!(told.kind(), Kind::Refused);
        assert_eq!(failure("x", &tls("connection closed")).kind(), Kind::Unavailable);
    }

    #[test]
    fn what_a_registry_says_keeps_its_kind() {
        let told = |text: &str| {
            let stream = Failure::DockerStreamError { error: text.to_owned() };
            no_image("fetch image", "r:5000", &stream).kind()
        };
        for (text, kind) in [
            ("manifest for r:5000/a:1 not found: manifest unknown", Kind::NotFound),
            ("pull access denied for a, repository does not exist or may require", Kind::NotFound),
            (
                "Head \"http://r:5000/v2/a/manifests/1\": no basic auth credentials",
                Kind::NotPermitted,
            ),
            (
                "Head \"http://r:5000/v2/\": unauthorized: authentication required",
                Kind::NotPermitted,
            ),
            (
                "Get \"http://r:5000/v2/\": dial tcp 1.2.3.4:5000: connect: connection refused",
                Kind::Unavailable,
            ),
            ("Get \"https://r/v2/\": dial tcp: lookup r: no such host", Kind::Unavailable),
            ("Get \"https://r/v2/\": dial tcp 1.2.3.4:443: i/o timeout", Kind::TimedOut),
        ] {
            assert_eq!(told(text), kind, "{text}");
        }
        let disk =
            Failure::DockerResponseServerError { status_code: 500, message: "no space".into() };
        assert_eq!(no_image("x", "r", &disk).kind(), Kind::Refused);
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
