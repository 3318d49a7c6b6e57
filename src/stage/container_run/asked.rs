//! What the command line asks of all changes.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::swarm::{Publish, Settings};
use crate::record::{Action, Span};
use crate::stage::changes::Care;

/// What is done with every container, and what is waited for.
#[derive(clap::Args, Clone, Debug)]
pub struct Asked {
    /// What to do with every container, whatever its record asks for
    #[arg(long, value_name = "ACTION", value_parser = action())]
    pub action: Option<Action>,
    /// When a container that was added, started, restarted or replaced is done [default: started; healthy for one that replaces another]
    #[arg(long, value_name = "FOR", value_enum)]
    pub wait: Option<Wait>,
    /// Give up waiting for a container to be healthy after this time
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub timeout: Span,
    /// How carefully containers are taken away.
    #[command(flatten)]
    pub care: Care,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// it runs behind its start
    Started,
    /// its health check says so; it runs, if it has none
    Healthy,
}

/// The actions, as the help tells them.
const ACTIONS: [(&str, &str); 10] = [
    ("add", "Make it and start it, or start it"),
    ("remove", "Take it away"),
    ("replace", "Make it anew"),
    ("keep", "Make sure that it runs, as it is"),
    ("start", "Start it, or let it go on"),
    ("stop", "Ask it to end, and end it"),
    ("restart", "Stop it and start it"),
    ("kill", "End it at once"),
    ("pause", "Freeze it"),
    ("unpause", "Let it go on"),
];

fn action() -> impl TypedValueParser<Value = Action> {
    let value = |(word, about): (&'static str, &'static str)| PossibleValue::new(word).help(about);
    PossibleValuesParser::new(ACTIONS.map(value)).try_map(|word| word.parse::<Action>())
}

/// What is asked of swarms.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct AskedOfSwarm {
    /// With --engine swarm, publish ports on the node of the container, or on every node
    #[arg(long, value_name = "WHERE", default_value = "host")]
    publish: Where,
}

/// Where the ports of a swarm's services are published.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Where {
    /// On the node where the container is
    Host,
    /// On every node, by the swarm's balancer of load
    Ingress,
}

impl AskedOfSwarm {
    /// How the swarms are made use of. A task of a swarm's runs when it is healthy, where that is
    /// checked. Who takes care of how many are away has to know when they are back.
    pub fn settings(self, asked: &Asked) -> Settings {
        let publish = match self.publish {
            Where::Host => Publish::Host,
            Where::Ingress => Publish::Ingress,
        };
        let waits = asked.wait.is_some() || asked.care.is_taken();
        Settings { publish, wait: waits.then_some(asked.timeout.0) }
    }
}
