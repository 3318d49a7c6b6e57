//! Images that hosts fetch from a real registry, which asks for a login.

mod lab;
mod script;

use std::fs;
use std::process::Command;

use lab::registry::{PASSWORD, USER};
use lab::{Docker, Done, Registry, bin, run};
use script::script;
use serde_json::{Value, json};

fn container_run(docker: &Docker, registry: &Registry, wanted: &[Value]) -> Done {
    let input: String = wanted.iter().map(|record| format!("{record}\n")).collect();
    let path = format!("{}:{}", registry.dir().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(bin!("container-run"));
    command.args(["--owner", docker.owner()]).env("PATH", path);
    let done = run(command.env("DOCKER_CONFIG", registry.docker_config()), input);
    let told = format!("{} {}", done.stderr, done.stdout.join("\n"));
    assert!(!told.contains("secret"), "{told}");
    done
}

fn document(docker: &Docker, name: &str, image: &str) -> Value {
    json!({"id": format!("{}-{name}", docker.owner()), "image": image, "network_mode": "none"})
}

/// A program in the directory of the registry, which is in PATH, that is asked for logins.
fn helper(registry: &Registry, does: &str) {
    let file = registry.dir().join("docker-credential-lptest");
    script(file, &format!("#!/bin/sh\n{does}\n"));
    registry.configure(r#"{"credHelpers": {"{REGISTRY}": "lptest"}}"#);
}

/// Why the one record failed.
#[track_caller]
fn failed(done: &Done, kind: &str) -> String {
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    let record = done.records().remove(0);
    assert_eq!(
        (&record["status"], &record["error_kind"]),
        (&json!("failed"), &json!(kind)),
        "{record}"
    );
    record["error"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_comes_from_a_registry_that_asks_for_a_login() {
    let test = "an_image_comes_from_a_registry_that_asks_for_a_login";
    let Some(docker) = Docker::or_skip(test) else { return };
    let Some(mut registry) = Registry::or_skip(test) else { return };
    let (image, digest) = registry.push(&docker, "app:1");
    let wanted = document(&docker, "a", &image);

    registry.configure("{}");
    let why = failed(&fetch(&docker, &registry, &wanted), "not_permitted");
    assert!(why.contains("no basic auth") && why.contains("docker login"), "{why}");
    registry.configure(r#"{"auths": {"{REGISTRY}": {"username": "edge", "password": "no"}}}"#);
    failed(&fetch(&docker, &registry, &wanted), "not_permitted");

    // Of two containers that want it one fetches, and the other waits.
    registry.log_in();
    let both = [wanted.clone(), document(&docker, "b", &image)];
    let done = container_run(&docker, &registry, &both);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    assert_eq!(registry.asked("\"HEAD /v2/app/manifests/1 "), 1);
    assert_eq!(docker.names().len(), 2);
    docker.clear();
    registry.forget();

    // A helper is asked for the registry, and its refusals are told.
    let notes = registry.dir().join("notes");
    let answer = json!({"ServerURL": "x", "Username": USER, "Secret": PASSWORD});
    helper(&registry, &format!("(echo $*; cat) > {}; echo '{answer}'", notes.display()));
    let pinned = format!("{image}@{digest}");
    let done = fetch(&docker, &registry, &document(&docker, "a", &pinned));
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    let asked = fs::read_to_string(&notes).unwrap();
    assert_eq!(asked, format!("get\n{}", registry.address()));

    // What was pinned is what is wanted by its tag, and another tag is another one.
    let tagged = document(&docker, "a", &image);
    assert_eq!(needed(&docker, &registry, &tagged), "keep");
    let again = fetch(&docker, &registry, &tagged).records().remove(0);
    assert_eq!((&again["status"], &again["steps"]), (&json!("done"), &Value::Null), "{again}");
    let other = document(&docker, "a", &registry.image("app:2"));
    assert_eq!(needed(&docker, &registry, &other), "replace");
    docker.clear();
    registry.forget();
    helper(&registry, "echo 'the keychain is locked'; exit 1");
    let why = failed(&fetch(&docker, &registry, &wanted), "refused");
    assert!(
        why.contains("docker-credential-lptest") && why.ends_with("keychain is locked"),
        "{why}"
    );
    helper(&registry, "echo 'credentials not found in native keychain'; exit 1");
    failed(&fetch(&docker, &registry, &wanted), "not_permitted");

    registry.log_in();
    failed(
        &fetch(&docker, &registry, &document(&docker, "a", &registry.image("app:2"))),
        "not_found",
    );
    let other = format!("{}@sha256:{}", registry.image("app"), "1".repeat(64));
    failed(&fetch(&docker, &registry, &document(&docker, "a", &other)), "not_found");
    registry.stop();
    let why = failed(&fetch(&docker, &registry, &wanted), "unavailable");
    assert!(why.contains("refused"), "{why}");
    registry.start();
    let done = fetch(&docker, &registry, &wanted);
    assert_eq!(done.status, Some(0), "{}", done.stderr);
    docker.clear();
}

/// What cccf-diff makes of a document and what there is.
fn needed(docker: &Docker, registry: &Registry, wanted: &Value) -> String {
    let list = run(Command::new(bin!("docker-cccf")).args(["--owner", docker.owner()]), "");
    let current = registry.dir().join("current.json");
    fs::write(&current, list.stdout.join("\n")).unwrap();
    let mut diff = Command::new(bin!("cccf-diff"));
    let done = run(diff.arg("--current").arg(&current), wanted.to_string());
    done.records()[0]["action"].as_str().unwrap().to_owned()
}

fn fetch(docker: &Docker, registry: &Registry, wanted: &Value) -> Done {
    container_run(docker, registry, std::slice::from_ref(wanted))
}
