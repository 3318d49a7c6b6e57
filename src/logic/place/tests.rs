mod party;

use super::*;

fn placer_of(hosts: &[&str], how: How) -> Placer {
    let host = |text: &&str| serde_json::from_str(text).unwrap();
    Placer::new(hosts.iter().map(host).collect(), how).unwrap()
}

fn placer(hosts: &[&str]) -> Placer {
    placer_of(hosts, How::default())
}

fn change(action: Action, id: &str, more: &str) -> Change {
    let text = format!(r#"{{"id":"{id}","image":"b"{more}}}"#);
    Change::new(action, serde_json::from_str(&text).unwrap())
}

fn place(placer: &mut Placer, action: Action, id: &str, host: &str) -> Option<String> {
    let mut change = change(action, id, host);
    assert_eq!(placer.change(&mut change), Outcome::Done);
    change.container.host.map(|host| host.id)
}

fn failure(placer: &mut Placer, mut change: Change) -> Error {
    match placer.change(&mut change) {
        Outcome::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

const A: &str = r#"{"kind":"host","id":"a","url":"unix:///a"}"#;
const B: &str = r#"{"kind":"host","id":"b","url":"unix:///b"}"#;

#[test]
fn what_is_done_to_a_container_moves_it_nowhere() {
    const DRAINED: &str = r#"{"id":"a","url":"unix:///a","state":"drain"}"#;
    const DOWN: &str = r#"{"id":"c","url":"unix:///c","state":"down"}"#;
    let mut placer = placer(&[DRAINED, B, DOWN]);
    for action in ["start", "stop", "restart", "kill", "pause", "unpause"] {
        let action: Action = action.parse().unwrap();
        for host in ["a", "c"] {
            let mut told = change(action, host, &format!(r#","host":{{"id":"{host}"}}"#));
            assert_eq!(placer.change(&mut told), Outcome::Done);
            let at = told.container.host.unwrap();
            assert_eq!((&*at.id, at.url), (host, Some(format!("unix:///{host}"))));
            assert_eq!(told.action, action);
        }
        let error = failure(&mut placer, change(action, "unheard-of", ""));
        assert_eq!(error.kind(), Kind::BadInput, "{error}");
    }
}

#[test]
fn new_ones_go_where_the_fewest_are_and_the_rest_stays() {
    let mut placer = placer(&[A, B]);
    let mut at = |action, id, host| place(&mut placer, action, id, host).unwrap();
    assert_eq!(at(Action::Keep, "1", r#","host":{"id":"a"}"#), "a");
    assert_eq!(at(Action::Keep, "2", r#","host":{"id":"a"}"#), "a");
    assert_eq!(at(Action::Add, "3", ""), "b");
    assert_eq!(at(Action::Add, "4", ""), "b");
    assert_eq!(at(Action::Add, "5", ""), "a");
    assert_eq!(at(Action::Add, "5", ""), "a", "asked for again");
    assert_eq!(at(Action::Remove, "3", r#","host":{"id":"b"}"#), "b");
    assert_eq!(at(Action::Add, "6", ""), "b");
}

#[test]
fn a_host_that_drains_takes_no_more() {
    let drain = r#"{"kind":"host","id":"a","url":"unix:///a","state":"drain"}"#;
    let mut some = placer(&[drain, B]);
    assert_eq!(place(&mut some, Action::Add, "1", "").unwrap(), "b");
    let mut none = placer(&[drain]);
    let error = failure(&mut none, change(Action::Add, "1", ""));
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn use_that_a_host_tells_counts() {
    let busy = r#"{"kind":"host","id":"a","url":"unix:///a","used":{"containers":5}}"#;
    assert_eq!(place(&mut placer(&[busy, B]), Action::Add, "1", "").unwrap(), "b");
    let two = r#"{"kind":"host","id":"a","url":"unix:///a","used":{"containers":2}}"#;
    let mut placer = placer(&[two, B]);
    let mut at = |action, id, host| place(&mut placer, action, id, host).unwrap();
    at(Action::Keep, "1", r#","host":{"id":"a"}"#);
    assert_eq!(at(Action::Add, "2", ""), "b");
    at(Action::Remove, "1", r#","host":{"id":"a"}"#);
    at(Action::Remove, "0", r#","host":{"id":"a"}"#);
    assert_eq!(at(Action::Add, "3", ""), "a", "both that it told of are gone");
}

#[test]
fn a_host_under_another_name_is_known_by_where_it_listens() {
    let mut placer = placer(&[A, B]);
    let local = |url: &str| format!(r#","host":{{"id":"local","url":"unix:///{url}"}}"#);
    let mut at = |action, id, host: &str| place(&mut placer, action, id, host).unwrap();
    assert_eq!(at(Action::Keep, "1", &local("b")), "b");
    assert_eq!(at(Action::Remove, "1", &local("b")), "b");
    assert_eq!(at(Action::Keep, "2", &local("elsewhere")), "local");
}

#[test]
fn a_host_that_is_unknown_is_told() {
    let error = failure(&mut placer(&[A]), change(Action::Add, "1", r#","host":{"id":"z"}"#));
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("known are a"));
}

#[test]
fn hosts_must_be_there_and_have_names_of_their_own() {
    assert!(Placer::new(vec![], How::default()).is_err());
    assert!(Placer::new(vec![Host::local(), Host::local()], How::default()).is_err());
}
