//! What is told of compose files: what has no counterpart, and what is wrong.

use std::fmt::Display;
use std::path::PathBuf;

use crate::error::{Error, Kind};

/// The most that is kept of either sort.
const MOST: usize = 200;

/// A file that is read, by the number that its nodes have.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// What it is called, for people.
    pub name: String,
    /// The directory that its relative paths are of.
    pub dir: PathBuf,
}

/// Gathers what is told.
#[derive(Debug, Default)]
pub struct Told {
    /// The files, by their numbers.
    pub files: Vec<File>,
    /// What is lost, for which a message is enough.
    pub lost: Vec<Error>,
    /// What the containers need that nobody in the suite makes.
    pub needed: Vec<Error>,
    /// What is wrong.
    pub wrong: Vec<Error>,
    /// How many more there were of each.
    more: [usize; 3],
}

impl Told {
    /// Something of a file that goes no further.
    pub fn lost(&mut self, file: u32, at: &[&dyn Display], why: Error) {
        let why = self.placed(file, at, why);
        self.more[0] += keep(&mut self.lost, why);
    }

    /// Something that has to be there.
    pub fn needed(&mut self, file: u32, at: &[&dyn Display], why: Error) {
        let why = self.placed(file, at, why);
        self.more[1] += keep(&mut self.needed, why);
    }

    /// Something of a file that is wrong.
    pub fn wrong(&mut self, file: u32, at: &[&dyn Display], why: impl Display) {
        let why = self.placed(file, at, Error::new(Kind::BadInput, why));
        self.failed(why);
    }

    /// Something that is wrong, told from where it is.
    pub fn failed(&mut self, why: Error) {
        self.more[2] += keep(&mut self.wrong, why);
    }

    fn placed(&self, file: u32, at: &[&dyn Display], why: Error) -> Error {
        let why = at.iter().rev().fold(why, |why, place| why.at(place));
        match self.files.get(file as usize) {
            Some(file) => why.at(&file.name),
            None => why,
        }
    }

    /// Ends the gathering: how much is not in the lists is said at their ends.
    pub fn close(&mut self) {
        let lists = [&mut self.lost, &mut self.needed, &mut self.wrong];
        for (list, more) in lists.into_iter().zip(&mut self.more) {
            if *more > 0 {
                list.push(Error::new(Kind::BadInput, format_args!("{more} more like these")));
                *more = 0;
            }
        }
    }
}

/// Keeps an error if there is room; otherwise 1.
fn keep(list: &mut Vec<Error>, why: Error) -> usize {
    if list.len() < MOST {
        list.push(why);
        0
    } else {
        1
    }
}

impl Told {
    /// Whether anything is wrong.
    pub fn has_failed(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// How much is wrong.
    pub fn failures(&self) -> usize {
        self.wrong.len() + self.more[2]
    }
}
