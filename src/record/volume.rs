//! What of the host, of volumes and of devices a container sees.

use std::fmt;
use std::str::FromStr;

use super::ContainerId;
use super::text::{NotA, as_json_string, checked_text};

/// A mount: `source:target[:options]`, where the source is an absolute path of the host or the
/// name of a volume, or `target` alone for a volume without a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume(Box<str>);

impl Volume {
    /// Whether the text is one.
    pub fn accepts(text: &str) -> bool {
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(target), None, _, _) => absolute(target),
            (Some(source), Some(target), _, None) => {
                absolute(target) && (absolute(source) || ContainerId::accepts(source))
            }
            _ => false,
        }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a path inside the container alone.
    pub fn is_anonymous(&self) -> bool {
        !self.0.contains(':')
    }
}

impl FromStr for Volume {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Volume, NotA> {
        if Volume::accepts(text) {
            Ok(Volume(text.into()))
        } else {
            Err(NotA::new(text, "a volume ([/host/path or name:]/container/path[:options])"))
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_json_string!(Volume);

checked_text!(
    /// The volumes of another container: `container[:ro|rw]`.
    VolumesFrom,
    |text| {
        let name = text.strip_suffix(":ro").or(text.strip_suffix(":rw")).unwrap_or(text);
        name.parse::<ContainerId>().is_ok()
    },
    "a container whose volumes are taken (container[:ro|rw])"
);

checked_text!(
    /// A device of the host: `host[:container[:permissions]]`, absolute paths, and of the letters
    /// `r`, `w`, `m` each at most once.
    Device,
    |text| {
        let absolute = |path: &str| path.starts_with('/') && !path.contains('\0');
        let rwm = |text: &str| {
            let once = |c: char| text.matches(c).count() <= 1;
            !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b)) && "rwm".chars().all(once)
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            [host] => absolute(host),
            [host, inside] => absolute(host) && (absolute(inside) || rwm(inside)),
            [host, inside, may] => absolute(host) && absolute(inside) && rwm(may),
            _ => false,
        }
    },
    "a device (/dev/on-host[:/dev/inside][:rwm])"
);

impl Device {
    /// Its path on the host, its path inside, and what may be done with it.
    pub fn parts(&self) -> (&str, &str, &str) {
        match self.as_str().split(':').collect::<Vec<_>>()[..] {
            [host, inside, may] => (host, inside, may),
            [host, inside] if inside.starts_with('/') => (host, inside, "rwm"),
            [host, may] => (host, host, may),
            _ => (self.as_str(), self.as_str(), "rwm"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_a_place_inside_and_a_source_that_is_no_relative_path() {
        for good in ["/data", "name:/data", "/srv:/data:ro"] {
            assert!(good.parse::<Volume>().is_ok(), "{good}");
        }
        for bad in ["", "data", "../x:/data", "./x:/data", "/a:b", "/a:/b:ro:x"] {
            assert!(bad.parse::<Volume>().is_err(), "{bad:?}");
        }
        for good in ["db", "db:ro", "db:rw"] {
            assert!(good.parse::<VolumesFrom>().is_ok(), "{good}");
        }
        for bad in ["", "db:x", ":ro", "a b"] {
            assert!(bad.parse::<VolumesFrom>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_says_where_it_is_inside_and_what_may_be_done_with_it() {
        let parts = |text: &str| {
            let device: Device = text.parse().unwrap();
            let (a, b, c) = device.parts();
            format!("{a} {b} {c}")
        };
        assert_eq!(parts("/dev/fuse"), "/dev/fuse /dev/fuse rwm");
        assert_eq!(parts("/dev/fuse:r"), "/dev/fuse /dev/fuse r");
        assert_eq!(parts("/dev/sda:/dev/xvda"), "/dev/sda /dev/xvda rwm");
        assert_eq!(parts("/dev/sda:/dev/xvda:mr"), "/dev/sda /dev/xvda mr");
        for bad in ["", "fuse", "/dev/fuse:", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:x", "/a:/b:r:m"] {
            assert!(bad.parse::<Device>().is_err(), "{bad:?}");
        }
    }
}
