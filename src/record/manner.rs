//! In which manner Docker runs a container.

use std::fmt;
use std::str::FromStr;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::ContainerId;
use super::text::{NotA, as_json_string, as_json_word, checked_text};

/// Docker's restart policy: `no`, `always`, `unless-stopped`, `on-failure[:times]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The container stays ended.
    No,
    /// It is started again, also when Docker itself is.
    Always,
    /// The same, unless it was stopped by hand.
    UnlessStopped,
    /// It is started again after a failure, at most so many times; 0 is no limit.
    OnFailure(u32),
}

impl FromStr for Restart {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Restart, NotA> {
        match text.split_once(':') {
            None if text == "no" => Ok(Restart::No),
            None if text == "always" => Ok(Restart::Always),
            None if text == "unless-stopped" => Ok(Restart::UnlessStopped),
            None if text == "on-failure" => Ok(Restart::OnFailure(0)),
            Some(("on-failure", times)) if super::port::number(times).is_some() => {
                Ok(Restart::OnFailure(times.parse().unwrap_or_default()))
            }
            _ => Err(NotA::new(
                text,
                "a restart policy (no, always, unless-stopped, on-failure[:N])",
            )),
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Restart::No => f.write_str("no"),
            Restart::Always => f.write_str("always"),
            Restart::UnlessStopped => f.write_str("unless-stopped"),
            Restart::OnFailure(0) => f.write_str("on-failure"),
            Restart::OnFailure(times) => write!(f, "on-failure:{times}"),
        }
    }
}

as_json_string!(Restart);

/// When Docker fetches the image before it makes the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pull {
    /// Each time.
    Always,
    /// When it is not on the host.
    Missing,
    /// Never: it must be on the host.
    Never,
}

as_json_word!(Pull "when to pull (always, missing or never)" {
    Always "always",
    Missing "missing",
    Never "never",
});

checked_text!(
    /// A signal by its name or number, as `docker kill` takes it.
    Signal,
    |text| match text.strip_prefix("SIG").unwrap_or(text) {
        number if number.bytes().all(|b| b.is_ascii_digit()) => {
            number.parse().is_ok_and(|n: u8| (1..=64).contains(&n)) && number == text
        }
        name => {
            name.len() <= 10
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.bytes().all(|b| {
                    b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-')
                })
        }
    },
    "a signal (such as SIGTERM, TERM or 15)"
);

impl Signal {
    /// The signal of that number on Linux, by its name; nothing for the numbers of real-time signals.
    pub fn numbered(number: u8) -> Option<Signal> {
        const NAMES: [&str; 31] = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
            "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN",
            "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
        ];
        let name = NAMES.get(usize::from(number).checked_sub(1)?)?;
        format!("SIG{name}").parse().ok()
    }
}

checked_text!(
    /// What an image is for: `os[/architecture[/variant]]`.
    Platform,
    |text| {
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        text.split('/').count() <= 3 && text.split('/').all(word)
    },
    "a platform (os[/architecture[/variant]])"
);

checked_text!(
    /// Whose System V IPC a container shares: `none`, `private`, `shareable`, `host` or
    /// `container:NAME`.
    IpcMode,
    |text| matches!(text, "none" | "private" | "shareable" | "host") || of_container(text),
    "an IPC mode (none, private, shareable, host or container:NAME)"
);

checked_text!(
    /// Whose processes a container sees: `host` or `container:NAME`.
    PidMode,
    |text| text == "host" || of_container(text),
    "a PID mode (host or container:NAME)"
);

fn of_container(text: &str) -> bool {
    text.strip_prefix("container:").is_some_and(|name| name.parse::<ContainerId>().is_ok())
}

/// The graphics processors that a container gets: `"all"`, a number of them, or a list of their
/// ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// Every one that there is.
    All,
    /// So many, whichever.
    Count(u32),
    /// These, by index or UUID.
    Ids(Vec<String>),
}

impl Serialize for Gpus {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Gpus::All => to.serialize_str("all"),
            Gpus::Count(count) => to.serialize_u32(*count),
            Gpus::Ids(ids) => ids.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Gpus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Gpus, D::Error> {
        const WHAT: &str = "\"all\", a number of processors, or a list of their ids";
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Gpus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHAT)
            }

            fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Gpus, E> {
                let count = u32::try_from(count).map_err(|_| NotA::new(&count.to_string(), WHAT));
                count.map(Gpus::Count).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Gpus, E> {
                if word == "all" { Ok(Gpus::All) } else { Err(E::custom(NotA::new(word, WHAT))) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, ids: A) -> Result<Gpus, A::Error> {
                let ids: Vec<String> = Vec::deserialize(SeqAccessDeserializer::new(ids))?;
                match ids.iter().find(|id| !is_processor(id)) {
                    None => Ok(Gpus::Ids(ids)),
                    Some(bad) => {
                        let what = "the id of a graphics processor (letters, digits, _ . : -)";
                        Err(A::Error::custom(NotA::new(bad, what)))
                    }
                }
            }
        }
        from.deserialize_any(Form)
    }
}

/// Whether it may be the index or UUID of a graphics processor.
fn is_processor(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_policy_is_written_as_it_is_read() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(text.parse::<Restart>().unwrap().to_string(), text);
        }
        assert!("on-failure:-1".parse::<Restart>().is_err());
    }

    #[test]
    fn words_are_those_that_docker_knows() {
        for good in ["SIGTERM", "TERM", "15", "SIGRTMIN+3", "64"] {
            assert!(good.parse::<Signal>().is_ok(), "{good}");
        }
        for bad in ["", "SIG", "SIG15", "0", "65", "term", "-15", "SIG TERM"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad:?}");
        }
        for good in ["linux", "linux/amd64", "linux/arm/v7"] {
            assert!(good.parse::<Platform>().is_ok(), "{good}");
        }
        for bad in ["", "linux/", "a/b/c/d", "linux amd64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
        assert!(
            "container:db".parse::<IpcMode>().is_ok() && "container:".parse::<IpcMode>().is_err()
        );
        assert!("host".parse::<PidMode>().is_ok() && "private".parse::<PidMode>().is_err());
    }

    #[test]
    fn a_number_has_a_name() {
        let name = |number| Signal::numbered(number).map(|signal| signal.to_string());
        assert_eq!(name(9).as_deref(), Some("SIGKILL"));
        assert_eq!(name(31).as_deref(), Some("SIGSYS"));
        assert_eq!((name(0), name(32)), (None, None));
    }

    #[test]
    fn graphics_processors_are_all_so_many_or_these() {
        for text in [r#""all""#, "2", r#"["0","GPU-8f2"]"#] {
            let gpus: Gpus = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&gpus).unwrap(), text);
        }
        for bad in [r#""some""#, "-1", "1.5", r#"["a b"]"#, r#"[""]"#, "true"] {
            assert!(serde_json::from_str::<Gpus>(bad).is_err(), "{bad}");
        }
    }
}
