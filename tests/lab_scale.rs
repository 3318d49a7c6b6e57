//! Scaled containers on a real Docker engine: up, down to fewer, and read back as one document.

mod lab;

use std::process::Command;

use lab::{Docker, bin, run};
use serde_json::{Value, json};

/// What `program` makes of `input`, which must work.
#[track_caller]
fn through(program: &str, words: &[&str], input: &str) -> String {
    let done = run(Command::new(program).args(words), input);
    assert_eq!(done.status, Some(0), "{program}: {}", done.stderr);
    done.records().iter().map(|record| format!("{record}\n")).collect()
}

/// Runs the pipe for a document of this scale; gives what the containers are then.
#[track_caller]
fn pipe(docker: &Docker, document: &Value, scale: u32) -> Vec<String> {
    let mut document = document.clone();
    document["scale"] = scale.into();
    let current = std::env::temp_dir().join(format!("{}-current", docker.owner()));
    let listed = through(bin!("docker-cccf"), &["--owner", docker.owner()], "");
    std::fs::write(&current, listed).unwrap();
    let scaled = through(bin!("cccf-scale"), &[], &json!([document]).to_string());
    let words = ["--current", current.to_str().unwrap(), "--owner", docker.owner()];
    let changes = through(bin!("cccf-diff"), &words, &scaled);
    through(bin!("container-run"), &["--owner", docker.owner()], &changes);
    std::fs::remove_file(current).unwrap();
    docker.names()
}

#[test]
fn a_document_becomes_as_many_containers_as_it_says() {
    let test = "a_document_becomes_as_many_containers_as_it_says";
    let Some(docker) = Docker::or_skip(test) else { return };
    let id = format!("{}-web", docker.owner());
    let names = |count: usize| -> Vec<String> {
        let replicas = (1..count).map(|number| format!("{id}-scale-{number}"));
        std::iter::once(id.clone()).chain(replicas).collect()
    };
    let document = json!({"id": id, "image": "leasepipe/example", "hostname": "web",
        "env": ["A=1"], "network_mode": "none"});
    assert_eq!(pipe(&docker, &document, 3), names(3));
    let replica = format!("{id}-scale-2");
    assert_eq!(docker.inspect(&replica, "{{.Config.Hostname}}"), "web-scale-2");
    assert!(docker.inspect(&replica, "{{.Config.Env}}").contains("A=1"));

    // What was declared comes back, and what runs is what is wanted.
    let listed = through(bin!("docker-cccf"), &["--owner", docker.owner()], "");
    let down = through(bin!("cccf-scale"), &["--down"], &listed);
    let mut lines = down.lines();
    let base: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&base["id"], &base["scale"]), (&json!(id), &json!(3)));
    let checkpoint: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&checkpoint["count"], lines.next()), (&json!(1), None), "{down}");

    let started = docker.inspect(&id, "{{.State.StartedAt}}");
    assert_eq!(pipe(&docker, &document, 2), names(2));
    assert_eq!(docker.inspect(&id, "{{.State.StartedAt}}"), started, "the base is let be");
    assert_eq!(pipe(&docker, &document, 4), names(4));
    assert_eq!(pipe(&docker, &document, 2), names(2));
    assert_eq!(docker.inspect(&id, "{{.State.StartedAt}}"), started);
}
