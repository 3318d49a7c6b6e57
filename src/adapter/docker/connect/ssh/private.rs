//! A directory that only this user may enter, for a socket.

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// What the directories' names begin with.
const NAME: &str = "leasepipe-ssh-";

/// The socket in it.
const SOCKET: &str = "engine";

/// The longest path that a socket can have, with the 0 behind it.
const LONGEST: usize = 108;

/// A directory that nobody holds may be one that is just being made, until it is so old.
const OLD: Duration = Duration::from_secs(60);

/// Goes with its value. One that a killed process left behind goes when the next one is made.
pub(super) struct Private {
    path: PathBuf,
    socket: String,
    /// Holds a lock, by which others see that somebody has it.
    _held: File,
}

impl Private {
    /// Makes one in the user's runtime directory, or where temporary files are.
    pub(super) fn make() -> Result<Private> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let own = runtime.filter(|path| path.is_absolute() && fits(path) && path.is_dir());
        let temporary = Some(std::env::temp_dir()).filter(|path| fits(path));
        let base = own.or(temporary).unwrap_or_else(|| PathBuf::from("/tmp"));
        sweep(&base);
        Private::make_in(&base)
    }

    fn make_in(base: &Path) -> Result<Private> {
        let path = base.join(format!("{NAME}{:016x}", RandomState::new().build_hasher().finish()));
        let failed = |why| Error::io(format_args!("make {}", path.display()), &why);
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let held = File::open(&path).map_err(failed)?;
        held.try_lock().map_err(|why| failed(why.into()))?;
        let socket = path.join(SOCKET).display().to_string();
        Ok(Private { path, socket, _held: held })
    }

    /// Where the socket is to be.
    pub(super) fn socket(&self) -> &str {
        &self.socket
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Whether a socket there has a path that is short enough, and that ssh takes as it is.
fn fits(base: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    base.to_str().is_some_and(|base| {
        base.chars().all(plain) && base.len() + NAME.len() + 16 + SOCKET.len() + 3 <= LONGEST
    })
}

/// Removes those that nobody holds any more.
fn sweep(base: &Path) {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME)) {
        // Not what a link points to.
        let Ok(about) = entry.metadata() else { continue };
        let is_ours = about.is_dir() && about.uid() == nix::unistd::geteuid().as_raw();
        let is_old = about.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD));
        if is_ours
            && is_old
            && let Ok(held) = File::open(entry.path())
            && held.try_lock().is_ok()
        {
            remove(&entry.path());
        }
    }
}

/// Nothing but the socket and the empty directory.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path.join(SOCKET));
    let _ = std::fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    #[test]
    fn what_nobody_holds_any_more_is_swept_away() {
        let base = std::env::temp_dir().join(format!("lp-private-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        std::fs::create_dir(&base).unwrap();
        let held = Private::make_in(&base).unwrap();
        assert_eq!(held.path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let left = base.join(format!("{NAME}left"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join(SOCKET), "").unwrap();
        sweep(&base);
        assert!(left.exists(), "it may be just being made");
        let then = SystemTime::now() - 2 * OLD;
        for path in [&left, &held.path] {
            File::open(path).unwrap().set_modified(then).unwrap();
        }
        sweep(&base);
        assert!(!left.exists() && held.path.exists());
        let path = held.path.clone();
        std::fs::write(held.socket(), "").unwrap();
        drop(held);
        assert!(!path.exists());
        std::fs::remove_dir(&base).unwrap();
    }

    #[test]
    fn a_place_whose_sockets_could_not_be_named_is_not_taken() {
        assert!(fits(Path::new("/run/user/1000")));
        assert!(!fits(Path::new("/tmp/a:b")) && !fits(Path::new("/tmp/%h")));
        assert!(!fits(Path::new(&format!("/{}", "x".repeat(70)))));
    }
}
