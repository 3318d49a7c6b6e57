//! The machine's Docker, and the containers of one test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::namespace::ok;
use super::{PREFIX, is_left_behind, skipped};

/// The image that the tests run; `examples/image` makes it.
pub const IMAGE: &str = "leasepipe/example:latest";

/// The right to make containers with one owner of this test's own. Dropping it removes all of them.
pub struct Docker {
    owner: String,
}

impl Docker {
    /// Docker, or nothing and a line that says so when no engine answers or the image is not there.
    pub fn or_skip(test: &str) -> Option<Docker> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !super::root_or_skip(test) {
            return None;
        }
        let image = Command::new("docker").args(["image", "inspect", IMAGE]).output();
        if !image.is_ok_and(|out| out.status.success()) {
            skipped(test, "needs a Docker engine and the image leasepipe/example (examples/image)");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        if count == 0 {
            sweep();
        }
        Some(Docker { owner: format!("{PREFIX}{}-{count}", std::process::id()) })
    }

    /// The owner that this test's containers carry; container names may begin with it too.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Runs `docker` with these arguments; it must succeed. Returns what it printed, trimmed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        ok(Command::new("docker").args(arguments)).trim().to_owned()
    }

    /// Runs a container that is not the suite's, named `OWNER-name`, and returns its full name. It
    /// goes with the test as well.
    #[track_caller]
    pub fn bystander(&self, name: &str) -> String {
        self.bystander_in("none", name)
    }

    /// The same in a network of Docker's.
    #[track_caller]
    pub fn bystander_in(&self, network: &str, name: &str) -> String {
        let name = format!("{}-{name}", self.owner);
        let label = format!("bystander-of={}", self.owner);
        let run = ["run", "-d", "--network", network, "--name", &name, "--label", &label, IMAGE];
        self.docker(&run);
        name
    }

    /// Makes a network that is not the suite's, named `OWNER-name`, and returns its full name. It goes
    /// with the test as well.
    #[track_caller]
    pub fn network(&self, name: &str, options: &[&str]) -> String {
        let name = format!("{}-{name}", self.owner);
        let label = format!("bystander-of={}", self.owner);
        let create = ["network", "create", "--label", &label];
        self.docker(&[&create[..], options, &[&name]].concat());
        name
    }

    /// The names of this owner's containers, running or not, sorted.
    pub fn names(&self) -> Vec<String> {
        let filter = format!("label=leasepipe.owner={}", self.owner);
        let out = self.docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &filter]);
        let mut names: Vec<_> = out.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// One field of a container, as `docker inspect --format` gives it; it must be there.
    #[track_caller]
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.look(name, format).unwrap_or_else(|| panic!("there is no container {name}"))
    }

    /// One field of a container, or nothing when it is not there.
    pub fn look(&self, name: &str, format: &str) -> Option<String> {
        let out = Command::new("docker").args(["inspect", "--format", format, name]).output();
        let out = out.ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Removes all containers of this owner, and its bystanders.
    pub fn clear(&self) {
        clear(&self.owner);
    }
}

/// The labels that tell whose a container is.
const LABELS: [&str; 2] = ["leasepipe.owner", "bystander-of"];

fn clear(owner: &str) {
    let filters = LABELS.map(|label| format!("label={label}={owner}"));
    // All containers first: a bystander may be in one of the networks.
    for filter in &filters {
        let ids = lines(&["ps", "-aq", "--filter", filter]);
        if !ids.is_empty() {
            let _ = Command::new("docker").args(["rm", "-fv"]).args(ids).output();
        }
    }
    for filter in &filters {
        let ids = lines(&["network", "ls", "-q", "--filter", filter]);
        if !ids.is_empty() {
            let _ = Command::new("docker").args(["network", "rm"]).args(ids).output();
        }
        let names = lines(&["volume", "ls", "-q", "--filter", filter]);
        if !names.is_empty() {
            let _ = Command::new("docker").args(["volume", "rm"]).args(names).output();
        }
    }
    let named = format!("reference={owner}:*");
    let images = lines(&["images", "--filter", &named, "--format", "{{.Repository}}:{{.Tag}}"]);
    if !images.is_empty() {
        let _ = Command::new("docker").arg("rmi").args(images).output();
    }
}

/// Takes away the containers of tests that were killed.
fn sweep() {
    for label in LABELS {
        let format = format!("{{{{.Label \"{label}\"}}}}");
        let owners =
            lines(&["ps", "-a", "--filter", &format!("label={label}"), "--format", &format]);
        owners.iter().filter(|owner| is_left_behind(owner)).for_each(|owner| clear(owner));
    }
}

/// What `docker` prints, line by line; nothing when it fails.
fn lines(arguments: &[&str]) -> Vec<String> {
    let out = Command::new("docker").args(arguments).output();
    let out = out.map(|out| out.stdout).unwrap_or_default();
    String::from_utf8_lossy(&out).lines().map(str::to_owned).collect()
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.clear();
    }
}
