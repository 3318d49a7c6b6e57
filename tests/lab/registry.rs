//! A real registry on an address of the machine's, which asks for a login.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{Docker, IMAGE, PATIENCE, eventually, skipped};

/// Who may enter.
pub const USER: &str = "edge";

/// With this. In base64 it has letters that not every base64 has.
pub const PASSWORD: &str = "~~~???>>>secret";

/// The two of them, as htpasswd(1) keeps them.
const ENTRY: &str = "edge:$2y$05$oYzHoiPzJzrezLsiGsoLFuGsrRuRav.V8QyCRYMPOpESoEksmWifG\n";

/// A running registry; dropping it ends it and takes all of it away.
pub struct Registry {
    dir: PathBuf,
    address: String,
    child: Option<Child>,
}

impl Registry {
    /// A registry that answers on the loopback interface; or nothing, and a line that says so, where
    /// it is not installed.
    pub fn or_skip(test: &str) -> Option<Registry> {
        Registry::at(test, "127.0.0.1")
    }

    /// The same on this address.
    pub fn at(test: &str, address: &str) -> Option<Registry> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            skipped(test, "docker-registry is not installed");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("lpt-registry-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("docker")).expect("a directory for the registry");
        let free = TcpListener::bind((address, 0)).and_then(|socket| socket.local_addr());
        let address = free.expect("a free port").to_string();
        fs::write(dir.join("htpasswd"), ENTRY).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\n\
             storage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
             auth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
            dir.display()
        );
        fs::write(dir.join("config.yml"), config).unwrap();
        let mut registry = Registry { dir, address, child: None };
        registry.start();
        Some(registry)
    }

    /// The name by which an image is in it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// A directory with what the docker command knows of it.
    pub fn docker_config(&self) -> PathBuf {
        self.dir.join("docker")
    }

    /// Writes that. `{REGISTRY}` in it becomes the registry's address.
    pub fn configure(&self, config: &str) {
        let config = config.replace("{REGISTRY}", &self.address());
        fs::write(self.docker_config().join("config.json"), config).unwrap();
    }

    /// Lets the docker command enter with the right login.
    pub fn log_in(&self) {
        let entry = json!({"username": USER, "password": PASSWORD});
        self.configure(&json!({"auths": {self.address(): entry}}).to_string());
    }

    /// Puts the tests' image into it under a name, and takes the name away from the engine again.
    /// Returns its whole name and its digest.
    pub fn push(&self, docker: &Docker, name: &str) -> (String, String) {
        let pushed = self.push_by(name, |arguments| docker.docker(arguments));
        self.forget();
        pushed
    }

    /// Puts the tests' image into it under a name with a tag, by an engine that `docker` speaks to.
    pub fn push_by(&self, name: &str, docker: impl Fn(&[&str]) -> String) -> (String, String) {
        self.log_in();
        let image = self.image(name);
        docker(&["tag", IMAGE, &image]);
        let config = self.docker_config();
        docker(&["--config", &config.display().to_string(), "push", "--quiet", &image]);
        let digests = docker(&["image", "inspect", &image, "--format", "{{.RepoDigests}}"]);
        let begin = format!("{}@", image.rsplit_once(':').map_or(&*image, |(begin, _)| begin));
        let digests = digests.trim_matches(['[', ']']).split(' ');
        let digest = digests.filter_map(|digest| digest.strip_prefix(&begin)).next();
        let digest = digest.unwrap_or_else(|| panic!("no digest of {image}")).to_owned();
        (image, digest)
    }

    /// Takes all names of images from here away from the engine.
    pub fn forget(&self) {
        let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
        let out = Command::new("docker").args(["images", "--digests", "--format", format]).output();
        let out = out.map(|out| out.stdout).unwrap_or_default();
        for line in String::from_utf8_lossy(&out).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, tag, digest] = words[..] else { continue };
            if name.starts_with(&self.address()) {
                let name = if tag == "<none>" {
                    format!("{name}@{digest}")
                } else {
                    format!("{name}:{tag}")
                };
                // One may have gone with another.
                let _ = Command::new("docker").args(["rmi", &name]).output();
            }
        }
    }

    /// The requests so far whose line in its log has this in it.
    pub fn asked(&self, what: &str) -> usize {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| line.contains(what) && line.contains(" HTTP/1.1\" 200")).count()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, with all that was in it.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.dir.join("config.yml")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().expect("start docker-registry"));
        let address = self.address();
        eventually("the registry answers", PATIENCE, || TcpStream::connect(&address).ok());
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        self.forget();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
