//! `event`: what happened to a container or a host, when.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::text::as_json_word;
use super::{Docker, HostRef, Key, Owner, Signal, State};
use crate::error::Kind;
use crate::wire;

wire! {
    /// Something that happened, or, as `is` and `stats`, how it stands.
    pub struct Event "event" {
        /// When, by the engine's clock; of what nobody saw, the latest time that it can have been.
        req at: Timestamp,
        /// What it was.
        req what: What,
        /// Where.
        opt host: HostRef,
        /// The container; absent when it is about the host.
        opt container: Subject,
        /// The container's name before, of `rename`.
        opt was: String,
        /// What its command ended with; absent when that is not known.
        opt exit_code: i64,
        /// Why it ended.
        opt reason: Reason,
        /// The signal that was sent, or that ended it.
        opt signal: Signal,
        /// Whether the engine had been asked to end it.
        many asked: bool,
        /// Whether memory ran out in this run of it.
        many oom: bool,
        /// How long it had run, in milliseconds.
        opt ran_ms: u64,
        /// How it is, by its health check; absent without one.
        opt health: Health,
        /// The last output of its health check.
        opt output: String,
        /// How often it ended of itself within the time in which ends are counted, this one included.
        opt restarts: u64,
        /// Whether that is so often that it does not get on.
        many looping: bool,
        /// Whether nobody was there to see it, and it follows from what is there now.
        many gap: bool,
        /// What went wrong, for people.
        opt error: String,
        /// What went wrong, for programs.
        opt error_kind: Kind,
        /// What it uses, of `stats`.
        opt stats: Usage,
    }
}

impl Event {
    /// One of which no more is said.
    pub fn new(at: Timestamp, what: What) -> Event {
        Event {
            at,
            what,
            host: None,
            container: None,
            was: None,
            exit_code: None,
            reason: None,
            signal: None,
            asked: false,
            oom: false,
            ran_ms: None,
            health: None,
            output: None,
            restarts: None,
            looping: false,
            gap: false,
            error: None,
            error_kind: None,
            stats: None,
            rest: Default::default(),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Nothing did: this is how it stands.
    Is,
    /// It was made.
    Create,
    /// It was started, by whomever.
    Start,
    /// Somebody had it end and start again.
    Restart,
    /// Somebody had it sent a signal.
    Kill,
    /// Its memory ran out.
    Oom,
    /// Its command ended.
    Die,
    /// Somebody had it end.
    Stop,
    /// It was frozen.
    Pause,
    /// It goes on.
    Unpause,
    /// Its health check says something else.
    Health,
    /// It has another name.
    Rename,
    /// Its limits were changed.
    Update,
    /// It was taken away.
    Destroy,
    /// Nothing did: this is what it uses.
    Stats,
    /// The host does not answer any more.
    HostDown,
    /// The host answers again.
    HostUp,
}

as_json_word!(What "an event (such as start, die or destroy)" {
    Is "is",
    Create "create",
    Start "start",
    Restart "restart",
    Kill "kill",
    Oom "oom",
    Die "die",
    Stop "stop",
    Pause "pause",
    Unpause "unpause",
    Health "health",
    Rename "rename",
    Update "update",
    Destroy "destroy",
    Stats "stats",
    HostDown "host-down",
    HostUp "host-up",
});

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Of itself; `exit_code` says how.
    Exited,
    /// By a signal.
    Signal,
    /// Its memory had run out.
    OutOfMemory,
    /// It could not be run; `error` says why.
    Error,
    /// Nobody saw it.
    Unknown,
}

as_json_word!(Reason "a reason (exited, signal, out_of_memory, error or unknown)" {
    Exited "exited",
    Signal "signal",
    OutOfMemory "out_of_memory",
    Error "error",
    Unknown "unknown",
});

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Nothing yet.
    Starting,
    /// It is well.
    Healthy,
    /// It is not.
    Unhealthy,
}

as_json_word!(Health "starting, healthy or unhealthy" {
    Starting "starting",
    Healthy "healthy",
    Unhealthy "unhealthy",
});

wire! {
    /// A container that something happens to: fields of its document, and where that has stricter
    /// types, as the engine has them. An event is told whatever a container is called.
    pub struct Subject {
        /// Its name.
        req id: String,
        /// What it is made from.
        opt image: String,
        /// The pipe that made it; absent for one that somebody else made.
        opt owner: Owner,
        /// The client whose lease it is for.
        opt key: Key,
        /// Its labels, without the suite's own.
        map labels: BTreeMap<String, String>,
        /// Where it is in its life; absent in what only happens to it.
        opt state: State,
        /// What Docker knows of it.
        opt docker: Docker,
    }
}

wire! {
    /// What a container uses. What the engine does not tell is absent.
    pub struct Usage {
        /// Processor time since it was last looked at, in cores.
        opt cpus: f64,
        /// Processor time since it was started, in nanoseconds.
        opt cpu_ns: u64,
        /// Memory that it cannot do without, as `docker stats` counts it.
        opt memory_bytes: u64,
        /// The limit of that, or what the host has.
        opt memory_limit_bytes: u64,
        /// What came in over all its interfaces.
        opt network_rx_bytes: u64,
        /// What went out over them.
        opt network_tx_bytes: u64,
        /// What was read from block devices.
        opt block_read_bytes: u64,
        /// What was written to them.
        opt block_write_bytes: u64,
        /// How many processes and threads it has.
        opt pids: u64,
    }
}

#[cfg(test)]
mod tests {
    use crate::record::Record;

    #[test]
    fn an_event_is_written_as_it_was_read() {
        for text in [
            r#"{"kind":"event","at":"2026-11-21T18:30:34.225406555Z","what":"die","host":{"id":"h"},"container":{"id":"web","image":"b","owner":"edge","labels":{"a":"1"},"docker":{"id":"c0"}},"exit_code":137,"reason":"out_of_memory","signal":"SIGKILL","asked":true,"oom":true,"ran_ms":20,"restarts":3,"looping":true,"gap":true,"x-note":[1.0]}"#,
            r#"{"kind":"event","at":"2026-11-21T18:30:34Z","what":"health","container":{"id":"web"},"health":"unhealthy","output":"é\n"}"#,
            r#"{"kind":"event","at":"2026-11-21T18:30:34Z","what":"host-down","host":{"id":"h","url":"unix:///s"},"error":"no","error_kind":"unavailable"}"#,
            r#"{"kind":"event","at":"2026-11-21T18:30:34Z","what":"stats","container":{"id":"web"},"stats":{"cpus":0.25,"cpu_ns":7,"memory_bytes":1,"pids":1}}"#,
        ] {
            let record = Record::parse(text).unwrap();
            assert!(matches!(record, Record::Event(_)), "{record:?}");
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
        }
    }

    #[test]
    fn what_an_event_must_say_is_told() {
        let wrong = Record::parse(r#"{"kind":"event","what":"explode","health":"good"}"#);
        let wrong = wrong.unwrap_err();
        for field in ["\"at\" is missing", "\"what\": \"explode\"", "\"health\": \"good\""] {
            assert!(wrong.contains(field), "{wrong}");
        }
    }
}
