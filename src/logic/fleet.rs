//! Fleets out of nothing: containers as a site could have them, for tests, benches and trials.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::random::Random;
use crate::record::{
    Amount, Bytes, Constraint, Container, Cpus, EnvVar, Port, Requires, Restart, Transport, Volume,
    Words,
};

/// Containers without end, the same for the same seed on every machine.
///
/// Ids are unique within a fleet, images come from a small set, and every container is
/// valid. On the average one is about 300 bytes of JSON. Constraints are on the
/// host labels `zone` (`a`, `b`, `c`) and `disk` (`ssd`, `hdd`).
pub struct Fleet {
    random: Random,
    made: u64,
    roles: Vec<Role>,
    constraints: Vec<Constraint>,
}

/// What the containers of one sort have in common.
struct Role {
    name: &'static str,
    port: u16,
    keeps_data: bool,
    command: &'static str,
    /// A container of this sort with nothing said but its image.
    plain: Container,
}

/// Name, image, the port that it listens on, whether it keeps data, and its command.
const ROLES: [(&str, &str, u16, bool, &str); 8] = [
    ("web", "nginx:1.27", 8080, false, ""),
    ("api", "registry.example/shop/api:4.2.1", 9000, false, "serve --workers 4"),
    ("worker", "registry.example/shop/worker:4.2.1", 0, false, "work --queue default"),
    ("cache", "redis:7.4", 6379, false, ""),
    ("db", "postgres:16", 5432, true, ""),
    ("mail", "registry.example/shop/mail:2.0", 2525, true, ""),
    ("probe", "busybox:1.36", 0, false, "sleep 1d"),
    ("edge", "haproxy:3.0", 8443, false, ""),
];

const CONSTRAINTS: [&str; 4] = ["zone=a", "zone in (b, c)", "disk=ssd", "disk!=hdd"];

const SITES: [&str; 6] = ["north", "south", "east", "west", "lab", "harbour"];

const MIB: u64 = 1024 * 1024;

impl Fleet {
    /// The fleet of this seed.
    pub fn seeded(seed: u64) -> Fleet {
        let role = |(name, image, port, keeps_data, command)| Role {
            name,
            port,
            keeps_data,
            command,
            plain: plain(image),
        };
        Fleet {
            random: Random::seeded(seed),
            made: 0,
            roles: ROLES.map(role).into(),
            constraints: CONSTRAINTS.map(read).into(),
        }
    }

    /// The next container.
    pub fn container(&mut self) -> Container {
        let role = &self.roles[self.random.below(self.roles.len())];
        let random = &mut self.random;
        let site = SITES[random.below(SITES.len())];
        let id = format!("{}-{site}-{}", role.name, self.made);
        self.made += 1;
        let memory = Bytes(MIB << (5 + random.below(6)));
        let cores = [100, 250, 500, 1000, 1500, 2000][random.below(6)];
        Container {
            cmd: (!role.command.is_empty()).then(|| Words::Line(role.command.to_owned())),
            env: env(random, site),
            ports: port(random, role).into_iter().collect(),
            volumes: volume(random, role, &id).into_iter().collect(),
            labels: labels(random, role.name, site),
            restart: Some(restart(random)),
            memory: Some(memory),
            stop_timeout: (random.below(2) == 0).then_some(10),
            cpus: Cpus::from_nano(cores * 1_000_000),
            requires: requires(random, &self.constraints, cores),
            id: read(&id),
            ..role.plain.clone()
        }
    }
}

impl Iterator for Fleet {
    type Item = Container;

    fn next(&mut self) -> Option<Container> {
        Some(self.container())
    }
}

