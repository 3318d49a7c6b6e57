//! What only a swarm has: files that it keeps, and tasks.

use jiff::Timestamp;

use super::shape::document;
use super::text::checked_text;

document! {
    /// A secret or a config of a swarm that a container sees as a file.
    pub struct SwarmFile {
        /// Its name in the swarm.
        req source: SwarmName,
        /// The file; for a secret it may be relative, to /run/secrets. Absent means by its name,
        /// there or in the root directory.
        opt target: String,
        /// The number of the user whose file it is; absent means 0.
        opt uid: u32,
        /// The number of the file's group; absent means 0.
        opt gid: u32,
        /// What may be done with it, in octal digits; absent means 0444.
        opt mode: FileMode,
    }
}

document! {
    /// One try of a swarm to have a container run.
    pub struct Task {
        /// The swarm's id of it.
        req id: String,
        /// The host name of the node that it is on, once it has one.
        opt node: String,
        /// Where it is in its life, in the swarm's words.
        req state: String,
        /// The node's engine's own id of its container: 64 hex digits.
        opt container: String,
        /// Since when it is in that state.
        opt since: Timestamp,
        /// Why it failed, in the engine's words.
        opt error: String,
    }
}

checked_text!(
    /// The name of a secret or a config.
    SwarmName,
    |text| {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        (1..=64).contains(&text.len())
            && end(bytes.first())
            && end(bytes.last())
            && text.bytes().all(word)
    },
    "a name in a swarm (at most 64 letters, digits, _ . -, the first and the last no sign)"
);

checked_text!(
    /// What the owner, the group and others may do with a file.
    FileMode,
    |text| (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b)),
    "the mode of a file (three or four octal digits)"
);

impl FileMode {
    /// The mode as a number; nothing when it is more than a mode has bits for.
    pub fn of(number: u32) -> Option<FileMode> {
        format!("{number:04o}").parse().ok()
    }

    /// As a number.
    pub fn bits(&self) -> u32 {
        u32::from_str_radix(self.as_str(), 8).expect("it has octal digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_read_in_octal() {
        let bits = |text: &str| text.parse::<FileMode>().map(|mode| mode.bits()).ok();
        assert_eq!(
            (bits("444"), bits("0440"), bits("4755")),
            (Some(0o444), Some(0o440), Some(0o4755))
        );
        for bad in ["", "44", "448", "0o444", "04440", "-444"] {
            assert_eq!(bits(bad), None, "{bad:?}");
        }
        assert_eq!(FileMode::of(0o440).unwrap().as_str(), "0440");
        assert_eq!(FileMode::of(1 << 20), None);
    }

    #[test]
    fn a_name_ends_as_it_begins() {
        for good in ["a", "db_password.v1", "A-1"] {
            assert!(SwarmName::accepts(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a/b", &"a".repeat(65)] {
            assert!(!SwarmName::accepts(bad), "{bad:?}");
        }
    }
}
