//! What a host lacks for the suite, as far as its engine tells.

use crate::adapter::docker::Ability;
use crate::error::{Error, Kind};

/// Why nothing could be done with the host at all.
pub(super) fn refusal(ability: &Ability) -> Option<Error> {
    let os = ability.os_type.as_deref().filter(|os| *os != "linux")?;
    Some(Error::new(Kind::Refused, "use its engine").why(format_args!("it runs on {os}")))
}

/// What is missing, or cannot be seen from here; `here` is whether it is this machine.
pub(super) fn of(ability: &Ability, here: bool) -> Vec<Error> {
    let lack = |what: &str| Error::new(Kind::Refused, what);
    let mut lacks = Vec::new();
    let mut unless = |has: bool, error: Error| lacks.extend((!has).then_some(error));
    unless(
        !ability.rootless,
        lack("its engine runs without the rights of root")
            .remedy("unionize cannot plug its containers into a bridge"),
    );
    for (has, what, setting) in [
        (ability.memory_limit, "memory", "memory"),
        (ability.cpu_limit, "processor time", "cpus"),
        (ability.pids_limit, "the number of processes", "pids_limit"),
    ] {
        unless(
            has != Some(false),
            lack(&format!("its kernel cannot limit {what}"))
                .remedy(format_args!("containers with {setting} are refused there")),
        );
    }
    unless(
        ability.ipv4_forwarding != Some(false),
        lack("it does not forward IPv4")
            .remedy("set sysctl net.ipv4.ip_forward=1 there for published ports"),
    );
    for kind in ["overlay", "macvlan"] {
        let knows = ability.networks.is_empty() || ability.networks.iter().any(|one| one == kind);
        unless(knows, lack(&format!("its engine makes no {kind} networks")));
    }
    for warning in &ability.warnings {
        unless(false, lack("its engine warns").why(warning.trim_start_matches("WARNING: ")));
    }
    unless(
        here,
        lack("unionize and lease-bind have to run there as well")
            .why("from here only its engine is reached, not its bridges")
            .remedy("install leasepipe there, if its containers are to be on a bridge"),
    );
    unless(
        here,
        lack("whether it forwards IPv6 cannot be seen from here")
            .remedy("see sysctl net.ipv6.conf.all.forwarding there"),
    );
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_nothing_is_said() {
        assert_eq!(of(&Ability::default(), true), []);
        assert_eq!(refusal(&Ability::default()), None);
        assert_eq!(of(&Ability::default(), false).len(), 2);
    }

    #[test]
    fn each_lack_is_a_line() {
        let ability = Ability {
            rootless: true,
            memory_limit: Some(false),
            pids_limit: Some(true),
            ipv4_forwarding: Some(false),
            networks: vec!["bridge".into(), "macvlan".into()],
            warnings: vec!["WARNING: No swap limit support".into()],
            ..Ability::default()
        };
        let lines: Vec<String> = of(&ability, true).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[1].contains("cannot limit memory") && lines[3].contains("overlay"));
        assert_eq!(lines[4], "its engine warns: No swap limit support");
        let windows = Ability { os_type: Some("windows".into()), ..Ability::default() };
        assert!(refusal(&windows).unwrap().to_string().contains("windows"));
    }
}
