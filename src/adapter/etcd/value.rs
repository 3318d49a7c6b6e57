//! A binding as etcd keeps it: the record of lease-bind(1), with the engine's id of the container.

use super::keys::{Holder, Keys};
use crate::error::{Error, Kind, Result};
use crate::record::{Binding, Entry, HostRef, LeaseRef};

/// The field that the record does not have by itself.
const DOCKER_ID: &str = "docker_id";

/// The entry as text: what this version knows of it, as a ledger has it in its columns.
pub(super) fn text(entry: &Entry) -> String {
    let Binding { lease, host, .. } = &entry.binding;
    let mut binding = Binding {
        lease: LeaseRef { rest: Default::default(), ..lease.clone() },
        host: host.as_ref().map(|host| HostRef {
            id: host.id.clone(),
            url: None,
            tls: None,
            rest: Default::default(),
        }),
        owner: Some(entry.owner.clone()),
        rest: Default::default(),
        ..entry.binding.clone()
    };
    if let Some(id) = &entry.docker_id {
        binding.rest.set(DOCKER_ID, id);
    }
    serde_json::to_string(&binding).expect("the suite's types can be written as JSON")
}

/// The entry that stands under `key`, which is the holder's.
///
/// # Errors
/// `BadInput`, which names the key, when the text is no entry or another container's.
pub(super) fn entry(key: &str, holder: &Holder, text: &str) -> Result<Entry> {
    let wrong = |why: String| {
        let error = Error::new(Kind::BadInput, format_args!("key {key}")).why(why);
        error.remedy("it was not written by lease-bind; see to it with etcdctl")
    };
    let mut binding: Binding = serde_json::from_str(text).map_err(|why| wrong(why.to_string()))?;
    let docker_id = match binding.rest.remove(DOCKER_ID) {
        Some(id) => Some(string(&id).ok_or_else(|| wrong(format!("{DOCKER_ID} is no string")))?),
        None => None,
    };
    let (owner, container) = holder;
    if binding.owner.as_ref() != Some(owner) || &binding.container != container {
        return Err(wrong("it tells of another container".to_owned()));
    }
    Ok(Entry { owner: owner.clone(), binding, docker_id })
}

fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// The entry under a key that stands in a range: of bindings that hold, or of those that have ended.
pub(super) fn listed(keys: &Keys, key: &str, text: &str) -> Result<Entry> {
    let holder = keys.holder_in(key).ok_or_else(|| {
        let error = Error::new(Kind::BadInput, format_args!("key {key}"));
        error.why("its name is not one that lease-bind gives").remedy("see to it with etcdctl")
    })?;
    entry(key, &holder, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "/x/bindings/edge/web";

    fn read(text: &str) -> Result<Entry> {
        entry(KEY, &("edge".parse().unwrap(), "web".parse().unwrap()), text)
    }

    fn whole() -> String {
        concat!(
            r#"{"kind":"binding","lease":{"key":"om2pqvn3u6qa2","address":"2001:db8::1"},"#,
            r#""container":"web","address":"fd00:1::5","host":{"id":"north"},"owner":"edge","#,
            r#""since":"2026-11-21T10:00:00.123Z","docker_id":"0123abc"}"#
        )
        .to_owned()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let entry = read(&whole()).unwrap();
        assert_eq!(entry.docker_id.as_deref(), Some("0123abc"));
        assert!(entry.binding.rest.is_empty());
        assert_eq!(text(&entry), whole());
    }

    #[test]
    fn what_a_ledger_would_not_keep_is_not_kept() {
        let mut entry = read(&whole()).unwrap();
        entry.binding.rest.set("note", "x");
        entry.binding.lease.rest.set("secret", "x");
        entry.binding.host =
            Some(HostRef { url: Some("unix:///x".to_owned()), ..entry.binding.host.unwrap() });
        assert_eq!(text(&entry), whole());
    }

    #[test]
    fn what_others_have_written_is_told_with_its_key() {
        let hostile = [
            String::new(),
            "null".to_owned(),
            "[]".repeat(100_000),
            whole().replace("web", "web-2"),
            whole().replace("edge", "other"),
            whole().replace(r#""owner":"edge","#, ""),
            whole().replace("fd00:1::5", "../../etc"),
            whole().replace(r#""0123abc""#, "7"),
            whole().replace("2026-11", "2026-99"),
            format!("{}\n\u{1b}[2J", whole()),
        ];
        for text in hostile {
            let told = read(&text).unwrap_err();
            assert_eq!(told.kind(), Kind::BadInput);
            assert!(told.to_string().starts_with("key /x/bindings/edge/web: "), "{told}");
            assert!(!told.to_string().contains('\u{1b}'));
        }
    }

    #[test]
    fn a_key_that_names_nobody_is_told() {
        let keys = Keys::under("/x");
        assert!(listed(&keys, KEY, &whole()).is_ok());
        assert!(listed(&keys, "/x/history/2026-11-21T10:00:00.123Z/edge/web/7", &whole()).is_ok());
        for bad in
            ["/x/bindings/web", "/x/history/edge/web", "/x/bindings/edge/web/7", "/y/edge/web"]
        {
            let told = listed(&keys, bad, &whole()).unwrap_err();
            assert!(told.to_string().contains(bad), "{told}");
        }
    }
}
