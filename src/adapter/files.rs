//! How many files a process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows this process as many open files as it may allow itself. A connection is a file, and the
/// usual limit is low for the sake of programs that count files with select(2).
pub fn allow_many() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // What does not fit then fails where it is opened.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
