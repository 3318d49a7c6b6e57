//! Open vSwitch: ports of its bridges, through the socket of its database (RFC 7047, and the schema
//! in ovs-vswitchd.conf.db(5)).
//!
//! The database says what is wanted; the daemon ovs-vswitchd makes it so and says so in turn. What
//! is done here is done when the daemon has taken it in. Every port carries the container that it
//! is for in its `external_ids`, and a port without them is never touched.

mod rpc;
mod value;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use rpc::Rpc;
use value::{first, map, number, text, uuid};

use crate::error::{Error, Kind, Result};
use crate::record::{ContainerId, Ifname, Mac};

/// Where the database's socket is unless Open vSwitch was told otherwise.
pub const SOCKET: &str = "/run/openvswitch/db.sock";

/// The keys of `external_ids` that say whose a port is.
const CONTAINER: &str = "leasepipe-container";
const INTERFACE: &str = "leasepipe-interface";

/// The key by which Open vSwitch's own integrations tell the hardware address behind a port.
const MAC: &str = "attached-mac";

/// How long the database may take over what it needs nobody else for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bridge of Open vSwitch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Whether a program carries its frames, and not the kernel (`datapath_type` netdev).
    pub in_userspace: bool,
}

/// A port that is to be added.
#[derive(Clone, Debug)]
pub struct NewPort<'a> {
    /// The bridge.
    pub bridge: &'a Ifname,
    /// The host's interface that becomes the port, and the port's name.
    pub name: &'a Ifname,
    /// The VLAN that it is in, its frames without tags; absent means all, with tags.
    pub vlan: Option<u16>,
    /// The container that it is for.
    pub container: &'a ContainerId,
    /// The interface's name inside.
    pub interface: &'a Ifname,
    /// The hardware address inside.
    pub mac: Mac,
}

/// A port as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The bridge that it is in.
    pub bridge: Option<String>,
    /// The VLAN that it is in.
    pub vlan: Option<u16>,
    /// The container that it is for; absent when it is not the suite's.
    pub container: Option<String>,
    /// The interface's name inside.
    pub interface: Option<String>,
    /// What keeps it from working.
    pub trouble: Option<String>,
    uuid: String,
}

impl Port {
    /// Whether it is the one that `new` asks for, and works.
    pub fn is(&self, new: &NewPort<'_>) -> bool {
        self.bridge.as_deref() == Some(new.bridge.as_str())
            && self.vlan == new.vlan
            && self.container.as_deref() == Some(new.container.as_str())
            && self.interface.as_deref() == Some(new.interface.as_str())
            && self.trouble.is_none()
    }
}

/// A connection to the database.
pub struct Ovs {
    rpc: Rpc,
}

impl Ovs {
    /// A connection to the database behind `socket`.
    ///
    /// # Errors
    /// `Unavailable` when nobody listens there, `NotPermitted`.
    pub fn connect(socket: &Path) -> Result<Ovs> {
        Ok(Ovs { rpc: Rpc::connect(socket)? })
    }

    /// The bridge of that name; nothing when there is none.
    pub fn bridge(&mut self, name: &Ifname) -> Result<Option<Bridge>> {
        let doing = format!("find Open vSwitch bridge {name}");
        let ask = select("Bridge", json!([["name", "==", name]]), &["datapath_type"]);
        let answer = self.transact(&doing, &[ask], soon())?;
        Ok(first(&answer, 0).map(|row| Bridge { in_userspace: row["datapath_type"] == "netdev" }))
    }

    /// The port of that name; nothing when there is none.
    pub fn port(&mut self, name: &Ifname) -> Result<Option<Port>> {
        let doing = format!("find Open vSwitch port {name}");
        let named = json!([["name", "==", name]]);
        let asks = [
            select("Port", named.clone(), &["_uuid", "tag", "external_ids"]),
            select("Interface", named, &["ofport", "error"]),
        ];
        let answer = self.transact(&doing, &asks, soon())?;
        let Some(row) = first(&answer, 0) else { return Ok(None) };
        let uuid = uuid(&row["_uuid"]).ok_or_else(|| odd(&doing))?.to_owned();
        let holds = json!([["ports", "includes", ["uuid", uuid]]]);
        let bridges = self.transact(&doing, &[select("Bridge", holds, &["name"])], soon())?;
        let about = |key| map(&row["external_ids"], key).map(str::to_owned);
        Ok(Some(Port {
            bridge: first(&bridges, 0).and_then(|row| text(&row["name"])).map(str::to_owned),
            vlan: number(&row["tag"]).and_then(|tag| tag.try_into().ok()),
            container: about(CONTAINER),
            interface: about(INTERFACE),
            trouble: first(&answer, 1).and_then(trouble),
            uuid,
        }))
    }

