//! The private networks of clients, on a real Docker engine.

mod lab;

use std::process::Command;

use lab::{Docker, Done, Lab, PATIENCE, Running, bin, eventually, run};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const IMAGE: &str = "leasepipe/example";

fn command(docker: &Docker) -> Command {
    let mut command = Command::new(bin!("container-run"));
    command.args(["--owner", docker.owner()]);
    command
}

fn container_run(docker: &Docker, records: &[Value]) -> Done {
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    run(&mut command(docker), input)
}

/// Runs these, which must all work.
#[track_caller]
fn done(docker: &Docker, records: &[Value]) -> Vec<Value> {
    let done = container_run(docker, records);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    done.records()
}

/// The name of a client's network.
fn network(docker: &Docker, client: &str) -> String {
    format!("leasepipe-{}-{client}", docker.owner())
}

/// A client's container, which the others of that client call `alias`.
fn member(docker: &Docker, client: &str, alias: &str) -> Value {
    json!({
        "id": format!("{}-{alias}-{client}", docker.owner()), "image": IMAGE,
        "private_network": {"name": network(docker, client), "alias": alias}
    })
}

fn absent(container: &Value) -> Value {
    let mut gone = container.clone();
    gone["state"] = json!("absent");
    gone
}

/// The names of this owner's networks.
fn networks(docker: &Docker) -> Vec<String> {
    let filter = format!("label=leasepipe.owner={}", docker.owner());
    let out = docker.docker(&["network", "ls", "--format", "{{.Name}}", "--filter", &filter]);
    out.lines().map(str::to_owned).collect()
}

/// Whether one container gets an answer from another that it calls by this name or address.
fn reaches(from: &Value, whom: &str) -> bool {
    let inside = ["exec", from["id"].as_str().unwrap(), "ping", "-c1", "-W2", whom];
    Command::new("docker").args(inside).output().unwrap().status.success()
}

fn address(docker: &Docker, of: &Value) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker.inspect(of["id"].as_str().unwrap(), format)
}

#[test]
fn a_client_s_containers_reach_each_other_by_name_and_nobody_else_does() {
    let Some(docker) = Docker::or_skip("a_client_s_containers_reach_each_other") else { return };
    let (web, db) = (member(&docker, "one", "web"), member(&docker, "one", "db"));
    let other = member(&docker, "two", "web");
    done(&docker, &[web.clone(), db.clone(), other.clone()]);
    assert_eq!(networks(&docker).len(), 2);
    assert!(reaches(&web, "db") && reaches(&db, "web"));
    assert!(!reaches(&other, "db"), "the name is not known to another client's");
    assert!(!reaches(&other, &address(&docker, &db)), "nor does its address answer");
    assert!(!reaches(&web, "1.1.1.1"), "there is no way out");
    let forwards = ["exec", web["id"].as_str().unwrap(), "cat", "/proc/sys/net/ipv4/ip_forward"];
    assert_eq!(docker.docker(&forwards), "0");

    done(&docker, &[absent(&web)]);
    assert_eq!(networks(&docker).len(), 2, "one is left in it");
    done(&docker, &[absent(&db), absent(&other)]);
    assert_eq!(networks(&docker), [""; 0]);
}

