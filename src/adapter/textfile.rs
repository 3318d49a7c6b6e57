//! A file that others read at any time, such as node_exporter's textfile collector: there is always a
//! whole one.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Doing, Error, Kind, Result, Within};

/// A file that is only ever replaced as a whole.
#[derive(Debug)]
pub struct Textfile {
    path: PathBuf,
    /// Beside it, under a name that no collector looks at.
    unfinished: PathBuf,
}

impl Textfile {
    /// The file at that path, which need not be there yet.
    ///
    /// # Errors
    /// `Usage` for a path that names no file.
    pub fn at(path: &Path) -> Result<Textfile> {
        let name = path.file_name().ok_or_else(|| {
            let what = format!("write {}", path.display());
            Error::new(Kind::Usage, what).why("it names no file")
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.unfinished", std::process::id()));
        Ok(Textfile { path: path.to_owned(), unfinished: path.with_file_name(hidden) })
    }

    /// Puts this text in the place of what the file held; everybody may read it.
    pub fn put(&self, text: &str) -> Result<()> {
        let written = self.write(text).and_then(|()| fs::rename(&self.unfinished, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&self.unfinished);
        }
        written.doing("write").within(self.path.display())
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        match fs::remove_file(&self.unfinished) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
            _ => (),
        }
        // Made anew, so that it is no link to anywhere else.
        let mut file =
            File::options().write(true).create_new(true).mode(0o644).open(&self.unfinished)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = std::env::temp_dir().join(format!("lp-textfile-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("x.prom");
        let file = Textfile::at(&path).unwrap();
        for text in ["a 1\n", "b 2\n"] {
            file.put(text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        // A directory is in its place: nothing is left of the try.
        let taken = dir.join("taken");
        fs::create_dir_all(taken.join("full")).unwrap();
        let error = Textfile::at(&taken).unwrap().put("c 3\n").unwrap_err();
        assert!(error.to_string().contains("taken: write: "), "{error}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        let missing = Textfile::at(&dir.join("none/x.prom")).unwrap().put("").unwrap_err();
        assert_eq!(missing.kind(), Kind::NotFound);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(Textfile::at(Path::new("/")).unwrap_err().kind(), Kind::Usage);
    }
}