fn plain(image: &str) -> Container {
    let text = format!(r#"{{"id":"plain","image":"{image}"}}"#);
    serde_json::from_str(&text).expect("an id and an image make a container")
}

/// The value that a text of this module's own stands for.
fn read<T: FromStr>(text: &str) -> T {
    text.parse().ok().expect("what is made here is well formed")
}

/// Two to four variables of different names.
fn env(random: &mut Random, site: &str) -> Vec<EnvVar> {
    let level = ["debug", "info", "warn"][random.below(3)];
    let mut env = vec![read(&format!("SITE={site}")), read(&format!("LOG_LEVEL={level}"))];
    if random.below(2) == 0 {
        env.push(read(&format!("WORKERS={}", 1 + random.below(16))));
    }
    if random.below(3) == 0 {
        let number = random.below(20);
        env.push(read(&format!("DATABASE_URL=postgres://db-{number}.{site}.example/shop")));
    }
    env
}

fn port(random: &mut Random, role: &Role) -> Option<Port> {
    let is_published = role.port > 0 && random.below(3) > 0;
    let host = 20_000 + random.below(40_000) as u16;
    is_published.then_some(Port {
        address: None,
        host,
        container: role.port,
        transport: Transport::Tcp,
    })
}

fn volume(random: &mut Random, role: &Role, id: &str) -> Option<Volume> {
    match (role.keeps_data, random.below(5)) {
        (true, _) => Some(read(&format!("{id}:/var/lib/{}", role.name))),
        (false, 0) => Some(read(&format!("/srv/{0}:/etc/{0}:ro", role.name))),
        (false, _) => None,
    }
}

fn labels(random: &mut Random, role: &str, site: &str) -> BTreeMap<String, String> {
    let build = format!("{}.{}", 1 + random.below(4), random.below(100));
    let mut labels =
        BTreeMap::from([("app".to_owned(), format!("{role}-{site}")), ("build".to_owned(), build)]);
    if random.below(2) == 0 {
        let team = ["shop", "platform", "data"][random.below(3)];
        labels.insert("team".to_owned(), team.to_owned());
    }
    labels
}

fn restart(random: &mut Random) -> Restart {
    match random.below(4) {
        0 => Restart::OnFailure(5),
        1 => Restart::Always,
        _ => Restart::UnlessStopped,
    }
}

/// Half of the containers ask for less processor time than they are limited to, some for a licence,
/// and some of these for a host of a certain sort.
fn requires(random: &mut Random, known: &[Constraint], cores: u64) -> Option<Requires> {
    if random.below(2) == 0 {
        return None;
    }
    let mut resources = BTreeMap::from([("cpus".to_owned(), Amount::from_milli(cores / 2))]);
    if random.below(8) == 0 {
        resources.insert("licences".to_owned(), Amount::whole(1));
    }
    let is_picky = random.below(3) == 0;
    let constraints = random.one_of(known).filter(|_| is_picky).cloned().into_iter().collect();
    Some(Requires {
        resources,
        constraints,
        affinity: Vec::new(),
        anti_affinity: Vec::new(),
        spread: None,
        group: None,
        rest: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(seed: u64, count: usize) -> Vec<String> {
        let fleet = Fleet::seeded(seed).take(count);
        fleet.map(|container| serde_json::to_string(&container).unwrap()).collect()
    }

    #[test]
    fn a_fleet_is_the_same_for_the_same_seed() {
        assert_eq!(lines(7, 500), lines(7, 500));
        assert_ne!(lines(7, 500), lines(8, 500));
        // Measurements of different days are of the same fleet.
        let first = concat!(
            r#"{"id":"db-lab-0","image":"postgres:16","env":["SITE=lab","LOG_LEVEL=info"],"#,
            r#""ports":["31420:5432"],"volumes":["db-lab-0:/var/lib/db"],"#,
            r#""labels":{"app":"db-lab","build":"2.60","team":"platform"},"restart":"always","#,
            r#""memory":1073741824,"cpus":0.5,"stop_timeout":10,"#,
            r#""requires":{"resources":{"cpus":0.25}}}"#,
        );
        assert_eq!(lines(1, 1)[0], first);
    }

    #[test]
    fn containers_are_valid_different_and_of_the_usual_size() {
        let lines = lines(3, 20_000);
        let mut ids = std::collections::HashSet::new();
        for line in &lines {
            let container: Container = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&container).unwrap(), *line);
            assert!(ids.insert(container.id));
        }
        let average = lines.iter().map(String::len).sum::<usize>() / lines.len();
        assert!((270..330).contains(&average), "{average} bytes on the average");
        let share = |part: &str| lines.iter().filter(|line| line.contains(part)).count() as f64;
        for (part, least) in [("ports", 0.3), ("volumes", 0.2), ("requires", 0.4), ("constr", 0.1)]
        {
            let share = share(&format!("\"{part}")) / lines.len() as f64;
            assert!(share > least && share < 0.9, "{part}: {share}");
        }
    }
}