#[test]
fn unionize_gives_an_address_beside_the_private_network() {
    let test = "unionize_gives_an_address_beside_the_private_network";
    let Some(mut lab) = Lab::or_skip(test) else { return };
    let Some(docker) = Docker::or_skip(test) else { return };
    lab.bridge("br1");
    lab.dnsmasq("br1", "fd00:1::/64", &[]);
    let mut wanted = [member(&docker, "one", "web"), member(&docker, "one", "db")];
    for (number, wanted) in wanted.iter_mut().enumerate() {
        wanted["lease"] = json!({"key": "om2pqvn3u6qa2", "address": "fd00::1"});
        wanted["addresses"] = json!([format!("fd00:f:0:ff::{}/64", number + 5)]);
    }
    let made = done(&docker, &wanted);
    let mut unionize = lab.command(bin!("unionize"));
    unionize.args(["--bridge", "br1", "--dad", "wait", "--state"]).arg(lab.dir().join("links"));
    let lines = |records: &[Value]| records.iter().map(|r| format!("{r}\n")).collect::<String>();
    let plugged = run(&mut unionize, lines(&made));
    assert_eq!(plugged.status, Some(0), "{}", plugged.stderr);
    for record in plugged.records() {
        let interface = &record["interfaces"][0];
        assert_eq!(interface["name"], "eth1", "{record}");
        let origins: Vec<&Value> =
            interface["addresses"].as_array().unwrap().iter().map(|a| &a["origin"]).collect();
        assert_eq!(origins, [&json!("dhcp6"), &json!("static")]);
    }
    let [web, db] = &wanted;
    assert!(reaches(web, "db") && reaches(db, "web"), "the private network is as it was");
    assert!(reaches(web, "fd00:f:0:ff::6") && reaches(web, "fd00:1::1"), "and so is the other");
    let gone: Vec<Value> = wanted.iter().map(absent).collect();
    let removed = done(&docker, &gone);
    let cleared = run(&mut unionize, lines(&removed));
    assert_eq!((cleared.status, cleared.stderr.as_str()), (Some(0), ""));
    assert_eq!(networks(&docker), [""; 0]);
}

#[test]
fn what_is_there_is_kept_by_the_second_run() {
    let Some(docker) = Docker::or_skip("what_is_there_is_kept_by_the_second_run") else { return };
    let wanted = [member(&docker, "one", "web"), member(&docker, "one", "db")];
    done(&docker, &wanted);
    let listed = run(Command::new(bin!("docker-cccf")).args(["--owner", docker.owner()]), "");
    let current = std::env::temp_dir().join(format!("{}-current", docker.owner()));
    std::fs::write(&current, listed.stdout.join("\n")).unwrap();
    let wanted = wanted.map(|wanted| format!("{wanted}\n")).concat();
    let mut diff = Command::new(bin!("cccf-diff"));
    let diff = run(diff.arg("--complete").arg("--current").arg(&current), wanted);
    std::fs::remove_file(&current).unwrap();
    let actions: Vec<Value> =
        diff.records().iter().map(|record| record["action"].clone()).collect();
    assert_eq!(actions, [json!("keep"), json!("keep"), Value::Null], "{}", diff.stderr);
}

#[test]
fn a_foreign_network_is_neither_joined_nor_removed() {
    let Some(docker) = Docker::or_skip("a_foreign_network_is_neither_joined") else { return };
    let web = member(&docker, "one", "web");
    let name = network(&docker, "one");
    docker.docker(&["network", "create", "--internal", &name]);
    let refused = container_run(&docker, std::slice::from_ref(&web));
    let gone = container_run(&docker, &[absent(&web)]);
    let left = docker.docker(&["network", "ls", "-q", "--filter", &format!("name={name}")]);
    docker.docker(&["network", "rm", &name]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("not of this owner"), "{}", refused.stderr);
    assert_eq!(docker.names(), [""; 0]);
    assert_eq!(gone.status, Some(0), "{}", gone.stderr);
    assert!(!left.is_empty());
}

#[test]
fn a_network_that_went_is_made_again() {
    let Some(docker) = Docker::or_skip("a_network_that_went_is_made_again") else { return };
    let (web, db) = (member(&docker, "one", "web"), member(&docker, "one", "db"));
    done(&docker, &[web.clone(), db.clone()]);
    // Containers that have ended lose it, and the engine cannot start them again.
    let ids = [web["id"].as_str().unwrap(), db["id"].as_str().unwrap()];
    docker.docker(&["kill", ids[0], ids[1]]);
    docker.docker(&["network", "rm", &network(&docker, "one")]);
    for action in ["keep", "add"] {
        let change = |of: &Value| json!({"kind": "change", "action": action, "container": of});
        done(&docker, &[change(&web), change(&db)]);
        assert!(reaches(&web, "db"), "{action}");
    }
    // One that was left behind empty goes with the next full comparison.
    let empty = network(&docker, "three");
    let label = format!("leasepipe.owner={}", docker.owner());
    docker.docker(&["network", "create", "--internal", "--label", &label, &empty]);
    let end = json!({"kind": "checkpoint", "of": "change", "count": 0, "owner": docker.owner()});
    done(&docker, &[web.clone(), end]);
    assert_eq!(networks(&docker), [network(&docker, "one")]);
}

