//! Image references as Docker writes them.

use std::fmt;
use std::str::FromStr;

use super::text::{NotA, as_json_string};

/// A reference to an image: `[registry[:port]/]repository[:tag][@digest]`.
///
/// It is written as it was given. Two references name the same image when [`Image::canonical`]
/// is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image(Box<str>);

impl Image {
    /// Whether the text is a reference.
    pub fn accepts(text: &str) -> bool {
        is_reference(text)
    }

    /// The reference as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        split(&self.0).1
    }

    /// The digest, if one is given.
    pub fn digest(&self) -> Option<&str> {
        split(&self.0).2
    }

    /// The name without tag and digest.
    pub fn repository(&self) -> &str {
        split(&self.0).0
    }

    /// The registry that it is fetched from: a name with the port, if one is given.
    pub fn registry(&self) -> &str {
        match self.repository().split_once('/') {
            Some((first, _)) if is_registry(first) && first != "index.docker.io" => first,
            _ => "docker.io",
        }
    }

    /// The same reference with this digest, whichever it had.
    ///
    /// # Errors
    /// When that is none.
    pub fn with_digest(&self, digest: &str) -> Result<Image, NotA> {
        let (name, tag, _) = split(&self.0);
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{name}{tag}@{digest}").parse()
    }

    /// Whether what was made from the other one is what is asked for. A tag is met under whichever
    /// digest it had then; a digest is met by itself alone, under a tag that does not contradict.
    pub fn is_met_by(&self, other: &Image) -> bool {
        let latest = |image: &Image| image.tag().unwrap_or("latest").to_owned();
        let agree = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).is_none_or(|(one, other)| one == other)
        };
        whole_name(self.repository()) == whole_name(other.repository())
            && match self.digest() {
                None => latest(self) == latest(other),
                digest => digest == other.digest() && agree(self.tag(), other.tag()),
            }
    }

    /// The reference with what Docker fills in: `docker.io/library/`, and `:latest` where there is
    /// no digest either.
    pub fn canonical(&self) -> Image {
        let (name, tag, digest) = split(&self.0);
        let name = whole_name(name);
        let text = match (tag, digest) {
            (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
            (None, Some(digest)) => format!("{name}@{digest}"),
            (tag, None) => format!("{name}:{}", tag.unwrap_or("latest")),
        };
        Image(text.into())
    }
}

/// The name with the registry and the directory that Docker fills in.
fn whole_name(name: &str) -> String {
    match name.split_once('/') {
        Some((first, _)) if is_registry(first) => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// Name, tag and digest. A colon before a slash belongs to a registry's port.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag), digest),
        _ => (rest, None, digest),
    }
}

fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

impl FromStr for Image {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Image, NotA> {
        if Image::accepts(text) {
            Ok(Image(text.into()))
        } else {
            Err(NotA::new(text, "an image reference ([registry/]name[:tag][@digest])"))
        }
    }
}

/// The grammar of the distribution project's reference package, without its bound on the registry.
fn is_reference(text: &str) -> bool {
    let (name, tag, digest) = split(text);
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, name),
    };
    let registry_ok = registry.is_none_or(is_address);
    let tag_ok = tag.is_none_or(|tag| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    });
    let digest_ok = digest.is_none_or(|digest| match digest.split_once(':') {
        Some((kind, hex)) => {
            kind.starts_with(|c: char| c.is_ascii_alphabetic())
                && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
                && hex.len() >= 32
                && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }
        None => false,
    });
    name.len() <= 255 && registry_ok && path.split('/').all(component) && tag_ok && digest_ok
}

/// Where a registry listens: a domain name or an IPv6 address in brackets, and a port.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let ends = |label: &str| !label.starts_with('-') && !label.ends_with('-') && !label.is_empty();
    let letters = |label: &str| label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.contains(':') && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|label| ends(label) && letters(label)),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    host_ok && port.is_none_or(digits)
}

