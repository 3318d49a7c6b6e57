//! Against a played server, for what a real one does not do on request. The real ones are in
//! tests/lab_ovs.rs.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;

/// A server that says what it was given, one answer for each request.
struct Played {
    socket: PathBuf,
    server: Option<JoinHandle<Vec<Value>>>,
}

impl Played {
    /// In an answer `"ID"` stands for the request's id. An answer that is empty hangs up.
    fn new(name: &str, answers: &[&str]) -> Played {
        let pid = std::process::id();
        let socket = std::env::temp_dir().join(format!("lpk-ovs-{pid}-{name}.sock"));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let server = std::thread::spawn(move || play(&listener, &answers));
        Played { socket, server: Some(server) }
    }

    fn ovs(&self) -> Ovs {
        Ovs::connect(&self.socket).unwrap()
    }

    /// What it was asked.
    fn asked(mut self) -> Vec<Value> {
        self.server.take().unwrap().join().unwrap()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn play(listener: &UnixListener, answers: &[String]) -> Vec<Value> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    for answer in answers {
        let mut piece = [0; 65536];
        let len = stream.read(&mut piece).unwrap();
        let Ok(request) = serde_json::from_slice::<Value>(&piece[..len]) else { break };
        let answer = answer.replace("\"ID\"", &request["id"].to_string());
        asked.push(request);
        if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    asked
}

fn result(of: &str) -> String {
    format!(r#"{{"id":"ID","error":null,"result":{of}}}"#)
}

fn new<'a>(name: &'a Ifname, bridge: &'a Ifname, container: &'a ContainerId) -> NewPort<'a> {
    let mac = "02:00:00:00:00:01".parse().unwrap();
    NewPort { bridge, name, vlan: Some(7), container, interface: name, mac }
}

fn names() -> (Ifname, Ifname, ContainerId) {
    ("lpx".parse().unwrap(), "ovs0".parse().unwrap(), "web".parse().unwrap())
}

#[test]
fn an_echo_is_answered_and_what_is_not_asked_for_is_passed_over() {
    let echo = r#"{"method":"echo","params":["x"],"id":"echo"}"#;
    let update =
        r#"{"method":"update","params":[null,{}],"id":null}{"id":99,"result":[{}],"error":null}"#;
    let answer = result(r#"[{"rows":[{"datapath_type":"netdev"}]}]"#);
    let played = Played::new("echo", &[&format!("{update}{echo}"), &answer.replace("\"ID\"", "1")]);
    let mut ovs = played.ovs();
    let bridge = ovs.bridge(&"ovs0".parse().unwrap()).unwrap();
    assert_eq!(bridge, Some(Bridge { in_userspace: true }));
    drop(ovs);
    let asked = played.asked();
    assert_eq!(asked[0]["params"][0], "Open_vSwitch");
    assert_eq!(asked[1], json!({ "result": ["x"], "error": null, "id": "echo" }));
}

#[test]
fn odd_answers_are_errors() {
    let name: Ifname = "ovs0".parse().unwrap();
    for (told, kind, says) in [
        (result("null"), Kind::BadInput, "not as RFC 7047 has it"),
        (result("[]"), Kind::BadInput, "not as RFC 7047 has it"),
        (result("[null]"), Kind::BadInput, "not as RFC 7047 has it"),
        ("HTTP/1.1 400 Bad Request".to_owned(), Kind::BadInput, "no JSON object"),
        (String::new(), Kind::Unavailable, "hung up; is Open vSwitch running?"),
        (
            r#"{"id":"ID","result":null,"error":{"error":"unknown database","details":"x"}}"#
                .to_owned(),
            Kind::Refused,
            "the database says: unknown database: x",
        ),
        (
            r#"{"id":"ID","result":null,"error":"permission error"}"#.to_owned(),
            Kind::NotPermitted,
            "the database says: permission error",
        ),
    ] {
        let played = Played::new("odd", &[&told]);
        let error = played.ovs().bridge(&name).unwrap_err();
        assert_eq!(error.kind(), kind, "{told}");
        assert!(error.to_string().contains(says), "{error}");
        played.asked();
    }
}

#[test]
fn a_server_that_is_silent_is_not_waited_for_for_ever() {
    let played = Played::new("silent", &["  ", ""]);
    let mut rpc = Rpc::connect(&played.socket).unwrap();
    let until = Instant::now() + Duration::from_millis(50);
    let error = rpc.call("ask", "transact", Vec::new(), until).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[test]
fn what_a_port_needs_is_asked_for_in_one_transaction() {
    let (name, bridge, container) = names();
    let done = r#"{"count":1}"#;
    let cfg = r#"{"rows":[{"next_cfg":5}]}"#;
    let inserted = r#"{"uuid":["uuid","p"]}"#;
    let add = result(&format!("[{{}},{{}},{inserted},{inserted},{done},{done},{cfg},{{}}]"));
    let port = r#"{"rows":[{"_uuid":["uuid","p"],"tag":7,"external_ids":["map",
        [["leasepipe-container","web"],["leasepipe-interface","lpx"]]]}]}"#;
    let works = r#"{"rows":[{"ofport":3,"error":["set",[]]}]}"#;
    let found = result(&format!("[{port},{works}]"));
    let holds = result(r#"[{"rows":[{"name":"ovs0"}]}]"#);
    let answers = [&*add, &result("[{}]"), &found, &holds, &found, &holds];
    let played = Played::new("add", &answers);
    let mut ovs = played.ovs();
    let new = new(&name, &bridge, &container);
    ovs.add(&new, soon()).unwrap();
    assert!(ovs.port(&name).unwrap().unwrap().is(&new));
    drop(ovs);
    let asked = played.asked();
    let row = &asked[0]["params"][4]["row"];
    assert_eq!(row["tag"], 7);
    assert_eq!(map(&row["external_ids"], "leasepipe-container"), Some("web"));
    assert_eq!(map(&row["external_ids"], "attached-mac"), Some("02:00:00:00:00:01"));
    assert_eq!(asked[1]["params"][1]["where"], json!([["cur_cfg", "<", 5]]));
}

