//! A container: CCCF, the fields Docker adds, and what the suite knows about it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::{NotA, as_json_string};
use super::{
    ContainerId, Duid, Expose, Fixed, Hostname, Image, Interface, Key, NetworkName, Owner, Port,
};
use crate::error::{Error, Kind};
use crate::wire;

wire! {
    /// One container, wanted or there: the document of cccf(5).
    pub struct Container {
        /// Its name, unique on its host and within the pipe.
        req id: ContainerId,
        /// What it is made from.
        req image: Image,
        /// The command; absent means the image's own.
        opt cmd: Words,
        /// What the command is given to; absent means the image's own.
        opt entrypoint: Words,
        /// `NAME=value`, a set.
        many env: Vec<EnvVar>,
        /// Ports published on the host, a set.
        many ports: Vec<Port>,
        /// Ports listened on but not published, a set.
        many expose: Vec<Expose>,
        /// `source:target[:options]`, a set.
        many volumes: Vec<Volume>,
        /// `user[:group]`, names or numbers.
        opt user: String,
        /// The directory that the command starts in.
        opt workdir: String,
        /// The host name inside.
        opt hostname: Hostname,
        /// Docker labels. Names that begin with `leasepipe.` are the suite's own and refused.
        many labels: BTreeMap<String, String>,
        /// What Docker does when the command ends.
        opt restart: Restart,
        /// Docker's network mode; see cccf(5) for what its absence means.
        opt network_mode: String,
        /// A network that it shares with the other containers of its client, and with nobody else.
        opt private_network: PrivateNetwork,
        /// Addresses that unionize gives to its interface as they are, a set.
        many addresses: Vec<Fixed>,
        /// Name servers, in order.
        many dns: Vec<IpAddr>,
        /// Kernel settings of the container's own namespaces.
        many sysctls: BTreeMap<String, String>,
        /// Capabilities beyond Docker's default set.
        many cap_add: Vec<String>,
        /// Capabilities taken from the default set.
        many cap_drop: Vec<String>,
        /// Whether it may do what root of the host may.
        many privileged: bool,
        /// Whether its root file system is read-only.
        many read_only: bool,
        /// Mount point to options.
        many tmpfs: BTreeMap<String, String>,
        /// Limit of memory in bytes.
        opt memory: u64,
        /// Limit of processor time in cores.
        opt cpus: f64,
        /// Whether an init process reaps children inside.
        opt init: bool,
        /// Seconds between the stop signal and SIGKILL.
        opt stop_timeout: u32,
        /// The Docker host that it is to run on or runs on.
        opt host: HostRef,
        /// The pipe that it belongs to. Without it nothing in the suite removes the container.
        opt owner: Owner,
        /// The identity from which its MAC and DUID are derived; absent means from `id`.
        opt key: Key,
        /// The client's lease that it is for.
        opt lease: LeaseRef,
        /// `absent` for a container that is wanted no more; otherwise what Docker says.
        opt state: State,
        /// What Docker knows of it, once it exists.
        opt docker: Docker,
        /// The interfaces that unionize has given it.
        many interfaces: Vec<Interface>,
        /// What became of it in this run of the pipe.
        opt status: Status,
        /// Why it failed, for people.
        opt error: String,
        /// Why it failed, for programs.
        opt error_kind: Kind,
    }
}

/// What became of a record in the stage that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All that the record asks for so far is so.
    Done,
    /// A stage could not do its part; later stages leave the record alone.
    Failed,
}

impl Container {
    /// The identity from which MAC address and DUID are derived.
    pub fn identity(&self) -> Key {
        self.key.unwrap_or_else(|| Key::derive("container", &[self.id.as_str().as_bytes()]))
    }

    /// The container as it was declared: without where it is and what became of it.
    pub fn declared(&self) -> Container {
        Container {
            host: None,
            state: None,
            docker: None,
            interfaces: Vec::new(),
            status: None,
            error: None,
            error_kind: None,
            ..self.clone()
        }
    }

    /// Marks the container as failed for the reason given.
    pub fn fail(&mut self, why: &Error) {
        self.status = Some(Status::Failed);
        self.error = Some(why.to_string());
        self.error_kind = Some(why.kind());
    }

    /// Whether the container runs now.
    pub fn is_running(&self) -> bool {
        self.state == Some(State::Running)
    }
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is not there, or is wanted no more.
    Absent,
    /// It was made and never started.
    Created,
    /// It runs.
    Running,
    /// It runs but is frozen.
    Paused,
    /// Docker is starting it again.
    Restarting,
    /// It has ended.
    Exited,
    /// Docker is taking it away.
    Removing,
    /// Docker could not take it away.
    Dead,
}

wire! {
    /// What a container remembers of the lease it is for. It holds nothing that changes when the
    /// lease is renewed.
    pub struct LeaseRef {
        /// The client.
        req key: Key,
        /// The client's address, or the first of its prefix.
        req address: IpAddr,
        /// Length of a delegated prefix in bits.
        opt prefix_len: u8,
        /// The client's DUID.
        opt duid: Duid,
        /// The number of its identity association.
        opt iaid: u32,
        /// The client's name.
        opt hostname: Hostname,
    }
}

