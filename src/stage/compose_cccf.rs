//! compose-cccf: compose files → the containers of their services.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Kind, Result};
use crate::logic::compose::{self, Environment, Made, Wanted, clean};
use crate::pipe::{Output, Report};
use crate::record::{Checkpoint, Of, Owner, Record};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The compose files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The directory of their relative paths; absent means that of the first file, or the working
    /// directory where that is a stream.
    pub directory: Option<PathBuf>,
    /// The project's name, where it is given.
    pub project: Option<String>,
    /// Variables by name; one without a value has that of this process.
    pub environment: Vec<(String, Option<String>)>,
    /// Whether all variables of this process count.
    pub inherit: bool,
    /// Files of variables.
    pub environment_files: Vec<PathBuf>,
    /// Profiles that count.
    pub profiles: Vec<String>,
    /// Services that are wanted; empty means all.
    pub services: Vec<String>,
    /// Whose the containers are.
    pub owner: Option<Owner>,
    /// Whether to write nothing when anything of the files is lost.
    pub strict: bool,
}

/// Writes the containers and a checkpoint.
///
/// # Errors
/// When the files make no sense as a whole; and with `strict`, when anything in them has no
/// counterpart or makes no sense. All of it has been told then.
pub fn run(mut output: Output, report: &Report, options: &Options) -> Result<()> {
    let wanted = options.wanted()?;
    let made = compose::read(&wanted, &mut |path| text(path, &wanted));
    let made = made.map_err(|wrong| last(wrong, report))?;
    let Made { containers, whole, lost, needed, wrong } = made;
    if options.strict && !(lost.is_empty() && wrong.is_empty()) {
        lost.iter().chain(&wrong).for_each(|why| report.note(why));
        let what = "not all of the files can be said in containers";
        return Err(Error::new(Kind::BadInput, what).remedy("nothing is written"));
    }
    lost.iter().chain(&needed).for_each(|why| report.note(why));
    wrong.iter().for_each(|why| report.failed(why));
    let count = containers.len() as u64;
    for container in containers {
        report.used();
        output.write(&Record::Container(Box::new(container)))?;
    }
    let checkpoint = Checkpoint {
        partial: !whole,
        owner: options.owner.clone(),
        ..Checkpoint::new(Of::Container, count)
    };
    output.write(&Record::Checkpoint(checkpoint))?;
    output.settle()
}

/// Tells all but the last of what is wrong.
fn last(mut wrong: Vec<Error>, report: &Report) -> Error {
    let last = wrong.pop().unwrap_or_else(|| Error::new(Kind::Bug, "nothing is said"));
    wrong.iter().for_each(|why| report.note(why));
    last
}

impl Options {
    fn wanted(&self) -> Result<Wanted> {
        let absolute = |path: &Path| {
            let path = std::path::absolute(path).doing("find the working directory")?;
            Ok(clean(&path))
        };
        let is_stdin = |path: &PathBuf| path == Path::new("-");
        let named = self.files.iter().chain(&self.environment_files);
        if named.filter(|path| is_stdin(path)).count() > 1 {
            return Err(Error::new(Kind::Usage, "standard input is read only once"));
        }
        let directory = match (&self.directory, self.files.first()) {
            (Some(directory), _) => absolute(directory)?,
            (None, Some(first)) if !is_stdin(first) && !is_pipe(first) => {
                absolute(first)?.parent().unwrap_or(Path::new("/")).to_owned()
            }
            _ => absolute(Path::new("."))?,
        };
        Ok(Wanted {
            files: self.files.clone(),
            directory,
            project: self.project.clone(),
            environment: self.variables()?,
            environment_files: self.environment_files.clone(),
            profiles: self.profiles.clone(),
            services: self.services.clone(),
            owner: self.owner.clone(),
        })
    }

    /// The variables of the command line, and of this process as far as they are asked for.
    fn variables(&self) -> Result<Environment> {
        let mut all = Environment::new();
        if self.inherit {
            let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            };
            all.extend(std::env::vars_os().filter_map(text));
        }
        for (name, value) in &self.environment {
            let value = match value {
                Some(value) => Some(value.clone()),
                None => std::env::var(name).ok(),
            };
            let Some(value) = value else {
                let what = format!("--env {name}");
                return Err(Error::new(Kind::Usage, what).why("this process has no such variable"));
            };
            all.insert(name.clone(), value);
        }
        Ok(all)
    }
}

/// Whether it is a stream that is in no directory, though its path may look so.
fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// The text of a file, or of standard input. One of the command line that is not there was named
/// by mistake.
fn text(path: &Path, wanted: &Wanted) -> Result<String> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)),
    };
    let named = wanted.files.iter().chain(&wanted.environment_files).any(|file| file == path);
    read.doing("read").map_err(|why| match why.kind() {
        Kind::NotFound if named => why.into_usage(),
        _ => why,
    })?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new(Kind::BadInput, format_args!("it is longer than {LONGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(Kind::BadInput, "it is not UTF-8"))
}
