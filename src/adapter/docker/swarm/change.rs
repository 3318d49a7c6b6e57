//! Services made, changed and taken away.

use bollard::Docker;
use bollard::models::ServiceSpec;
use bollard::query_parameters::UpdateServiceOptionsBuilder;

use super::{Service, refusal};
use crate::adapter::docker::Engine;
use crate::adapter::docker::error::{is_missing, status};
use crate::adapter::docker::pull::{entering, without_login};
use crate::error::{Error, Kind, Result};
use crate::record::{Image, Login};

impl Engine {
    /// Makes a service; whether its name was free. The swarm keeps the login, and gives it to each
    /// node that fetches the image.
    pub fn create_service(&self, spec: ServiceSpec, login: Option<&Login>) -> Result<bool> {
        let image = image(&spec);
        let answer = self.ask(async |swarm| {
            let swarm = shown(swarm, Shown::of(image.as_ref(), image.as_ref(), login));
            swarm.create_service(spec, None).await
        });
        match answer {
            Ok(_) => Ok(true),
            Err(why) if status(&why) == Some(409) => Ok(false),
            Err(why) => Err(refusal("create service", &why)),
        }
    }

    /// Changes a service; whether it still was as it had been looked at. Without a login the swarm
    /// goes on with the one that it has, unless that is for another registry.
    pub fn update_service(
        &self,
        service: &Service,
        spec: ServiceSpec,
        login: Option<&Login>,
    ) -> Result<bool> {
        let version = i32::try_from(service.version).map_err(|_| {
            Error::new(Kind::Refused, "update service").why("its version is beyond all numbers")
        })?;
        let options = UpdateServiceOptionsBuilder::default().version(version).build();
        let (before, after) = (image(&service.spec), image(&spec));
        let id = service.found.docker_id.as_str();
        let answer = self.ask(async |swarm| {
            let swarm = shown(swarm, Shown::of(before.as_ref(), after.as_ref(), login));
            swarm.update_service(id, spec, options, None).await
        });
        match answer {
            Ok(_) => Ok(true),
            Err(why) if is_missing(&why) => Ok(false),
            Err(why) if why.to_string().contains("out of sequence") => Ok(false),
            Err(why) => Err(refusal("update service", &why)),
        }
    }

    /// Takes a service away; one that is gone already is no error. Its tasks end after that.
    pub fn remove_service(&self, id: &str) -> Result<()> {
        match self.ask(async |swarm| swarm.delete_service(id).await) {
            Err(why) if !is_missing(&why) => Err(refusal("remove service", &why)),
            _ => Ok(()),
        }
    }
}

/// What the swarm is shown of a login.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'a> {
    /// This one, for the image's registry.
    Login(&'a Image, &'a Login),
    /// None, so that it goes on with what it has.
    Nothing,
    /// That there is none: what it has would go to another registry.
    None,
}

impl<'a> Shown<'a> {
    /// With a change from one image to another.
    fn of(before: Option<&Image>, after: Option<&'a Image>, login: Option<&'a Login>) -> Shown<'a> {
        match (after, login) {
            (Some(after), Some(login)) => Shown::Login(after, login),
            _ if before.map(Image::registry) == after.map(Image::registry) => Shown::Nothing,
            _ => Shown::None,
        }
    }
}

fn shown(docker: Docker, what: Shown) -> Docker {
    match what {
        Shown::Login(image, login) => entering(docker, image, Some(login)),
        Shown::Nothing => docker,
        Shown::None => without_login(docker),
    }
}

/// The image of a service's containers.
fn image(spec: &ServiceSpec) -> Option<Image> {
    let inside = spec.task_template.as_ref()?.container_spec.as_ref()?;
    inside.image.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_to_no_other_registry_than_its_own() {
        let image = |text: &str| text.parse::<Image>().unwrap();
        let (old, new, other) = (image("r:5/a:1"), image("r:5/b:2"), image("s:5/a:1"));
        let login = Login::Identity("t".into());
        let of = |before, after, login| Shown::of(Some(before), Some(after), login);
        assert_eq!(of(&old, &new, Some(&login)), Shown::Login(&new, &login));
        assert_eq!(of(&old, &other, Some(&login)), Shown::Login(&other, &login));
        assert_eq!(of(&old, &new, None), Shown::Nothing);
        assert_eq!(of(&old, &other, None), Shown::None);
        assert_eq!(Shown::of(None, Some(&new), None), Shown::None);
    }
}
