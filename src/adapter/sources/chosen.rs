//! What a client chose for itself: anything, so it is taken within bounds only.

use super::quoted;
use crate::record::{Duid, Hostname};

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
