//! Who does what: the thread that reads, or another one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Work, serve_from};
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Reader, Report};
use crate::record::Change;

const PATIENCE: Duration = Duration::from_secs(30);

/// Containers with names in `brief` are so; `long` is done when `brief` has been, and `brief-bad`
/// fails.
#[derive(Default)]
struct Hands {
    /// Which thread has worked on what.
    seen: Mutex<BTreeMap<String, ThreadId>>,
    more: Condvar,
}

impl Work for Hands {
    fn change(&self, change: &mut Change) -> Result<()> {
        let id = change.container.id.to_string();
        let mut seen = self.seen.lock().unwrap();
        if id == "long" {
            let wait = self.more.wait_timeout_while(seen, PATIENCE, |s| !s.contains_key("brief"));
            seen = wait.unwrap().0;
            assert!(seen.contains_key("brief"), "it is not done meanwhile");
        }
        seen.insert(id.clone(), thread::current().id());
        self.more.notify_all();
        if id == "brief-bad" { Err(Error::new(Kind::Refused, "do it")) } else { Ok(()) }
    }

    fn is_brief(&self, change: &Change) -> bool {
        change.container.id.to_string().starts_with("brief")
    }
}

/// Serves changes of these containers; which of them this thread has worked on, and what was written.
fn served(ids: &[&str]) -> (Vec<bool>, Vec<String>) {
    let change = |id: &&str| {
        format!(
            "{{\"kind\":\"change\",\"v\":1,\"action\":\"add\",\"container\":\
             {{\"kind\":\"container\",\"v\":1,\"id\":\"{id}\",\"image\":\"i\"}}}}\n"
        )
    };
    let input: String = ids.iter().map(change).collect();
    let mut file = File::from(memfd_create(c"written", MFdFlags::MFD_CLOEXEC).unwrap());
    let (output, hands) = (Output::to(file.try_clone().unwrap()), Hands::default());
    let (reader, jobs) = (Reader::new(input.as_bytes(), "input"), NonZeroUsize::new(4).unwrap());
    serve_from(reader, output, &Report::new("test"), jobs, &hands).unwrap();
    let mut written = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut written).unwrap();
    let seen = hands.seen.into_inner().unwrap();
    let here = ids.iter().map(|id| seen[*id] == thread::current().id()).collect();
    (here, written.lines().map(str::to_owned).collect())
}

#[test]
fn what_is_brief_is_done_by_the_thread_that_reads() {
    let (here, written) = served(&["brief", "brief-bad", "brief-too"]);
    assert_eq!(here, [true; 3]);
    for (line, (id, status)) in
        written.iter().zip([("brief", "done"), ("brief-bad", "failed"), ("brief-too", "done")])
    {
        assert!(line.contains(&format!("\"id\":\"{id}\"")), "{line}");
        assert!(line.contains(&format!("\"status\":\"{status}\"")), "{line}");
    }
    assert_eq!(written.len(), 3);
}

#[test]
fn the_thread_that_reads_goes_on_reading_while_others_work() {
    let (here, written) = served(&["long", "brief", "other"]);
    assert_eq!(here, [false; 3]);
    assert_eq!(written.len(), 3);
}

#[test]
fn what_takes_longer_is_not_done_by_the_thread_that_reads() {
    assert_eq!(served(&["other"]).0, [false]);
}
