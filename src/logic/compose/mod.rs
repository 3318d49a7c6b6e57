//! Compose files as containers: what the Compose Specification says, in the words of cccf(5).
//!
//! Files are read into trees, their variables are replaced, and they are laid over one another;
//! then each service becomes a container. Nothing stops at the first thing that is wrong: what has
//! no counterpart and what makes no sense is gathered and told together. Files are read through a
//! function that the caller gives, and variables are an argument.

mod amounts;
mod dotenv;
mod extends;
mod include;
mod interpolate;
mod load;
mod merge;
mod order;
mod service;
mod told;
mod tree;
mod yaml;

use std::path::{Path, PathBuf};

pub use load::{Environment, clean};

use crate::error::{Error, Kind, Result};
use crate::record::{Container, Owner};
use load::Loader;
use tree::{Map, Node, Value};

/// What is asked of compose files.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The files, each laid over those before it; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The directory that their relative paths are of; absolute.
    pub directory: PathBuf,
    /// The name of the project; absent leaves it to the files, and then to the directory.
    pub project: Option<String>,
    /// Variables.
    pub environment: Environment,
    /// Files of more variables; of two with one the later counts.
    pub environment_files: Vec<PathBuf>,
    /// Profiles that count.
    pub profiles: Vec<String>,
    /// The services that are wanted, with those that they depend on; empty means all.
    pub services: Vec<String>,
    /// Whose the containers are to be.
    pub owner: Option<Owner>,
}

/// What compose files come to.
#[derive(Debug, Default)]
pub struct Made {
    /// The containers, each behind those that it depends on.
    pub containers: Vec<Container>,
    /// Whether these are all that the files ask for.
    pub whole: bool,
    /// What the files say and the containers do not.
    pub lost: Vec<Error>,
    /// What the containers need that nobody in the suite makes.
    pub needed: Vec<Error>,
    /// Why services have become no containers.
    pub wrong: Vec<Error>,
}

/// A model of which all variables and references to files are resolved.
pub struct Project {
    name: String,
    services: Map,
    networks: Map,
    volumes: Map,
    environment: Environment,
}

impl Project {
    /// The name of a service's container: the one that it is given, or project and service.
    fn id(&self, service: &str) -> String {
        let given = self.services.get(service).and_then(Node::as_map);
        let given = given.and_then(|map| map.get("container_name")).and_then(Node::as_text);
        given.map_or_else(|| format!("{}-{service}", self.name), str::to_owned)
    }

    /// The name that Docker knows a network or volume by, of which this is declared.
    fn declared(&self, name: &str, declaration: &Node) -> String {
        let map = declaration.as_map();
        let external = map.and_then(|map| map.get("external")).and_then(Node::as_map);
        let given =
            [map, external].into_iter().flatten().find_map(|map| map.get("name")?.as_text());
        match given {
            Some(name) => name.to_owned(),
            None if Project::is_external(declaration) => name.to_owned(),
            None => format!("{}_{name}", self.name),
        }
    }

    /// Whether a network or volume is somebody else's to make.
    fn is_external(declaration: &Node) -> bool {
        let external = declaration.as_map().and_then(|map| map.get("external"));
        external.is_some_and(|node| match node.as_text() {
            Some(text) => amounts::flag(text) == Some(true),
            None => node.as_map().is_some(),
        })
    }
}

/// Makes containers of compose files. `open` gives the text of a file by its path.
///
/// # Errors
/// All that is wrong with the files as such. Then nothing can be said of any service.
pub fn read(
    wanted: &Wanted,
    open: &mut dyn FnMut(&Path) -> Result<String>,
) -> Result<Made, Vec<Error>> {
    let mut loader = Loader::new(open);
    let Some(project) = project(wanted, &mut loader) else { return Err(closed(loader)) };
    let Some(made) = containers(wanted, &project, &mut loader) else { return Err(closed(loader)) };
    loader.tell_missing();
    loader.told.close();
    let told = loader.told;
    Ok(Made { lost: told.lost, needed: told.needed, wrong: told.wrong, ..made })
}

fn closed(mut loader: Loader) -> Vec<Error> {
    loader.told.close();
    loader.told.wrong
}

