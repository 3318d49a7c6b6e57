//! Which field was meant by a name that is none.

/// What compose files, `docker run` and the first CCCF call fields of a container.
const OTHERS: [(&str, &str); 29] = [
    ("capabilities", "cap_add"),
    ("command", "cmd"),
    ("container_name", "id"),
    ("cpu", "cpus"),
    ("cpu_limit", "cpus"),
    ("domainname", "hostname"),
    ("environment", "env"),
    ("gpu", "gpus"),
    ("health", "healthcheck"),
    ("interval", "interval_ms"),
    ("ip", "ipv4_address"),
    ("ip6", "ipv6_address"),
    ("logging", "log_driver"),
    ("mac_address", "mac"),
    ("mem_limit", "memory"),
    ("memswap_limit", "memory_swap"),
    ("mounts", "volumes"),
    ("name", "id"),
    ("net", "network_mode"),
    ("policy", "pull"),
    ("publish", "ports"),
    ("pull_policy", "pull"),
    ("replicas", "scale"),
    ("restart_policy", "restart"),
    ("start_period", "start_period_ms"),
    ("stop_grace_period", "stop_timeout"),
    ("timeout", "timeout_ms"),
    ("volume", "volumes"),
    ("working_dir", "workdir"),
];

/// The known name that `name` was probably meant to be.
pub fn name(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const LONGEST: usize = 32;
    if name.len() > LONGEST || !name.is_ascii() {
        return None;
    }
    let plain = name.to_ascii_lowercase().replace(['-', '.', ' '], "_");
    let own = known.iter().map(|name| (*name, *name));
    let others = OTHERS.iter().copied().filter(|(_, meant)| known.contains(meant));
    let near = own.chain(others).map(|(written, meant)| (distance(&plain, written), meant));
    let most = if plain.len() < 6 { 1 } else { 2 };
    near.filter(|(distance, _)| *distance <= most).min_by_key(|(far, _)| *far).map(|(_, is)| is)
}

/// How many letters have to be put in, left out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_also_by_what_others_call_it() {
        const KNOWN: &[&str] =
            &["id", "cmd", "env", "ports", "expose", "workdir", "memory", "memory_swap", "cap_add"];
        let meant = |text: &str| name(text, KNOWN);
        for (text, is) in [
            ("enviroment", "env"),
            ("prots", "ports"),
            ("port", "ports"),
            ("Cmd", "cmd"),
            ("command", "cmd"),
            ("memory-swap", "memory_swap"),
            ("mem_limit", "memory"),
            ("capadd", "cap_add"),
        ] {
            assert_eq!(meant(text), Some(is), "{text}");
        }
        for text in ["", "x", "note", "x-note", "colour", "é", &"port".repeat(100)] {
            assert_eq!(meant(text), None, "{text}");
        }
        // What is not among the known ones is never meant.
        assert_eq!(name("logging", KNOWN), None);
    }
}
