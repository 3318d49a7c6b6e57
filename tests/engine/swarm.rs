//! Managers of swarms that answer what a test wants them to.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Engine, ok};

/// What a swarm has, which all of its managers tell.
pub struct Swarm {
    id: &'static str,
    services: Arc<Mutex<Vec<Value>>>,
}

/// One of its managers.
pub struct Manager {
    pub engine: Engine,
    mood: Arc<Mutex<Mood>>,
    /// How often it was asked for services.
    listed: Arc<Mutex<usize>>,
}

/// How a manager answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// It breaks every connection.
    Gone,
    /// The others do not reach it, and it knows of no leader.
    Alone,
    /// It says which swarm it is of, and nothing of what that has.
    Sparing,
    /// Who asks which swarm it is of may not know.
    Secretive,
    /// It is a manager no more.
    Worker,
}

impl Swarm {
    pub fn new(id: &'static str, services: &[&str]) -> Swarm {
        let swarm = Swarm { id, services: Arc::default() };
        services.iter().for_each(|name| swarm.have(name, 1));
        swarm
    }

    /// From now on it has a service of this name, in this version.
    pub fn have(&self, name: &str, version: u64) {
        let inside = json!({"Image": "b", "Env": [format!("VERSION={version}")]});
        let mut services = self.services.lock().unwrap();
        services.retain(|service| service["Spec"]["Name"] != name);
        services.push(json!({
            "ID": format!("{}-{name}", self.id), "Version": {"Index": version},
            "Spec": {"Name": name, "TaskTemplate": {"ContainerSpec": inside},
                     "Mode": {"Replicated": {"Replicas": 1}}}
        }));
    }

    /// From now on it has none of this name.
    pub fn lose(&self, name: &str) {
        self.services.lock().unwrap().retain(|service| service["Spec"]["Name"] != name);
    }

    pub fn manager(&self, name: &str) -> Manager {
        let (mood, listed) = (Arc::new(Mutex::new(Mood::Well)), Arc::new(Mutex::new(0)));
        let (id, services) = (self.id, self.services.clone());
        let (now, asked) = (mood.clone(), listed.clone());
        let engine = Engine::new(name, move |path| {
            let mood = *now.lock().unwrap();
            let refused = |status, why: &str| Some((status, json!({"message": why}).to_string()));
            match (path, mood) {
                (_, Mood::Gone) => None,
                ("/info", Mood::Secretive) => refused(403, "not for you"),
                ("/info", mood) => {
                    let id = if mood == Mood::Alone { "" } else { id };
                    let manages = mood != Mood::Worker;
                    ok(json!({"Swarm": {"LocalNodeState": "active", "ControlAvailable": manages,
                                        "Cluster": {"ID": id}}}))
                }
                ("/services", Mood::Alone) => refused(500, "The swarm does not have a leader."),
                ("/services", Mood::Worker) => refused(503, "This node is not a swarm manager."),
                ("/services", Mood::Sparing) => refused(500, "no"),
                ("/services", _) => {
                    *asked.lock().unwrap() += 1;
                    ok(Value::Array(services.lock().unwrap().clone()))
                }
                ("/tasks" | "/nodes" | "/networks", _) => ok(json!([])),
                _ => Some((200, "OK".into())),
            }
        });
        Manager { engine, mood, listed }
    }
}

impl Manager {
    pub fn is_now(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn listed(&self) -> usize {
        *self.listed.lock().unwrap()
    }
}