    /// Adds a port, and waits until ovs-vswitchd has taken it in. Nothing of it is left when it
    /// fails.
    ///
    /// # Errors
    /// `NotFound` when there is no such bridge, `Refused` when the name is taken or the daemon
    /// cannot use the interface, `TimedOut` when the daemon has not answered by `until`.
    pub fn add(&mut self, new: &NewPort<'_>, until: Instant) -> Result<()> {
        let doing = format!("add port {} to Open vSwitch bridge {}", new.name, new.bridge);
        let answer = match self.transact_told(&doing, &new.operations(), soon())? {
            Ok(answer) => answer,
            Err(refusal) => return Err(new.refused(&doing, refusal)),
        };
        let wanted = first(&answer, NewPort::COUNTER).and_then(|row| number(&row["next_cfg"]));
        let wanted = wanted.ok_or_else(|| odd(&doing))?;
        let outcome = self.taken_in(&doing, wanted, until).and_then(|()| {
            let port = self.port(new.name)?;
            match port.map(|port| port.trouble) {
                Some(None) => Ok(()),
                Some(Some(why)) => Err(Error::new(Kind::Refused, &doing).why(why)),
                None => Err(Error::new(Kind::NotFound, &doing).why("somebody has removed it")),
            }
        });
        outcome.inspect_err(|_| {
            // What failed is told; that the port cannot be taken back either adds nothing to it.
            let _ = self.remove(new.name, new.container, Instant::now() + Duration::from_secs(1));
        })
    }

    /// Removes a port of the suite's. Whether it was there.
    ///
    /// The daemon is given until `until` to let go of the interface; when it has not, it will as
    /// soon as it can.
    ///
    /// # Errors
    /// `Refused` when the port is not this container's.
    pub fn remove(
        &mut self,
        name: &Ifname,
        container: &ContainerId,
        until: Instant,
    ) -> Result<bool> {
        let doing = format!("remove Open vSwitch port {name}");
        let Some(port) = self.port(name)? else { return Ok(false) };
        if port.container.as_deref() != Some(container.as_str()) {
            return Err(Error::new(Kind::Refused, doing).why("it is not the container's"));
        }
        let holds = json!([["ports", "includes", ["uuid", port.uuid]]]);
        let less = json!([["ports", "delete", ["set", [["uuid", port.uuid]]]]]);
        let operations = [
            mutate("Bridge", holds, less),
            mutate("Open_vSwitch", json!([]), json!([["next_cfg", "+=", 1]])),
            select("Open_vSwitch", json!([]), &["next_cfg"]),
            comment(&doing),
        ];
        let answer = self.transact(&doing, &operations, soon())?;
        let wanted = first(&answer, 2).and_then(|row| number(&row["next_cfg"]));
        match self.taken_in(&doing, wanted.ok_or_else(|| odd(&doing))?, until) {
            Err(why) if why.kind() != Kind::TimedOut => Err(why),
            _ => Ok(true),
        }
    }

    /// Waits until the daemon has got as far as `wanted` in what the database wants.
    fn taken_in(&mut self, doing: &str, wanted: i64, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let wait = json!({
            "op": "wait", "table": "Open_vSwitch", "timeout": left.as_millis() as u64,
            "where": [["cur_cfg", "<", wanted]], "columns": ["cur_cfg"],
            "until": "==", "rows": [],
        });
        match self.transact_told(doing, &[wait], until + PATIENCE)? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_timeout() => Err(Error::new(Kind::TimedOut, doing)
                .why("ovs-vswitchd has not taken it in")
                .remedy("is it running?")),
            Err(refusal) => Err(refusal.error(doing)),
        }
    }

    fn transact(&mut self, doing: &str, operations: &[Value], until: Instant) -> Result<Value> {
        let answer = self.transact_told(doing, operations, until)?;
        answer.map_err(|refusal| refusal.error(doing))
    }

    /// Does all operations or none; the answers to them in their order, or which of them was
    /// refused and why.
    fn transact_told(
        &mut self,
        doing: &str,
        operations: &[Value],
        until: Instant,
    ) -> Result<Result<Value, Refusal>> {
        let mut params = vec![json!("Open_vSwitch")];
        params.extend_from_slice(operations);
        let answer = match self.rpc.call(doing, "transact", params, until)? {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(Refusal::read(0, &error))),
        };
        let answers = answer.as_array().ok_or_else(|| odd(doing))?;
        let refused = answers.iter().position(|answer| !answer["error"].is_null());
        if let Some(at) = refused {
            return Ok(Err(Refusal::read(at, &answers[at])));
        }
        if answers.len() < operations.len() || answers.iter().any(|answer| !answer.is_object()) {
            return Err(odd(doing));
        }
        Ok(Ok(answer))
    }
}