wire! {
    /// A network of Docker's that only the containers of one client are in.
    pub struct PrivateNetwork {
        /// Its name.
        req name: NetworkName,
        /// The name by which the others in it find the container.
        req alias: Hostname,
    }
}

wire! {
    /// A Docker host as a container or change refers to it.
    pub struct HostRef {
        /// Its name among the hosts.
        req id: String,
        /// Where its engine listens; absent means that only the name is known.
        opt url: String,
    }
}

wire! {
    /// What Docker knows of a container that exists.
    pub struct Docker {
        /// The engine's own id: 64 hex digits.
        req id: String,
        /// The process id of its first process on its host; absent when it does not run.
        opt pid: i32,
        /// When it was last started.
        opt started_at: Timestamp,
        /// The file that holds its network namespace open, on its host.
        opt netns: String,
    }
}

/// A command: a list of words, or one string that is split as a POSIX shell splits words, without
/// any expansion. It is written as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// One string, known to split.
    Line(String),
    /// The words themselves.
    List(Vec<String>),
}

impl Words {
    /// The words.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Words::List(words) => words.clone(),
            Words::Line(line) => split(line).unwrap_or_default(),
        }
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Words, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a list of strings")]
        enum Form {
            Line(String),
            List(Vec<String>),
        }
        match Form::deserialize(from)? {
            Form::List(words) => Ok(Words::List(words)),
            Form::Line(line) if split(&line).is_some() => Ok(Words::Line(line)),
            Form::Line(line) => {
                let what = "a command line (a quote is not closed)";
                Err(serde::de::Error::custom(NotA::new(&line, what)))
            }
        }
    }
}

/// Splits at blanks outside quotes (POSIX.1 XCU 2.2: backslash, single and double quotes); nothing
/// when a quote is left open or a backslash ends the line.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            '\n' => (),
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => (),
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// One environment variable: `NAME=value`. The value holds no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvVar(Box<str>);

impl EnvVar {
    /// The text `NAME=value`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `=`.
    pub fn name(&self) -> &str {
        self.0.split('=').next().unwrap_or_default()
    }
}

impl FromStr for EnvVar {
    type Err = NotA;

    fn from_str(text: &str) -> Result<EnvVar, NotA> {
        let name = text.split_once('=').map_or("", |(name, _)| name);
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let named = name.bytes().all(word) && !name.is_empty();
        if named && !name.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('\0') {
            Ok(EnvVar(text.into()))
        } else {
            Err(NotA::new(text, "an environment variable (NAME=value)"))
        }
    }
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mount: `source:target[:options]`, where the source is an absolute path of the host or the
/// name of a volume, or `target` alone for a volume without a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume(Box<str>);

impl Volume {
    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a path inside the container alone.
    pub fn is_anonymous(&self) -> bool {
        !self.0.contains(':')
    }
}

impl FromStr for Volume {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Volume, NotA> {
        let parts: Vec<&str> = text.split(':').collect();
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        let ok = match parts[..] {
            [target] => absolute(target),
            [source, target] | [source, target, _] => {
                absolute(target) && (absolute(source) || source.parse::<ContainerId>().is_ok())
            }
            _ => false,
        };
        if ok {
            Ok(Volume(text.into()))
        } else {
            Err(NotA::new(text, "a volume ([/host/path or name:]/container/path[:options])"))
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

as_json_string!(EnvVar, Volume, Restart);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_splits_as_a_shell_splits_it() {
        let words = |line: &str| split(line);
        assert_eq!(words("a  b\tc").unwrap(), ["a", "b", "c"]);
        assert_eq!(
            words(r#"sh -c 'echo "$HOME"; x' "" a\ b"#).unwrap(),
            ["sh", "-c", "echo \"$HOME\"; x", "", "a b"]
        );
        assert_eq!(words(r#""a\"b\n" 'c''d'"#).unwrap(), [r#"a"b\n"#, "cd"]);
        assert_eq!(words(""), Some(vec![]));
        for open in ["'", "\"a", "a\\", "\"\\"] {
            assert_eq!(words(open), None, "{open}");
        }
    }

    #[test]
    fn parts_are_checked() {
        assert!("A=1=2".parse::<EnvVar>().is_ok());
        for bad in ["", "A", "=1", "A B=1", "1A=1", "A=\0"] {
            assert!(bad.parse::<EnvVar>().is_err(), "{bad:?}");
        }
        for good in ["/data", "name:/data", "/srv:/data:ro"] {
            assert!(good.parse::<Volume>().is_ok(), "{good}");
        }
        for bad in ["", "data", "../x:/data", "./x:/data", "/a:b", "/a:/b:ro:x"] {
            assert!(bad.parse::<Volume>().is_err(), "{bad:?}");
        }
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3"] {
            assert_eq!(text.parse::<Restart>().unwrap().to_string(), text);
        }
        assert!("on-failure:-1".parse::<Restart>().is_err());
    }

    #[test]
    fn a_container_is_written_as_it_was_read() {
        let text = r#"{"id":"web","image":"busybox","cmd":"sleep 1","env":["A=1"],"x-note":[1]}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&container).unwrap(), text);
    }
}
