use super::*;
use crate::record::Health;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_285_800 + second).unwrap()
}

fn watch() -> Watch {
    let host = HostRef { id: "h".into(), url: None, tls: None, rest: Default::default() };
    Watch::new(host, Some("3/60s".parse().unwrap()))
}

fn nothing() -> Usage {
    serde_json::from_str("{}").unwrap()
}

/// A container that was started then, and ended then if it has.
fn sight(id: &str, started: Option<i64>, ended: Option<(i64, i64)>) -> Sight {
    let state = match (started, ended) {
        (None, _) => State::Created,
        (Some(_), None) => State::Running,
        (Some(_), Some(_)) => State::Exited,
    };
    let docker = Docker { started_at: started.map(at), ..Docker::new(id.to_owned()) };
    let mut subject = Subject {
        id: format!("web-{id}"),
        image: None,
        owner: None,
        key: None,
        labels: BTreeMap::new(),
        state: None,
        docker: None,
        rest: Default::default(),
    };
    subject.state = Some(state);
    subject.docker = Some(docker);
    Sight {
        created_at: Some(at(0)),
        finished_at: ended.map(|(second, _)| at(second)),
        exit_code: ended.map(|(_, code)| code),
        ..unseen(&subject)
    }
}

fn happening(what: What, second: i64) -> Happening {
    Happening {
        at: at(second),
        what,
        docker_id: "a".into(),
        subject: sight("a", None, None).subject,
        sight: None,
        exit_code: None,
        signal: None,
        health: None,
        was: None,
    }
}

fn died(second: i64, code: i64) -> Happening {
    Happening { exit_code: Some(code), ..happening(What::Die, second) }
}

fn words(events: &[Event]) -> Vec<String> {
    let said = |event: &Event| {
        let code = event.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{code} {}", event.what, event.at.as_second() - at(0).as_second())
    };
    events.iter().map(said).collect()
}

/// What is told when the listing shows this, in the end.
fn missed(watch: &mut Watch, listing: &[Sight]) -> Vec<String> {
    let mut told = Vec::new();
    for id in watch.doubts(listing) {
        let sight = listing.iter().find(|sight| sight.docker_id() == id).cloned();
        told.extend(watch.mend(&id, sight, at(100)));
    }
    assert!(told.iter().all(|event| event.gap));
    assert!(watch.doubts(listing).is_empty(), "it is mended once");
    words(&told)
}

#[test]
fn a_life_is_told_as_it_goes() {
    let mut watch = watch();
    let mut told = Vec::new();
    let ran = Happening { sight: Some(sight("a", Some(2), None)), ..happening(What::Start, 3) };
    for happening in [
        happening(What::Create, 1),
        ran,
        happening(What::Pause, 4),
        happening(What::Unpause, 5),
        died(6, 3),
        happening(What::Destroy, 7),
    ] {
        told.extend(watch.take(happening));
    }
    assert_eq!(
        words(&told),
        ["create 1", "start 3", "pause 4", "unpause 5", "die 3 6", "destroy 7"]
    );
    assert_eq!((told[4].reason, told[4].ran_ms), (Some(Reason::Exited), Some(4000)));
    assert!(told.iter().all(|event| event.container.as_ref().unwrap().id == "web-a"));
    assert!(!watch.knows("a"));
}

#[test]
fn nothing_is_told_twice() {
    let mut watch = watch();
    assert_eq!(words(&watch.begin(vec![sight("a", Some(1), None)], at(2))), ["is 2"]);
    // The listing showed it, and the event about it comes behind that.
    assert_eq!(watch.take(happening(What::Start, 2)), None);
    assert_eq!(watch.take(happening(What::Create, 1)), None);
    let killed = Happening { signal: "SIGTERM".parse().ok(), ..happening(What::Kill, 3) };
    assert!(watch.take(killed.clone()).is_some());
    assert!(watch.take(died(4, 143)).is_some());
    // The stream is taken up again a little before where it broke.
    assert_eq!(watch.take(killed), None);
    assert_eq!(watch.take(died(4, 143)), None);
    assert_eq!(watch.take(died(5, 143)), None, "it had ended");
    assert!(watch.take(happening(What::Destroy, 6)).is_some());
    assert_eq!(watch.take(happening(What::Destroy, 7)), None);
}

