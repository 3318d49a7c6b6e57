//! A container: CCCF, the fields Docker adds, and what the suite knows about it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::shape::document;
use super::text::as_json_word;
use super::{
    Bytes, ContainerId, Cpus, Device, DomainName, Duid, EnvVar, Expose, ExtraHost, Fixed, Gpus,
    Healthcheck, Hostname, Image, Interface, IpcMode, Key, Link, Network, Object, Owner, PidMode,
    Platform, Port, PrivateNetwork, Pull, Requires, Restart, Signal, Span, Step, Swap, SwarmFile,
    Task, Transport, Ulimit, Volume, VolumesFrom, Words,
};
use crate::error::{Error, Kind};

document! {
    /// One container, wanted or there: the document of cccf(5).
    pub struct Container ["container"] {
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
        /// Containers whose volumes it sees too, a set.
        many volumes_from: Vec<VolumesFrom>,
        /// Secrets of the swarm that it runs in, a set.
        many secrets: Vec<SwarmFile>,
        /// Configs of the swarm that it runs in, a set.
        many configs: Vec<SwarmFile>,
        /// `user[:group]`, names or numbers.
        opt user: String,
        /// The directory that the command starts in.
        opt workdir: String,
        /// The host name inside.
        opt hostname: Hostname,
        /// Docker labels. Names that begin with `leasepipe.` are the suite's own and refused.
        map labels: BTreeMap<String, String>,
        /// What Docker does when the command ends.
        opt restart: Restart,
        /// Containers that run before it does, and go after it, a set.
        many depends_on: Vec<ContainerId>,
        /// Docker's network mode; see cccf(5) for what its absence means.
        opt network_mode: String,
        /// The networks that it is in, in order.
        many networks: Vec<Network>,
        /// A network that it shares with the other containers of its client, and with nobody else.
        opt private_network: PrivateNetwork,
        /// Addresses that unionize gives to its interface as they are, a set.
        many addresses: Vec<Fixed>,
        /// Its ports that its client may reach where unionize shuts it to all others, a set; absent
        /// means all.
        many allow: Vec<Expose>,
        /// A file that stands for a network namespace, for what is no container of Docker's.
        opt netns: String,
        /// Name servers, in order.
        many dns: Vec<IpAddr>,
        /// Domains that short names are looked up in, in order.
        many dns_search: Vec<DomainName>,
        /// Names that it knows without a name server, a set.
        many extra_hosts: Vec<ExtraHost>,
        /// Containers on Docker's own bridge that it can call by name, a set.
        many links: Vec<Link>,
        /// Devices of the host, a set.
        many devices: Vec<Device>,
        /// Graphics processors.
        opt gpus: Gpus,
        /// Kernel settings of the container's own namespaces.
        map sysctls: BTreeMap<String, String>,
        /// Capabilities beyond Docker's default set, a set.
        many cap_add: Vec<String>,
        /// Capabilities taken from the default set, a set.
        many cap_drop: Vec<String>,
        /// Whether it may do what root of the host may.
        many privileged: bool,
        /// Whether its root file system is read-only.
        many read_only: bool,
        /// Mount point to options.
        map tmpfs: BTreeMap<String, String>,
        /// Size of /dev/shm.
        opt shm_size: Bytes,
        /// Limits of its processes, by the names of setrlimit(2) in lower case without `RLIMIT_`.
        map ulimits: BTreeMap<String, Ulimit>,
        /// Limit of memory.
        opt memory: Bytes,
        /// Limit of memory and swap together.
        opt memory_swap: Swap,
        /// Limit of processor time in cores.
        opt cpus: Cpus,
        /// Its weight when processor time is short; 1024 is the usual one.
        opt cpu_shares: u32,
        /// Limit of the number of processes; -1 is no limit.
        opt pids_limit: i64,
        /// Where its output goes; absent means the engine's default.
        opt log_driver: String,
        /// Options of the log driver.
        map log_options: BTreeMap<String, String>,
        /// How Docker finds out whether it is healthy; absent means as the image says.
        opt healthcheck: Healthcheck,
        /// The signal that asks it to end; absent means the image's, or SIGTERM.
        opt stop_signal: Signal,
        /// Seconds between the stop signal and SIGKILL.
        opt stop_timeout: u32,
        /// How long it may be there, from when it is made.
        opt ttl: Span,
        /// When it is to go at the latest.
        opt expires_at: Timestamp,
        /// Whether an init process reaps children inside.
        opt init: bool,
        /// Whose System V IPC it shares.
        opt ipc: IpcMode,
        /// Whose processes it sees.
        opt pid: PidMode,
        /// What its image is for; absent means what the host is.
        opt platform: Platform,
        /// When its image is fetched; absent means when it is missing.
        opt pull: Pull,
        /// How many of it there are to be, itself included; see cccf-scale(1).
        opt scale: u32,
        /// The container that it is a replica of.
        opt scaled_from: ContainerId,
        /// What it needs of its host.
        opt requires: Requires,
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
        /// What container-run asked of its engine, in order.
        many steps: Vec<Step>,
        /// What became of it in this run of the pipe.
        opt status: Status,
        /// Why it failed, for people.
        opt error: String,
        /// Why it failed, for programs.
        opt error_kind: Kind,
    }
}

