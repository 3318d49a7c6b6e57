//! One engine is asked.

use std::time::{Duration, Instant};

use crate::adapter::docker::{Engine, Release, Survey};
use crate::error::{Kind, Result};
use crate::logic::probe::{Sight, answering, silent};
use crate::pipe::Report;
use crate::record::{About, Amount, Endpoint, Host};
use crate::stage::engines::Reach;

/// How engines are asked.
#[derive(Clone, Debug)]
pub struct Prober {
    /// How they are reached.
    pub reach: Reach,
    /// How long all of it may take for one.
    pub timeout: Duration,
}

impl Prober {
    /// How the engine of a host is reached.
    pub fn endpoint(&self, host: &Host) -> Endpoint {
        self.reach.endpoint(host)
    }

    /// What the engine of a host says, and what it is able to do. A connection that is there is
    /// used, one that works is kept.
    pub fn ask(&self, host: &Host, engine: &mut Option<Engine>) -> Result<(Sight, Survey)> {
        let until = Instant::now() + self.timeout;
        let left = || until.saturating_duration_since(Instant::now());
        let asked = match engine.take() {
            Some(engine) => engine,
            None => self.reach.connect_within(&self.endpoint(host), self.timeout)?,
        };
        let round_trip = asked.ping(left())?;
        let survey = asked.survey(left())?;
        let sight = sight(&survey, asked.release(), round_trip);
        *engine = Some(asked);
        Ok((sight, survey))
    }

    /// The host with what its engine says, or what is known of it with why it says nothing. A host
    /// whose record is wrong is told of.
    pub(super) fn look(
        &self,
        host: &Host,
        known: &Host,
        engine: &mut Option<Engine>,
        report: &Report,
    ) -> Host {
        match self.ask(host, engine) {
            Ok((sight, _)) => answering(host, &sight),
            Err(why) => {
                if matches!(why.kind(), Kind::Usage | Kind::BadInput) {
                    report.failed(&why.clone().at(&host.id));
                }
                silent(known, why.to_string())
            }
        }
    }
}

fn sight(survey: &Survey, release: Option<&Release>, round_trip: Duration) -> Sight {
    let amount = |name: &str, number: Option<u64>| Some((name.to_owned(), Amount::whole(number?)));
    let counted = [amount("cpus", survey.cpus), amount("memory", survey.memory)];
    Sight {
        engine: release.map(|release| About {
            name: release.name.clone().unwrap_or_else(|| "Docker".to_owned()),
            version: release.version.clone(),
            api: release.api.to_string(),
            rest: Default::default(),
        }),
        capacity: counted.into_iter().flatten().collect(),
        architecture: survey.architecture.clone(),
        os: survey.os.clone(),
        labels: survey.labels.clone(),
        count: survey.count,
        containers: survey.containers.clone(),
        ports: survey.ports.clone(),
        round_trip_ms: round_trip.as_secs_f64() * 1000.0,
    }
}
