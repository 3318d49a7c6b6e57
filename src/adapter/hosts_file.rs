//! A file of host records that several people add to.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Result, Within};
use crate::record::Host;

/// The file, while nobody else changes it in this way.
pub struct HostsFile {
    path: PathBuf,
    /// The directory, whose lock is held.
    directory: File,
}

impl HostsFile {
    /// Waits until nobody else is at the files of its directory. The file need not be there.
    pub fn lock(path: &Path) -> Result<HostsFile> {
        // What a link leads to is replaced, not the link.
        let path = match fs::canonicalize(path) {
            Err(why) if why.kind() == ErrorKind::NotFound => path.to_owned(),
            found => found.doing("find it").within(path.display())?,
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).to_owned();
        let directory = File::open(&parent).doing("open its directory").within(path.display())?;
        directory.lock().doing("lock its directory").within(path.display())?;
        Ok(HostsFile { path, directory })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Puts these hosts in place of what is there, in one step; one record a line.
    pub fn write(&self, hosts: &[Host]) -> Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let unfinished = self.path.with_file_name(name);
        let written = self.put(&unfinished, hosts);
        if written.is_err() {
            // Told is why it could not be written.
            let _ = fs::remove_file(&unfinished);
        }
        written.doing("write it").within(self.path.display())
    }

    fn put(&self, unfinished: &Path, hosts: &[Host]) -> std::io::Result<()> {
        let mut text = String::new();
        for host in hosts {
            text.push_str(&serde_json::to_string(host)?);
            text.push('\n');
        }
        let mode = fs::metadata(&self.path).map_or(0o644, |about| about.permissions().mode());
        let mut file = File::options().write(true).create_new(true).open(unfinished)?;
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(unfinished, &self.path)?;
        self.directory.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_rights() {
        let directory = std::env::temp_dir().join(format!("lp-hosts-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let path = directory.join("hosts.json");
        let hosts = [Host::new("a", "unix:///a"), Host::new("b", "unix:///b")];
        let file = HostsFile::lock(&path).unwrap();
        assert!(!file.exists());
        file.write(&hosts[..1]).unwrap();
        drop(file);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let link = directory.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        HostsFile::lock(&link).unwrap().write(&hosts).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "nothing unfinished is left");
        fs::remove_dir_all(&directory).unwrap();
    }
}