#[test]
fn what_is_in_the_way_of_a_port_is_told() {
    let (name, bridge, container) = names();
    let late = r#"{"error":"timed out","details":"x"}"#;
    for (told, kind, says) in [
        (format!("[{late}]"), Kind::NotFound, "no bridge of that name; make it with ovs-vsctl"),
        (format!("[{{}},{late}]"), Kind::Refused, "another port of that name"),
        (
            format!(
                "[{{}},{{}},{{}},{{}},{{}},{{}},{{}},{{}},{}]",
                r#"{"error":"constraint violation"}"#
            ),
            Kind::Refused,
            "the database says: constraint violation",
        ),
    ] {
        let played = Played::new("way", &[&result(&told)]);
        let error = played.ovs().add(&new(&name, &bridge, &container), soon()).unwrap_err();
        assert_eq!(error.kind(), kind, "{told}");
        assert!(error.to_string().contains(says), "{error}");
        played.asked();
    }
}

#[test]
fn a_port_that_is_not_the_container_s_stays() {
    let (name, _, container) = names();
    for about in ["[]", r#"[["leasepipe-container","other"]]"#, r#"[["iface-id","x"]]"#] {
        let port = format!(
            r#"[{{"rows":[{{"_uuid":["uuid","p"],"tag":["set",[]],"external_ids":["map",{about}]}}]}},
            {{"rows":[]}}]"#
        );
        let holds = result(r#"[{"rows":[]}]"#);
        let played = Played::new("other", &[&result(&port), &holds, ""]);
        let error = played.ovs().remove(&name, &container, soon()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(played.asked().len(), 2, "nothing was changed");
    }
}

#[test]
fn nobody_behind_the_socket_is_told_as_that() {
    let error = Ovs::connect(Path::new("/nonexistent/db.sock")).err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        "connect to /nonexistent/db.sock: no Open vSwitch database listens there; \
         is Open vSwitch running?"
    );
}