#[test]
fn why_it_ended_is_told() {
    let end = |before: &[Happening], end: Happening| {
        let mut watch = watch();
        watch.begin(vec![sight("a", Some(1), None)], at(2));
        before.iter().for_each(|happening| drop(watch.take(happening.clone())));
        let event = watch.take(end).unwrap();
        let signal = event.signal.map(|signal| signal.to_string());
        (event.reason.unwrap(), signal, event.asked, event.oom)
    };
    let kill = |signal: &str| Happening { signal: signal.parse().ok(), ..happening(What::Kill, 3) };
    let sigkill = Some("SIGKILL".to_owned());
    assert_eq!(end(&[], died(4, 0)), (Reason::Exited, None, false, false));
    assert_eq!(end(&[], died(4, 137)), (Reason::Signal, sigkill.clone(), false, false));
    assert_eq!(
        end(&[kill("SIGKILL")], died(4, 137)),
        (Reason::Signal, sigkill.clone(), true, false)
    );
    assert!(!end(&[kill("SIGHUP")], died(4, 0)).2, "a signal that asks for no end");
    assert!(!end(&[kill("SIGTERM")], died(4000, 0)).2, "too long ago");
    let oom = happening(What::Oom, 3);
    assert_eq!(
        end(std::slice::from_ref(&oom), died(4, 137)),
        (Reason::OutOfMemory, sigkill, false, true)
    );
    assert_eq!(end(&[oom], died(4, 0)), (Reason::Exited, None, false, true));
    let error = Sight { error: Some("no".into()), ..sight("a", Some(1), Some((4, 127))) };
    let failed = Happening { sight: Some(error), ..died(4, 127) };
    assert_eq!(end(&[], failed).0, Reason::Error);
}

#[test]
fn what_happened_unseen_follows_from_what_is_there() {
    let begun = || {
        let mut watch = watch();
        watch.begin(vec![sight("a", Some(10), None)], at(11));
        watch
    };
    assert_eq!(missed(&mut begun(), &[sight("a", Some(10), None)]), Vec::<String>::new());
    assert_eq!(missed(&mut begun(), &[]), ["die 100", "destroy 100"]);
    assert_eq!(missed(&mut begun(), &[sight("a", Some(10), Some((20, 3)))]), ["die 3 20"]);
    assert_eq!(missed(&mut begun(), &[sight("a", Some(30), None)]), ["die 30", "start 30"]);
    assert_eq!(
        missed(&mut begun(), &[sight("a", Some(30), Some((40, 1)))]),
        ["die 30", "start 30", "die 1 40"]
    );
    let others = [
        sight("a", Some(10), None),
        sight("b", Some(12), None),
        sight("c", None, None),
        sight("d", Some(13), Some((14, 0))),
    ];
    assert_eq!(
        missed(&mut begun(), &others),
        ["create 0", "start 12", "create 0", "create 0", "start 13", "die 0 14"]
    );
    let mut unwell = sight("a", Some(10), None);
    unwell.health = Some(Health::Unhealthy);
    unwell.subject.id = "new".into();
    assert_eq!(missed(&mut begun(), &[unwell]), ["rename 100", "health 100"]);
    let mut frozen = sight("a", Some(10), None);
    frozen.subject.state = Some(State::Paused);
    assert_eq!(missed(&mut begun(), &[frozen]), ["pause 100"]);
}

#[test]
fn an_event_that_comes_behind_the_mending_is_old() {
    let mut watch = watch();
    watch.begin(vec![sight("a", Some(10), None)], at(11));
    assert_eq!(missed(&mut watch, &[sight("a", Some(10), Some((20, 3)))]), ["die 3 20"]);
    assert_eq!(watch.take(died(20, 3)), None);
    assert_eq!(
        words(&watch.take(happening(What::Start, 21)).into_iter().collect::<Vec<_>>()),
        ["start 21"]
    );
    // A start that was only heard of is the run that a later listing shows.
    assert!(watch.doubts(&[sight("a", Some(20), None)]).is_empty());
}