impl NewPort<'_> {
    /// Places among the operations.
    const BRIDGE: usize = 0;
    const NAME: usize = 1;
    const COUNTER: usize = 6;

    fn operations(&self) -> [Value; 8] {
        let named = json!([["name", "==", self.name]]);
        let about = json!([
            "map",
            [[CONTAINER, self.container], [INTERFACE, self.interface], [MAC, self.mac],]
        ]);
        let mut port = json!({
            "name": self.name,
            "interfaces": ["named-uuid", "interface"],
            "external_ids": about,
        });
        if let Some(vlan) = self.vlan {
            port["tag"] = json!(vlan);
        }
        let bridge = json!([["name", "==", self.bridge]]);
        let more = json!([["ports", "insert", ["set", [["named-uuid", "port"]]]]]);
        [
            wait("Bridge", bridge.clone(), json!([{ "name": self.bridge }])),
            wait("Port", named, json!([])),
            json!({
                "op": "insert", "table": "Interface", "uuid-name": "interface",
                "row": { "name": self.name, "external_ids": about },
            }),
            json!({ "op": "insert", "table": "Port", "uuid-name": "port", "row": port }),
            mutate("Bridge", bridge, more),
            mutate("Open_vSwitch", json!([]), json!([["next_cfg", "+=", 1]])),
            select("Open_vSwitch", json!([]), &["next_cfg"]),
            comment(&format!("add port {} for {}", self.name, self.container)),
        ]
    }

    fn refused(&self, doing: &str, refusal: Refusal) -> Error {
        match refusal.at {
            NewPort::BRIDGE if refusal.is_timeout() => Error::new(Kind::NotFound, doing)
                .why("Open vSwitch has no bridge of that name")
                .remedy(format_args!("make it with ovs-vsctl add-br {}", self.bridge)),
            NewPort::NAME if refusal.is_timeout() => {
                Error::new(Kind::Refused, doing).why("it has another port of that name")
            }
            _ => refusal.error(doing),
        }
    }
}

/// What the database does not do, and why (RFC 7047 section 3.1).
#[derive(Debug)]
struct Refusal {
    at: usize,
    word: String,
    details: Option<String>,
}

impl Refusal {
    fn read(at: usize, answer: &Value) -> Refusal {
        let word = text(&answer["error"]).or(text(answer)).unwrap_or("an error without a name");
        let details = text(&answer["details"]).map(str::to_owned);
        Refusal { at, word: word.to_owned(), details }
    }

    /// Whether what an operation waited for is not so.
    fn is_timeout(&self) -> bool {
        self.word == "timed out"
    }

    fn error(self, doing: &str) -> Error {
        let kind = match &*self.word {
            "permission error" | "not allowed" => Kind::NotPermitted,
            "I/O error" | "resources exhausted" => Kind::Io,
            "not owner" | "timed out" => Kind::TimedOut,
            _ => Kind::Refused,
        };
        let why = match self.details {
            Some(details) => format!("the database says: {}: {details}", self.word),
            None => format!("the database says: {}", self.word),
        };
        Error::new(kind, doing).why(why)
    }
}

/// What keeps an interface from working, as the daemon tells it.
fn trouble(interface: &Value) -> Option<String> {
    match (text(&interface["error"]), number(&interface["ofport"])) {
        (Some(error), _) => Some(format!("ovs-vswitchd says: {error}")),
        (None, Some(-1)) => Some("ovs-vswitchd cannot use the interface".to_owned()),
        (None, None) => Some("ovs-vswitchd has given it no number".to_owned()),
        (None, Some(_)) => None,
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn odd(doing: &str) -> Error {
    Error::new(Kind::BadInput, doing).why("the database's answer is not as RFC 7047 has it")
}

fn select(table: &str, rows: Value, columns: &[&str]) -> Value {
    json!({ "op": "select", "table": table, "where": rows, "columns": columns })
}

fn mutate(table: &str, rows: Value, mutations: Value) -> Value {
    json!({ "op": "mutate", "table": table, "where": rows, "mutations": mutations })
}

/// Refuses all that comes with it unless these rows are in the table now.
fn wait(table: &str, rows: Value, wanted: Value) -> Value {
    json!({
        "op": "wait", "table": table, "timeout": 0, "where": rows, "columns": ["name"],
        "until": "==", "rows": wanted,
    })
}

/// What the database's log says of it.
fn comment(text: &str) -> Value {
    json!({ "op": "comment", "comment": format!("unionize: {text}") })
}

#[cfg(test)]
mod tests;
