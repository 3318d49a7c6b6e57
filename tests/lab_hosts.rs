//! container-run and real engines that fail.

mod lab;

use std::path::PathBuf;

use lab::{Hosts, IMAGE};

#[test]
fn hosts_come_and_go() {
    let Some(hosts) = Hosts::or_skip("hosts_come_and_go", 2, &["disk=2:64m"]) else { return };
    assert_eq!(hosts.exec(2, &["hostname"]), hosts.name(2));
    hosts.docker(1, &["run", "-d", "--name", "one", "--restart", "always", IMAGE]);
    let running = || hosts.look(1, "one", "{{.State.Running}}");
    assert_eq!(hosts.look(2, "one", "{{.State.Running}}"), None);
    hosts.crash(1);
    assert_eq!(running(), None);
    hosts.start(1);
    assert_eq!(running().as_deref(), Some("true"));
    hosts.off(1);
    assert_eq!(running(), None);
    hosts.on(1);
    assert_eq!(running().as_deref(), Some("true"));

    let ping = |host| hosts.exec(host, &["busybox", "ping", "-c1", "-W1", &hosts.address(1)]);
    ping(2);
    hosts.cut(1);
    let cut = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ping(2)));
    assert!(cut.is_err());
    hosts.heal(1);
    ping(2);

    let paths: [PathBuf; 2] =
        [hosts.base().into(), PathBuf::from("/run/netns").join(hosts.name(1))];
    assert!(paths.iter().all(|path| path.exists()));
    drop(hosts);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}
