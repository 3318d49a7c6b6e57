//! What a client chose for itself: anything, so it is taken within bounds only.

use super::quoted;
use crate::record::{Classes, Duid, Hostname};

/// The DUID of these bytes; or why its lease cannot be served.
pub fn duid(bytes: &[u8]) -> Result<Duid, String> {
    Duid::new(bytes)
        .ok_or_else(|| format!("the DUID has {} of 3 to 130 bytes; lease left out", bytes.len()))
}

/// The host name, with or without a dot at its end; nothing when it is empty or none. What is told of
/// one that is none is returned behind it.
pub fn hostname(bytes: &[u8]) -> (Option<Hostname>, Option<String>) {
    let name = bytes.strip_suffix(b".").unwrap_or(bytes);
    if name.is_empty() {
        return (None, None);
    }
    match std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
        Some(name) => (Some(name), None),
        None => {
            let what = format!("host name {} is none; lease served without it", quoted(name));
            (None, Some(what))
        }
    }
}

/// Most classes of one kind that a client is taken to have.
const MOST: usize = 16;

/// Longest class, in bytes.
const LONGEST: usize = 255;

impl Classes {
    /// Adds a vendor class, if it is text that can be one.
    pub(super) fn add_vendor(&mut self, class: &[u8]) {
        add(&mut self.vendor, class);
    }

    /// Adds a user class, if it is text that can be one.
    pub(super) fn add_user(&mut self, class: &[u8]) {
        add(&mut self.user, class);
    }

    /// The classes, if there are any.
    pub(super) fn if_any(self) -> Option<Box<Classes>> {
        (self != Classes::default()).then(|| Box::new(self))
    }
}

/// A class is what people write rules with: 1 to 255 bytes of UTF-8 without control characters.
fn add(classes: &mut Vec<String>, class: &[u8]) {
    let Ok(text) = std::str::from_utf8(class) else { return };
    let is_text = (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_text && classes.len() < MOST {
        classes.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_text_is_a_class_and_not_too_much_of_it() {
        let mut classes = Classes::default();
        for class in [&b""[..], b"\xff", b"a\nb", b"\x1b[2J", &[b'x'; 256]] {
            classes.add_vendor(class);
        }
        assert_eq!(classes.clone().if_any(), None);
        for _ in 0..100 {
            classes.add_user("docker ✓".as_bytes());
        }
        assert_eq!((classes.vendor.len(), classes.user.len()), (0, MOST));
        assert!(classes.if_any().is_some());
    }
}