/// A part of a repository's path: lower-case words, joined by `.`, `_`, `__` or hyphens.
fn component(part: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |part: &[u8]| part.first().is_some_and(word) && part.last().is_some_and(word);
    let joint = |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-');
    let runs = part.as_bytes().chunk_by(|a, b| word(a) == word(b));
    ends(part.as_bytes()) && runs.into_iter().all(|run| word(&run[0]) || joint(run))
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_json_string!(Image);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let canonical = |text: &str| text.parse::<Image>().unwrap().canonical().to_string();
        assert_eq!(canonical("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(canonical("library/busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(canonical("localhost:5000/app"), "localhost:5000/app:latest");
        assert_eq!(canonical("ghcr.io/a/b__c:v1"), "ghcr.io/a/b__c:v1");
        assert_eq!(canonical("a.b_c__d---e"), "docker.io/library/a.b_c__d---e:latest");
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(canonical(&format!("a:1@{digest}")), format!("docker.io/library/a:1@{digest}"));
        assert_eq!(canonical(&format!("a@{digest}")), format!("docker.io/library/a@{digest}"));
        assert_eq!("localhost:5000/app".parse::<Image>().unwrap().tag(), None);
        assert_eq!(canonical("[::1]:5000/app"), "[::1]:5000/app:latest");
    }

    #[test]
    fn the_registry_is_the_one_that_docker_asks() {
        let registry = |text: &str| text.parse::<Image>().unwrap().registry().to_owned();
        assert_eq!(registry("busybox"), "docker.io");
        assert_eq!(registry("a/b:1"), "docker.io");
        assert_eq!(registry("index.docker.io/a/b"), "docker.io");
        assert_eq!(registry("localhost/b"), "localhost");
        assert_eq!(registry("ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef"), "ghcr.io");
        assert_eq!(registry("[::1]:5000/a:1"), "[::1]:5000");
    }

    #[test]
    fn a_digest_is_put_behind_the_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let pinned = |text: &str| text.parse::<Image>().unwrap().with_digest(&digest);
        assert_eq!(pinned("h:5/a:1").unwrap().as_str(), format!("h:5/a:1@{digest}"));
        let again = pinned("a").unwrap().with_digest(&digest.replace('0', "1")).unwrap();
        assert_eq!(again.as_str(), format!("a@{}", digest.replace('0', "1")));
        assert!("a".parse::<Image>().unwrap().with_digest("0").is_err());
    }

    #[test]
    fn a_tag_is_met_under_any_digest_and_a_digest_by_itself() {
        let image = |text: &str| {
            let (name, digit) = text.split_once('@').unwrap_or((text, ""));
            let digest = format!("@sha256:{}", digit.repeat(64));
            let digest = if digit.is_empty() { "" } else { &digest };
            format!("{name}{digest}").parse::<Image>().unwrap()
        };
        let is_met = |wanted: &str, there: &str| image(wanted).is_met_by(&image(there));
        for (wanted, there) in [
            ("h:5/a:1", "h:5/a:1@1"),
            ("a", "docker.io/library/a:latest@1"),
            ("a:latest", "a@1"),
            ("a:1@1", "library/a:1@1"),
            ("a:1@1", "a@1"),
            ("a@1", "a:1@1"),
        ] {
            assert!(is_met(wanted, there), "{wanted} {there}");
        }
        for (wanted, there) in [
            ("a:2", "a:1@1"),
            ("b:1", "a:1@1"),
            ("a:1", "a@1"),
            ("a:1@1", "a:1"),
            ("a:1@1", "a:1@2"),
            ("a:1@1", "a:2@1"),
        ] {
            assert!(!is_met(wanted, there), "{wanted} {there}");
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for bad in [
            "", " ", "App", "a b", "-x", "a:", "a:-t", "a@sha256", "a//b", "a..b", "a/", "$(x)",
            "a._b", "a___b", "a.-b", "a_", ".a", "./a", "a:/b", ":5/a", "a..b/c", "[::1/a",
            "[::1]x/a", "a.b:x/c", "-a.b/c",
        ] {
            assert!(bad.parse::<Image>().is_err(), "{bad:?}");
        }
    }
}
