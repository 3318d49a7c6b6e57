//! Names: of containers, hosts on a network, owners and interfaces. Each type holds only what its
//! user (Docker, the DNS, the kernel) takes, so that no name can be an option, a path or a second
//! field further on.

use super::text::checked_text;

checked_text!(
    /// A container's name and its `id` in CCCF: what Docker takes as a name, at most 128 characters.
    ContainerId,
    |text| text.len() <= 128 && docker_name(text),
    "a container name ([a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128)"
);

checked_text!(
    /// A host name or domain name of letters, digits and hyphens (RFC 1123), without a final dot.
    Hostname,
    |text| text.len() <= 253 && text.split('.').all(dns_label),
    "a host name (labels of letters, digits and hyphens)"
);

checked_text!(
    /// Whose containers these are: the name of the pipe that made them.
    Owner,
    |text| text.len() <= 63 && docker_name(text),
    "an owner ([a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 63)"
);

checked_text!(
    /// A name of a Docker network that the suite makes, at most 63 characters.
    NetworkName,
    |text| text.len() <= 63 && docker_name(text),
    "a network name ([a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 63)"
);

/// The owner that container-run gives to containers that nobody else gave one.
impl Default for Owner {
    fn default() -> Owner {
        Owner("leasepipe".into())
    }
}

checked_text!(
    /// A name of a network interface, as the kernel takes it.
    Ifname,
    |text| {
        (1..=15).contains(&text.len())
            && text != "."
            && text != ".."
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%'))
    },
    "an interface name (1 to 15 visible characters, no / : %)"
);

fn docker_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl Hostname {
    /// The first label in lower case, cut to `longest` characters: fit to be part of a name.
    pub fn label(&self, longest: usize) -> String {
        let label = self.0.split('.').next().unwrap_or_default().to_ascii_lowercase();
        label[..label.len().min(longest)].trim_end_matches('-').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_no_names() {
        let hostile =
            ["", "-x", "a b", "a\nb", "a\0b", "../x", "$(touch /tmp/x)", "a/b", "é", "a;b", "`x`"];
        for text in hostile {
            assert!(text.parse::<ContainerId>().is_err(), "{text:?}");
            assert!(text.parse::<Hostname>().is_err(), "{text:?}");
            assert!(text.parse::<Owner>().is_err(), "{text:?}");
        }
        for text in ["", ".", "..", "a/b", "a b", "a\n", "abcdefghijklmnop", "a:b"] {
            assert!(text.parse::<Ifname>().is_err(), "{text:?}");
        }
        let long = "x".repeat(65536);
        assert!(long.parse::<Hostname>().is_err() && long.parse::<ContainerId>().is_err());
    }

    #[test]
    fn a_host_name_gives_a_label() {
        let label = |text: &str| text.parse::<Hostname>().unwrap().label(6);
        assert_eq!(label("Alpha.example.org"), "alpha");
        assert_eq!(label("abcde-fgh"), "abcde");
    }
}