#[test]
fn ends_that_nobody_asked_for_make_a_loop() {
    let mut watch = watch();
    watch.begin(vec![sight("a", Some(0), None)], at(0));
    let mut told = Vec::new();
    for second in [1, 2, 3, 100] {
        let end = watch.take(died(second * 10, 1)).unwrap();
        let start = watch.take(happening(What::Start, second * 10 + 1)).unwrap();
        told.push((end.restarts.unwrap(), end.looping, start.looping));
    }
    assert_eq!(told, [(1, false, false), (2, false, false), (3, true, true), (1, false, false)]);
    let asked = Happening { signal: "SIGTERM".parse().ok(), ..happening(What::Kill, 1002) };
    watch.take(asked);
    assert_eq!(watch.take(died(1003, 143)).unwrap().restarts, Some(1), "that one does not count");
    // The engine has counted what nobody saw.
    watch.take(happening(What::Start, 1100));
    let mut again = sight("a", Some(1120), None);
    again.restarts = 5;
    let events = watch.mend("a", Some(again), at(1130));
    assert_eq!(events[0].what, What::Die);
    let next = watch.take(died(1140, 1)).unwrap();
    assert_eq!((next.restarts, next.looping), (Some(6), true));
}

#[test]
fn cores_are_told_from_the_second_sample_on() {
    let mut watch = watch();
    watch.begin(vec![sight("a", Some(0), None)], at(0));
    let mut sample = |second, cpu_ns| {
        let usage = Usage { cpu_ns: Some(cpu_ns), ..nothing() };
        let sample = Sample { docker_id: "a".into(), at: at(second), usage };
        watch.used(sample).unwrap().stats.unwrap().cpus
    };
    assert_eq!(sample(10, 1_000_000_000), None);
    assert_eq!(sample(20, 6_000_000_000), Some(0.5));
    assert_eq!(sample(30, 6_000_100_000), Some(0.0));
    assert_eq!(sample(40, 5), None, "another run");
    assert_eq!(sample(40, 9), None, "no time has passed");
    watch.take(died(50, 0));
    let usage = nothing();
    assert_eq!(watch.used(Sample { docker_id: "a".into(), at: at(60), usage }), None);
}

#[test]
fn a_page_of_metrics_says_what_is_known() {
    let mut watch = watch();
    let mut well = sight("b", Some(0), None);
    well.health = Some(Health::Healthy);
    watch.begin(vec![sight("a", Some(0), None), well], at(0));
    for second in [10, 12, 14] {
        watch.take(died(second, 1));
        watch.take(happening(What::Start, second + 1));
    }
    watch.take(died(16, 3));
    let usage = Usage { cpu_ns: Some(1_500_000_000), pids: Some(2), ..nothing() };
    watch.used(Sample { docker_id: "b".into(), at: at(17), usage });
    let page = exposition(&[(&watch, true)], at(20));
    for line in [
        "# TYPE leasepipe_container_ends_total counter",
        r#"leasepipe_host_up{host="h"} 1"#,
        r#"leasepipe_containers{host="h",state="exited"} 1"#,
        r#"leasepipe_container_running{host="h",container="web-a"} 0"#,
        r#"leasepipe_container_exit_code{host="h",container="web-a"} 3"#,
        r#"leasepipe_container_looping{host="h",container="web-a"} 1"#,
        r#"leasepipe_container_starts_total{host="h",container="web-a"} 3"#,
        r#"leasepipe_container_ends_total{host="h",container="web-a",reason="exited"} 4"#,
        r#"leasepipe_container_healthy{host="h",container="web-b"} 1"#,
        r#"leasepipe_container_start_time_seconds{host="h",container="web-b"} 1795285800"#,
        r#"leasepipe_container_cpu_seconds_total{host="h",container="web-b"} 1.5"#,
        r#"leasepipe_events_total{host="h",what="die"} 4"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let down = exposition(&[(&watch, false)], at(20));
    assert!(down.contains("leasepipe_host_up{host=\"h\"} 0"), "{down}");
    assert!(!down.contains("container_running") && down.contains("container_ends_total"), "{down}");
    // What is counted of one that is gone, or has another name, stays for an hour.
    let mut renamed = happening(What::Rename, 29);
    renamed.subject.id = "new".into();
    assert_eq!(watch.take(renamed).unwrap().was.as_deref(), Some("web-a"));
    watch.take(happening(What::Destroy, 30));
    watch.forget(at(3000));
    assert!(exposition(&[(&watch, true)], at(3000)).contains("container=\"web-a\""));
    watch.forget(at(4000));
    let page = exposition(&[(&watch, true)], at(4000));
    assert!(!page.contains("container=\"web-a\"") && !page.contains("\"new\""), "{page}");
}
