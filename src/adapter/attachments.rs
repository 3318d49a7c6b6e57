//! What unionize remembers of each interface that it made: one small file each.
//!
//! A file is there from before its link is made until after that is gone and its lease given
//! back, so whatever a killed run leaves behind can be found and finished. A file is replaced as a
//! whole: what is read is the old or the new, never a part.
//!
//! A disk takes longer to write a file than the kernel to make a link, so nobody waits for it: a file
//! is there for every process at once, and on the disk moments later. Where the power goes in between
//! an empty file may be left, which is taken for none. With the power all links went, too; what is lost
//! is that this one was there.

mod disk;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::error::{Doing, Error, Kind, Result};
use crate::record::{
    Address, Addressing, AllowFrom, Container, Duid, Fixed, Hostname, Ifname, Key, LinkNetwork,
    Mac, Prefix, Route,
};
use crate::wire;
use disk::{Disk, sync};

/// The form of the files that this version reads and writes.
pub const VERSION: u32 = 2;

wire! {
    /// One interface of one container.
    pub struct Attachment {
        /// The form of the file: [`VERSION`].
        req version: u32,
        /// The container: who it is, not how it was declared.
        req container: Container,
        /// The interface's name inside the container.
        req interface: Ifname,
        /// The name of its other end on the host, or what would be; names the file.
        req link: Ifname,
        /// What it is, where it is plugged in and where its addresses come from, with nothing left
        /// to a command line: it can be made anew from here.
        req network: LinkNetwork,
        /// The hardware address inside.
        req mac: Mac,
        /// What a DHCPv6 server has leased to it; absent before and without.
        opt lease: Leased,
        /// Whether a DHCPv6 server is being asked: then one may have leased what is not written
        /// here, because the run was killed before it could be.
        many asking: bool,
        /// What a DHCPv4 server has leased to it; absent before and without.
        opt lease4: Leased4,
        /// Whether the name servers that are learnt go into the container's resolv.conf.
        many dns: bool,
        /// Whether DHCPv6 servers are asked for offers first.
        many no_rapid_commit: bool,
        /// Who may reach the container through it; absent means everybody.
        opt allow_from: AllowFrom,
        /// How the host's device was that is lent to the container; absent for what was made.
        opt lent: Lent,
    }
}

wire! {
    /// A device of the host as it was before it was lent.
    pub struct Lent {
        /// Its name.
        req name: Ifname,
        /// Its hardware address.
        opt mac: Mac,
        /// Its largest packet in bytes.
        opt mtu: u32,
        /// Whether it was switched on.
        many up: bool,
        /// The hardware address that it was built with.
        opt permanent: Mac,
        /// Where it is plugged into the machine, as `BUS/NAME`.
        opt slot: String,
    }
}

wire! {
    /// A DHCPv4 lease.
    pub struct Leased4 {
        /// The server's address.
        req server: Ipv4Addr,
        /// The address, with the length of the prefix that is on the link.
        req address: Address,
        /// The routes that the server told of, the default route with them.
        many routes: Vec<Route>,
        /// The name servers that it told of, in order.
        many dns_servers: Vec<IpAddr>,
        /// The domains that it would have short names looked up in, in order.
        many search: Vec<Hostname>,
        /// When the server answered.
        req obtained_at: Timestamp,
        /// When to ask that server for more time; absent means never.
        opt renew_at: Timestamp,
        /// When to ask any server for more time; absent means never.
        opt rebind_at: Timestamp,
    }
}

wire! {
    /// A DHCPv6 lease.
    pub struct Leased {
        /// The DUID that the client shows.
        req duid: Duid,
        /// The number of its identity association.
        req iaid: u32,
        /// The server's DUID.
        req server: Duid,
        /// The addresses.
        many addresses: Vec<Address>,
        /// The prefixes.
        many prefixes: Vec<Prefix>,
        /// The name servers that the server told of last, in its order.
        many dns_servers: Vec<IpAddr>,
        /// The domains to search that it told of last, in its order.
        many search: Vec<Hostname>,
        /// When the server answered.
        req obtained_at: Timestamp,
        /// When to ask that server for more time; absent means never.
        opt renew_at: Timestamp,
        /// When to ask any server for more time; absent means never.
        opt rebind_at: Timestamp,
    }
}

