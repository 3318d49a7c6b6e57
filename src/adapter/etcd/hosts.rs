//! Hosts in etcd: the record of each under `hosts/ID`.

use etcd_client::{Client, GetOptions, SortOrder, SortTarget};

use super::Etcd;
use super::keys::Keys;
use super::plan::{Change, Step};
use super::read::all;
use crate::error::{Error, Kind, Result, Within};
use crate::record::Host;

/// What is another one as soon as a host is entered, changed or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsMark {
    count: i64,
    newest: i64,
}

impl Etcd {
    /// The hosts as they are at one moment, by their names.
    ///
    /// # Errors
    /// When etcd cannot be read, or what stands under one of the keys is not the record of that host.
    pub fn hosts(&mut self) -> Result<Vec<Host>> {
        let listed = self.hosts_at("read").within(&self.name)?;
        Ok(listed.0)
    }

    /// The mark of the hosts as they are now. Asks one member, once: who looks now and then has no
    /// use for an answer that comes late.
    pub fn hosts_mark(&mut self) -> Result<HostsMark> {
        let (from, to) = all(self.keys.hosts());
        let options = GetOptions::new().with_range(to).with_limit(1).with_keys_only();
        let options = options.with_sort(SortTarget::Mod, SortOrder::Descend);
        let newest =
            async |client: &mut Client| client.get(from.as_str(), Some(options.clone())).await;
        let answer = self.members.ask_now("look at the hosts", newest).within(&self.name)?;
        let newest = answer.kvs().first().map_or(0, |pair| pair.mod_revision());
        Ok(HostsMark { count: answer.count(), newest })
    }

    /// Enters the host `id` as `made` makes it of all that are there, and gives it. `made` is asked
    /// again when somebody else has entered or changed a host meanwhile.
    ///
    /// # Errors
    /// When etcd cannot be read or written, or what `made` says.
    pub fn enter_host(
        &mut self,
        id: &str,
        made: &mut dyn FnMut(Vec<Host>) -> Result<Host>,
    ) -> Result<Host> {
        let what = format!("enter host {id}");
        self.repeatedly(&what, |etcd| {
            let name = etcd.keys.host(id);
            let [before] = etcd.look(&what, [name.clone()])?;
            let (hosts, revision) = etcd.hosts_at(&what)?;
            let host = made(hosts)?;
            let text = serde_json::to_string(&host).expect("a host is JSON");
            let change = Change {
                given: vec![(name.clone(), before.revision)],
                unchanged: Some((etcd.keys.hosts(), revision)),
                steps: vec![Step::Put(name.clone(), text.clone())],
                proof: (name, text),
            };
            Ok(etcd.is_made(&what, &change)?.then_some(host))
        })
    }

    /// The hosts, and the revision that they are of.
    fn hosts_at(&mut self, what: &str) -> Result<(Vec<Host>, i64)> {
        let (keys, range) = (self.keys.clone(), all(self.keys.hosts()));
        self.list_at(what, &[range], false, |key, text| host(&keys, key, text).map(Some))
    }
}

/// The host that stands under `key`.
fn host(keys: &Keys, key: &str, text: &str) -> Result<Host> {
    let wrong = |why: &dyn std::fmt::Display| {
        let error = Error::new(Kind::BadInput, format_args!("key {key}")).why(why);
        error.remedy("it was not written by host-add; see to it with etcdctl")
    };
    let host: Host = serde_json::from_str(text).map_err(|why| wrong(&why))?;
    match keys.host(&host.id) == key {
        true => Ok(host),
        false => Err(wrong(&"it tells of another host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_its_own_host() {
        let keys = Keys::under("/x");
        let text = r#"{"kind":"host","id":"rack/7","url":"unix:///a","note":1}"#;
        let found = host(&keys, "/x/hosts/rack/7", text).unwrap();
        assert_eq!(serde_json::to_string(&found).unwrap(), text);
        for (key, text) in [
            ("/x/hosts/8", text),
            ("/x/hosts/a", "{}"),
            ("/x/hosts/a", "\u{1b}[2J"),
            ("/x/hosts/a", ""),
        ] {
            let told = host(&keys, key, text).unwrap_err();
            assert_eq!(told.kind(), Kind::BadInput);
            assert!(told.to_string().starts_with(&format!("key {key}: ")), "{told}");
        }
    }
}