/// What became of a record in the stage that acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All that the record asks for so far is so.
    Done,
    /// A stage could not do its part; later stages leave the record alone.
    Failed,
}

as_json_word!(Status "one of done, failed" { Done "done", Failed "failed", });

impl Container {
    /// One of which no more is said.
    pub fn new(id: ContainerId, image: Image) -> Container {
        let mut object = Object::default();
        object.set("id", &id);
        object.set("image", &image);
        Container::try_from(object).expect("it has all that it must have")
    }

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
            steps: Vec::new(),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

as_json_word!(State "a state (absent, created, running, paused, restarting, exited, removing, dead)" {
    Absent "absent",
    Created "created",
    Running "running",
    Paused "paused",
    Restarting "restarting",
    Exited "exited",
    Removing "removing",
    Dead "dead",
});

as_json_word!(Kind "the kind of an error (such as bad_input, not_found or refused)" {
    Usage "usage",
    BadInput "bad_input",
    NotFound "not_found",
    Refused "refused",
    Held "held",
    NotPermitted "not_permitted",
    Unavailable "unavailable",
    TimedOut "timed_out",
    Io "io",
    ReaderLeft "reader_left",
    Bug "bug",
});

document! {
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

document! {
    /// A Docker host as a container or change refers to it.
    pub struct HostRef {
        /// Its name among the hosts.
        req id: String,
        /// Where its engine listens; absent means that only the name is known.
        opt url: String,
        /// The directory with `ca.pem`, `cert.pem` and `key.pem` for an engine at `tcp://`; absent
        /// means the user's own.
        opt tls: String,
    }
}

document! {
    /// What Docker knows of a container that exists.
    pub struct Docker {
        /// The engine's own id: 64 hex digits, or of a service of a swarm 25 letters and digits.
        req id: String,
        /// The process id of its first process on its host; absent when it does not run.
        opt pid: i32,
        /// When it was last started.
        opt started_at: Timestamp,
        /// The file that holds its network namespace open, on its host.
        opt netns: String,
        /// What it is made from, by content: the image's name and digest in its registry, or the
        /// engine's own id of one that has none.
        opt image_digest: String,
        /// Its ports that are published now.
        many ports: Vec<Published>,
        /// The node of the swarm that it runs on, by its host name.
        opt node: String,
        /// What the swarm has undertaken to have it run, the newest first.
        many tasks: Vec<Task>,
    }
}

document! {
    /// A port of a container's, and where it is to be reached on the host.
    pub struct Published {
        /// The port in the container.
        req container: u16,
        /// The port on the host, be it asked for or Docker's choice.
        req host: u16,
        /// The protocol of both.
        req protocol: Transport,
        /// The host's address; absent means every address.
        opt address: IpAddr,
    }
}

impl Docker {
    /// One of which no more is known.
    pub fn new(id: String) -> Docker {
        Docker {
            id,
            pid: None,
            started_at: None,
            netns: None,
            image_digest: None,
            ports: Vec::new(),
            node: None,
            tasks: Vec::new(),
            rest: Object::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_written_as_it_was_read() {
        let text = r#"{"id":"web","image":"busybox","cmd":"sleep 1","env":["A=1"],"x-note":[1]}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&container).unwrap(), text);
    }

    #[test]
    fn every_field_is_written_as_it_was_read() {
        let text = include_str!("../../tests/data/cccf/full.json").trim_end();
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&container).unwrap(), text);
        assert!(container.rest.is_empty(), "{:?} is not known", container.rest);
    }
}