/// The directory with the files.
#[derive(Debug)]
pub struct Attachments {
    dir: PathBuf,
    /// Where files wait for the disk; absent when their writers do.
    disk: Option<Disk>,
}

/// Nobody else works on an attachment while this is held.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl Attachments {
    /// The directory at `dir`, made if it is not there and readable for nobody else.
    pub fn open(dir: &Path) -> Result<Attachments> {
        let doing = || format!("make directory {}", dir.display());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).doing(doing());
        made.map_err(|why| match why.kind() {
            Kind::NotPermitted => why.remedy("run as root, or name another --state"),
            _ => why,
        })?;
        Ok(Attachments { dir: dir.to_owned(), disk: Some(Disk::start(dir)?) })
    }

    /// The directory at `dir`, to be read if it is there.
    pub fn at(dir: &Path) -> Attachments {
        Attachments { dir: dir.to_owned(), disk: None }
    }

    /// Waits until no other process works on the attachment `link`, and keeps others off it.
    ///
    /// It is a lock on one byte of one file, whose place is a hash of the name: there is nothing
    /// to clean up, and the lock ends with the process.
    pub fn lock(&self, link: &Ifname) -> Result<Held> {
        let (file, byte) = self.byte(link)?;
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&byte)) {
                Ok(_) => return Ok(Held(file)),
                Err(Errno::EINTR) => (),
                Err(why) => return Err(why).doing(format_args!("lock attachment {link}")),
            }
        }
    }

    /// The same, but does not wait: nothing when somebody works on it.
    pub fn try_lock(&self, link: &Ifname) -> Result<Option<Held>> {
        let (file, byte) = self.byte(link)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)) {
            Ok(_) => Ok(Some(Held(file))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(why) => Err(why).doing(format_args!("lock attachment {link}")),
        }
    }

    /// The file with the locks, and the attachment's byte of it.
    fn byte(&self, link: &Ifname) -> Result<(File, libc::flock)> {
        let path = self.dir.join(".lock");
        let mut open = OpenOptions::new();
        open.create(true).truncate(false).write(true).mode(0o600);
        let file = open.open(&path).doing(format_args!("lock {}", path.display()))?;
        let place = Key::derive("lock", &[link.as_str().as_bytes()]).mac().as_bytes();
        let place = place.iter().fold(0, |place: i64, byte| place << 8 | i64::from(*byte));
        let byte = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: place,
            l_len: 1,
            l_pid: 0,
        };
        Ok((file, byte))
    }

    /// The attachment whose host end is called `link`.
    ///
    /// # Errors
    /// `BadInput` when the file is none of this version's; it is left as it is.
    pub fn get(&self, link: &Ifname) -> Result<Option<Attachment>> {
        let path = self.path(link);
        match fs::read(&path) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => parse(&path, link, &bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).doing(format_args!("read {}", path.display())),
        }
    }

    /// Whether there is a file of it, whatever is in that.
    pub fn has(&self, link: &Ifname) -> bool {
        self.path(link).exists()
    }

    /// Writes an attachment in place of what was there of it. A process that is killed, or another,
    /// finds it when this returns; it is on the disk soon after, and when [`Attachments::settle`]
    /// has returned.
    pub fn put(&self, attachment: &Attachment) -> Result<()> {
        let path = self.path(&attachment.link);
        let doing = || format!("write {}", path.display());
        let mut text =
            serde_json::to_vec(attachment).map_err(|e| Error::new(Kind::Bug, doing()).why(e))?;
        text.push(b'\n');
        let file = match self.first(&path, &text) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                self.replace(&path, attachment, &text).doing(doing())?
            }
            file => file.doing(doing())?,
        };
        match &self.disk {
            Some(disk) => disk.bring(path, file),
            None => sync(&path, &file),
        }
    }

    /// Writes a file that is not there yet.
    fn first(&self, path: &Path, text: &[u8]) -> io::Result<File> {
        let spare = self.disk.as_ref().filter(|_| !path.exists()).and_then(Disk::spare);
        let named = spare.map_or(Ok(None), |spare| spare.name(path, text))?;
        named.map_or_else(|| create(path, text), Ok)
    }

    /// Writes a file whole beside the one that is there, and puts it in its place.
    fn replace(&self, path: &Path, attachment: &Attachment, text: &[u8]) -> io::Result<File> {
        let new = self.dir.join(format!(".{}.new", attachment.link));
        let mut open = OpenOptions::new();
        let mut file = open.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        fs::rename(&new, path)?;
        Ok(file)
    }

    /// Waits until all that was written is on the disk; from then on writers wait for it themselves.
    ///
    /// # Errors
    /// The first that the disk had.
    pub fn settle(&mut self) -> Result<()> {
        self.disk.take().map_or(Ok(()), Disk::settle)
    }

    /// Forgets an attachment.
    pub fn remove(&self, link: &Ifname) -> Result<()> {
        let path = self.path(link);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).doing(format_args!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Every attachment, and what is wrong with the files that are none.
    pub fn list(&self) -> Result<(Vec<Attachment>, Vec<Error>)> {
        let doing = || format!("list {}", self.dir.display());
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.dir) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok((found, wrong)),
            entries => entries.doing(doing())?,
        };
        for entry in entries {
            let name = entry.doing(doing())?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let link = name.strip_suffix(".json").and_then(|link| link.parse::<Ifname>().ok());
            match link.map(|link| self.get(&link)) {
                Some(Ok(Some(attachment))) => found.push(attachment),
                Some(Ok(None)) => (),
                Some(Err(why)) => wrong.push(why),
                None => {
                    let path = self.dir.join(&*name);
                    wrong.push(foreign(&path, "not named like an attachment"));
                }
            }
        }
        found.sort_by(|a, b| a.link.cmp(&b.link));
        Ok((found, wrong))
    }

    fn path(&self, link: &Ifname) -> PathBuf {
        self.dir.join(format!("{link}.json"))
    }
}