/// The model that the files make; nothing when something in them is wrong, which has been told.
fn project(wanted: &Wanted, loader: &mut Loader) -> Option<Project> {
    let mut environment = wanted.environment.clone();
    let mut more = Environment::new();
    for path in &wanted.environment_files {
        more.extend(loader.variables(path, &wanted.environment));
    }
    for (name, value) in more {
        environment.entry(name).or_insert(value);
    }
    let files = &wanted.files;
    let docs: Vec<Map> =
        files.iter().flat_map(|path| loader.documents(path, &wanted.directory)).collect();
    let name = name(wanted, &docs, &environment, loader);
    if loader.told.has_failed() {
        return None;
    }
    environment.entry("COMPOSE_PROJECT_NAME".to_owned()).or_insert_with(|| name.clone());
    let mut model = loader.model(docs, &environment, files);
    let mut section = |name: &str| section(&mut model, name, loader);
    let (services, networks, volumes) =
        (section("services"), section("networks"), section("volumes"));
    rest(&model, loader);
    if services.is_empty() && !loader.told.has_failed() {
        // Said by mistake, it would take away all that is there.
        loader.told.wrong(0, &[], "there are no services");
    }
    (!loader.told.has_failed()).then_some(Project {
        name,
        services,
        networks,
        volumes,
        environment,
    })
}

/// The project's name. Its files' is the last one that any of them gives.
fn name(wanted: &Wanted, docs: &[Map], around: &Environment, loader: &mut Loader) -> String {
    if let Some(name) = &wanted.project {
        return name.clone();
    }
    let given = docs.iter().rev().find_map(|doc| doc.get("name").filter(|node| !node.is_null()));
    let Some(node) = given else { return named_after(&wanted.directory) };
    let filled = match node.as_text() {
        Some(text) => loader.filled(text, around),
        None => Err(format!("it is {}", node.sort())),
    };
    match filled {
        Ok(name) if is_project(&name) => name,
        Ok(name) if name.is_empty() => named_after(&wanted.directory),
        Ok(name) => {
            loader.told.wrong(node.file, &[&"name"], format_args!("\"{name}\" is not {PROJECT}"));
            name
        }
        Err(why) => {
            loader.told.wrong(node.file, &[&"name"], why);
            String::new()
        }
    }
}

/// What the name of a project is.
pub const PROJECT: &str = "a project's name (a-z, 0-9, _ and -, beginning with a letter or digit)";

/// Whether a text can be a project's name.
pub fn is_project(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    text.bytes().all(word) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// A project's name made of a directory's.
fn named_after(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = name.chars().filter(word).collect();
    match name.trim_start_matches(['_', '-']) {
        "" => "compose".to_owned(),
        name => name.to_owned(),
    }
}

/// Takes out one of the sections that are mappings.
fn section(model: &mut Map, name: &str, loader: &mut Loader) -> Map {
    let Some(node) = model.shift_remove(name) else { return Map::new() };
    let (file, sort) = (node.file, node.sort());
    match node.value {
        Value::Map(map) => map,
        Value::Null => Map::new(),
        _ => {
            loader.told.wrong(file, &[&name], format_args!("it is {sort} and not a mapping"));
            Map::new()
        }
    }
}

/// What else stands at the top of the files. Secrets and the like are told where they are used.
fn rest(model: &Map, loader: &mut Loader) {
    for (name, node) in model {
        match name.as_str() {
            "name" | "version" | "secrets" | "configs" | "models" => (),
            name if name.starts_with("x-") => (),
            name => loader.told.wrong(node.file, &[&name], "there is no such field"),
        }
    }
}

/// The containers of the services that are wanted; nothing when it makes no sense to ask, which has
/// been told.
fn containers(wanted: &Wanted, project: &Project, loader: &mut Loader) -> Option<Made> {
    let services = &project.services;
    for name in wanted.services.iter().filter(|name| !services.contains_key(*name)) {
        let what = format!("there is no service \"{name}\"");
        loader.told.failed(Error::new(Kind::Usage, what));
    }
    let active = order::active(services, &wanted.profiles, &wanted.services);
    let named =
        |name: &&str| wanted.services.is_empty() || wanted.services.iter().any(|n| n == name);
    let first = services.keys().map(String::as_str).filter(named);
    let order = match order::order(services, &active, first) {
        Ok(order) => order,
        Err(circle) => {
            let what = format!("services depend on each other: {}", circle.join(" → "));
            loader.told.failed(Error::new(Kind::BadInput, what));
            return None;
        }
    };
    if loader.told.has_failed() {
        return None;
    }
    let maker = service::Maker::new(project, &active, wanted.owner.as_ref());
    let containers: Vec<Container> =
        order.iter().filter_map(|name| maker.container(name, loader)).collect();
    maker.surroundings(&order, loader);
    let whole = wanted.services.is_empty() && containers.len() == order.len();
    Some(Made { containers, whole, ..Made::default() })
}
