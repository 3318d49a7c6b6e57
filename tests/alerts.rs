//! The examples that tell people: a mail to a sendmail that only keeps it, a message to a receiver that
//! does.

mod program;
mod script;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use script::script;
use serde_json::{Value, json};

const MAIL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/alert-mail");
const WEBHOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/alert-webhook");

/// Whether these programs are there; says so when one is not.
fn are_there(test: &str, programs: &[&str]) -> bool {
    let missing =
        programs.iter().find(|name| Command::new(name).arg("--version").output().is_err());
    if let Some(name) = missing {
        let line = format!("skipped: {test}: {name} is not installed\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    missing.is_none()
}

/// What container-watch tells: two things to be looked at, among others that are not.
fn events() -> String {
    let event = |what: &str, id: &str, more: Value| {
        let mut event = json!({"kind": "event", "at": "2026-11-21T19:20:14Z", "what": what,
            "host": {"id": "north"}, "container": {"id": id}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let hostile = "no\nBcc: all@example.net\u{1b}[2J <b>&";
    [
        event("is", "web", json!({})),
        json!({"kind": "checkpoint", "of": "event", "count": 1}),
        event(
            "die",
            "web",
            json!({"exit_code": 3, "reason": "exited", "restarts": 3, "looping": true}),
        ),
        event("die", "job", json!({"exit_code": 0})),
        event("die", "old", json!({"exit_code": 137, "asked": true})),
        event("health", "ill", json!({"health": "unhealthy", "output": hostile})),
        event("health", "web", json!({"health": "healthy"})),
    ]
    .map(|event| format!("{event}\n"))
    .concat()
}

#[test]
fn a_mail_holds_what_is_to_be_looked_at() {
    if !are_there("a_mail_holds_what_is_to_be_looked_at", &["jq", "bash"]) {
        return;
    }
    let kept = PathBuf::from(program::file("alert-mail.txt", ""));
    let sendmail = program::file("alert-sendmail", "");
    let keeps = format!("#!/bin/sh\n{{ echo \"$@\"; cat; echo .; }} >> {}\n", kept.display());
    script(&sendmail, &keeps);
    let mut mail = Command::new(MAIL);
    mail.args(["ops@example.net", "root"]).env("ALERT_FROM", "watch@example.net");
    let output =
        program::fed(mail.env("ALERT_SENDMAIL", &sendmail).env("ALERT_WAIT", "1"), &events());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mails = std::fs::read_to_string(&kept).unwrap();
    let lines: Vec<&str> = mails.lines().collect();
    assert_eq!(lines[0], "-i -f watch@example.net -- ops@example.net root");
    assert_eq!(lines[2], "To: ops@example.net,root");
    assert_eq!(lines[3], "Subject: containers: 2 events");
    let body: Vec<&str> = lines.iter().copied().skip_while(|line| !line.is_empty()).collect();
    assert_eq!(body.len(), 4, "an empty line, two events and the end: {mails}");
    assert!(body[1].contains("die web on north exited exit code 3 again and again (3 times)"));
    assert!(body[2].contains("health ill on north no Bcc: all@example.net [2J"), "{}", body[2]);
}

#[test]
fn a_webhook_is_told_again_until_it_has_heard() {
    if !are_there("a_webhook_is_told_again_until_it_has_heard", &["jq", "bash", "curl"]) {
        return;
    }
    let (url, messages) = receiver();
    let secret = program::file("alert-url", &format!("{url}\n"));
    let output = program::fed(Command::new(WEBHOOK).env("ALERT_URL_FILE", secret), &events());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages: Vec<Value> = messages.try_iter().collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert_eq!(messages[0]["text"].as_str().unwrap().split(' ').next(), Some("die"));
    let hostile = messages[1]["text"].as_str().unwrap();
    assert!(hostile.contains("&lt;b&gt;&amp;") && !hostile.contains('\u{1b}'), "{hostile}");
}

/// A webhook that is busy for the first call, and hears the others.
fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/secret", listener.local_addr().unwrap());
    let (to, messages) = channel();
    std::thread::spawn(move || {
        for (call, mut stream) in listener.incoming().flatten().enumerate() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {
                let line = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                let given = line.strip_prefix("content-length:");
                length = given.and_then(|text| text.trim().parse().ok()).unwrap_or(length);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            assert!(head.starts_with("POST /hook/secret "), "{head}");
            let status = if call == 0 { "503 Busy" } else { "200 OK" };
            if call > 0 {
                to.send(serde_json::from_slice(&body).unwrap()).unwrap();
            }
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, messages)
}