/// Makes a file that is not there yet. Whoever finds it empty finds nothing, as before; and a part of
/// so short a text is never there but when the disk is full.
fn create(path: &Path, text: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })?;
    Ok(file)
}

/// What says whether the rest can be read.
#[derive(serde::Deserialize)]
struct Form {
    version: u32,
}

impl Attachment {
    /// The addresses that the operator gave.
    pub fn fixed(&self) -> impl Iterator<Item = &Fixed> {
        self.network.addresses.iter().filter_map(|source| match source {
            Addressing::Fixed(fixed) => Some(fixed),
            _ => None,
        })
    }
}

fn parse(path: &Path, link: &Ifname, bytes: &[u8]) -> Result<Attachment> {
    let form: Form =
        serde_json::from_slice(bytes).map_err(|why| foreign(path, &why.to_string()))?;
    if form.version != VERSION {
        let why = format!("its version is {} and not {VERSION}", form.version);
        return Err(foreign(path, &why));
    }
    let attachment: Attachment =
        serde_json::from_slice(bytes).map_err(|why| foreign(path, &why.to_string()))?;
    if attachment.link != *link {
        return Err(foreign(path, &format!("it is about {}", attachment.link)));
    }
    Ok(attachment)
}

fn foreign(path: &Path, why: &str) -> Error {
    Error::new(Kind::BadInput, format!("read {}", path.display())).why(why).remedy("left as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Place(Attachments);

    impl Place {
        fn new(name: &str) -> Place {
            let dir = std::env::temp_dir().join(format!("lpn-{name}-{}", std::process::id()));
            Place(Attachments::open(&dir).unwrap())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.dir);
        }
    }

    fn sample(link: &str) -> Attachment {
        let text = format!(
            r#"{{"version":2,"container":{{"id":"web","image":"busybox"}},"interface":"eth0",
            "link":"{link}","network":{{"bridge":"br1"}},"mac":"02:00:00:00:00:01"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_put_is_got_until_it_is_removed() {
        let place = Place::new("put");
        let attachment = sample("lpaaaaaaaaaaaaa");
        let link = attachment.link.clone();
        assert_eq!(place.0.get(&link).unwrap(), None);
        place.0.put(&attachment).unwrap();
        assert_eq!(place.0.get(&link).unwrap().as_ref(), Some(&attachment));
        let (found, wrong) = place.0.list().unwrap();
        assert_eq!((found, wrong), (vec![attachment], vec![]));
        place.0.remove(&link).unwrap();
        place.0.remove(&link).unwrap();
        assert_eq!(place.0.get(&link).unwrap(), None);
    }

    #[test]
    fn what_loss_of_power_has_emptied_is_none() {
        let mut place = Place::new("power");
        let attachment = sample("lpg");
        fs::write(place.0.dir.join("lpg.json"), "").unwrap();
        assert_eq!(place.0.get(&attachment.link).unwrap(), None);
        assert_eq!(place.0.list().unwrap(), (vec![], vec![]));
        for _ in 0..2 * disk::WAITING {
            place.0.put(&attachment).unwrap();
        }
        place.0.settle().unwrap();
        place.0.put(&attachment).unwrap();
        assert_eq!(place.0.list().unwrap(), (vec![attachment], vec![]));
    }

    /// Waits for the file that is made ahead of the next.
    fn spare(place: &Place) -> disk::Nameless {
        let disk = place.0.disk.as_ref().unwrap();
        let mut moments =
            (0..2000).inspect(|_| std::thread::sleep(std::time::Duration::from_millis(1)));
        moments.find_map(|_| disk.spare()).unwrap()
    }

    #[test]
    fn a_file_that_was_ready_gets_its_name_with_all_that_is_in_it() {
        let mut place = Place::new("ready");
        if disk::Nameless::make(&place.0.dir).is_err() {
            return; // The filesystem has no files without a name.
        }
        place.0.put(&sample("lph")).unwrap();
        let ready = spare(&place);
        let path = place.0.path(&"lpi".parse().unwrap());
        assert_eq!(fs::read_dir(&place.0.dir).unwrap().count(), 1);
        let text = serde_json::to_vec(&sample("lpi")).unwrap();
        ready.name(&path, &text).unwrap().unwrap();
        assert_eq!(place.0.list().unwrap(), (vec![sample("lph"), sample("lpi")], vec![]));
        // A name that is taken stays, and its file is replaced as any other is.
        place.0.put(&sample("lpj")).unwrap();
        let why = spare(&place).name(&path, b"other").unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::AlreadyExists);
        let newer = Attachment { asking: true, ..sample("lpi") };
        place.0.put(&newer).unwrap();
        place.0.settle().unwrap();
        assert_eq!(place.0.get(&newer.link).unwrap(), Some(newer));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn foreign_files_are_told_and_left_alone() {
        let place = Place::new("foreign");
        let dir = &place.0.dir;
        fs::write(dir.join("lpbbbbbbbbbbbbb.json"), "{\"version\":1}").unwrap();
        fs::write(dir.join("lpccccccccccccc.json"), "{").unwrap();
        fs::write(dir.join("notes.txt"), "x").unwrap();
        let newer = serde_json::to_string(&Attachment { version: 3, ..sample("lpd") }).unwrap();
        fs::write(dir.join("lpd.json"), newer).unwrap();
        let renamed = serde_json::to_string(&sample("lpe")).unwrap();
        fs::write(dir.join("lpf.json"), renamed).unwrap();
        let (found, wrong) = place.0.list().unwrap();
        assert_eq!((found.len(), wrong.len()), (0, 5), "{wrong:?}");
        assert_eq!(fs::read_dir(dir).unwrap().count(), 5);
    }

    #[test]
    fn a_lock_keeps_others_off_one_attachment_alone() {
        let place = Place::new("lock");
        let (a, b): (Ifname, Ifname) = ("lpa".parse().unwrap(), "lpb".parse().unwrap());
        let held = place.0.lock(&a).unwrap();
        let _other = place.0.lock(&b).unwrap();
        assert!(place.0.try_lock(&a).unwrap().is_none());
        let (told, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _held = place.0.lock(&a).unwrap();
                told.send(()).unwrap();
            });
            let wait = std::time::Duration::from_millis(100);
            assert!(heard.recv_timeout(wait).is_err());
            drop(held);
            heard.recv().unwrap();
        });
    }
}