#[test]
fn two_of_one_name_become_one() {
    let Some(docker) = Docker::or_skip("two_of_one_name_become_one") else { return };
    let name = network(&docker, "one");
    // What two runs at the same moment leave when both are killed. Docker's own command asks the
    // engine to mind the name; its interface does not unless told.
    for _ in 0..2 {
        let body = json!({"Name": name, "Internal": true,
            "Labels": {"leasepipe.owner": docker.owner()}});
        let made = post("/networks/create", &body);
        assert!(made.contains("Id"), "{made}");
    }
    assert_eq!(networks(&docker).len(), 2);
    done(&docker, &[member(&docker, "one", "web"), member(&docker, "one", "db")]);
    assert_eq!(networks(&docker), [name]);
    assert!(reaches(&member(&docker, "one", "web"), "db"));
}

#[test]
fn of_two_of_one_name_the_one_in_use_stays() {
    let test = "of_two_of_one_name_the_one_in_use_stays";
    let Some(docker) = Docker::or_skip(test) else { return };
    // The older one was asked for first and came to be seen last: by then a member was in the other.
    let body = json!({"Name": network(&docker, "one"), "Internal": true,
        "Labels": {"leasepipe.owner": docker.owner()}});
    post("/networks/create", &body);
    let made = post("/networks/create", &body);
    let id = made.split('"').skip_while(|word| *word != "Id").nth(2).unwrap();
    let label = format!("--label=bystander-of={}", docker.owner());
    let early = docker.docker(&["run", "--detach", &label, IMAGE]);
    docker.docker(&["network", "connect", id, &early]);
    done(&docker, &[member(&docker, "one", "web")]);
    assert_eq!(networks(&docker), [network(&docker, "one")]);
    let left =
        docker.docker(&["network", "ls", "--quiet", "--no-trunc", "--filter", "type=custom"]);
    assert!(left.contains(id), "{left}");
}

/// Asks the engine through its socket; its whole answer.
fn post(path: &str, body: &Value) -> String {
    use std::io::{Read, Write};
    let mut socket = std::os::unix::net::UnixStream::connect("/var/run/docker.sock").unwrap();
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nContent-Type: application/json\r\n");
    write!(socket, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn adds_and_removals_at_once_end_right() {
    let Some(docker) = Docker::or_skip("adds_and_removals_at_once_end_right") else { return };
    let members: Vec<Value> =
        ["web", "db", "log"].iter().map(|alias| member(&docker, "one", alias)).collect();
    for round in 0..3 {
        // One run takes away what another one makes, at the same moment and for the same client.
        let mut adds = Running::start(&mut command(&docker));
        let mut removals = Running::start(&mut command(&docker));
        adds.send(&members[0]);
        for turn in 0..4 {
            adds.send(&members[1 + turn % 2]);
            removals.send(&absent(&members[turn % 2]));
        }
        if round == 1 {
            std::thread::sleep(std::time::Duration::from_millis(150));
            adds.signal(Signal::SIGKILL);
            drop(adds);
        } else {
            drop(adds.finish());
        }
        drop(removals.finish());
        done(&docker, &members);
        for alias in ["db", "log"] {
            eventually(alias, PATIENCE, || reaches(&members[0], alias).then_some(()));
        }
        assert_eq!(networks(&docker), [network(&docker, "one")], "round {round}");
        let gone: Vec<Value> = members.iter().map(absent).collect();
        done(&docker, &gone);
        assert_eq!(networks(&docker), [""; 0], "round {round}");
    }
}
