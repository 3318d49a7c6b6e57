//! What a container document says, as far as comparing it goes, without building it.
//!
//! Of two fleets most containers are the same, and of those nothing is needed but to know that. So a
//! document is looked at where it stands: its fields are checked one by one, and what they say goes
//! into a print. Documents with one print ask for the same container. Documents with two may do so
//! all the same, in other words; that is for [`compare`](super::compare) to find out.
//!
//! What is looked at here is the plain way to write a document: one line, no escapes, no blanks
//! between its parts. Anything else is no error but left to those who read it in full, and so is
//! whatever may be one.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;
use memchr::memchr2;

use super::Ignored;
use crate::record::{
    Container, ContainerId, EnvVar, Image, Owner, Port, Restart, State, Status, Volume,
};

/// What a document says in those of its fields that are compared, in 64 bits that mean nothing
/// outside this process: who does not know them cannot make two documents that agree in them.
pub type Print = u64;

/// A document at a glance. The texts are pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The container's name.
    pub id: &'a str,
    /// Whose it is.
    pub owner: Option<&'a str>,
    /// The name of the host that it is on or is to go to.
    pub host: Option<&'a str>,
    /// Where it is in its life.
    pub state: Option<State>,
    /// Whether it says where it is and what became of it, which a declaration does not.
    pub is_placed: bool,
    /// Whether an earlier stage failed on it.
    pub has_failed: bool,
    /// What it says.
    pub print: Print,
}

/// Looks at documents. Prints of different lookers have nothing to do with each other.
#[derive(Clone, Debug, Default)]
pub struct Looker {
    hasher: RandomState,
    ignored: Ignored,
    known: Known,
}

impl Looker {
    /// One that does not look at the fields that are ignored.
    pub fn new(ignored: Ignored) -> Looker {
        Looker { ignored, ..Looker::default() }
    }

    /// What the document says whose JSON text this is, if that can be seen at a glance. Such a
    /// document can be read as a [`Container`] without error.
    pub fn glance<'a>(&mut self, text: &'a str) -> Option<Glance<'a>> {
        self.glance_over(text, |_, _| ())
    }

    /// The same, and hands on each field, its name and its value as JSON. What was handed on means
    /// nothing when nothing comes of the glance.
    pub fn glance_over<'a>(
        &mut self,
        text: &'a str,
        mut each: impl FnMut(&'a str, &'a str),
    ) -> Option<Glance<'a>> {
        let (mut id, mut image) = (None, false);
        let (mut owner, mut host, mut state) = (None, None, None);
        let (mut is_placed, mut has_failed) = (false, false);
        let mut print = 0;
        let mut names = Names::none();
        let mut fields = Cursor::of_line(text)?;
        fields.begin()?;
        while let Some(name) = fields.name()? {
            names.add(name)?;
            let value = fields.value()?;
            let hash = self.hash(name, value);
            let plain = || plain_string(value);
            match name {
                "id" => id = Some(plain().filter(|id| ContainerId::accepts(id))?),
                "image" => image = self.known.is(hash, || plain().is_some_and(Image::accepts)),
                "owner" => owner = Some(plain().filter(|owner| Owner::accepts(owner))?),
                "kind" => (plain()? == "container").then_some(())?,
                "host" if self.known.is(hash, || is_valid(name, value)) => {
                    host = Some(host_id(value)?);
                }
                "state" => state = Some(plain()?.parse().ok()?),
                "status" => has_failed = plain()?.parse::<Status>().ok()? == Status::Failed,
                // What differs from one container to the next is not worth to be remembered.
                "env" | "ports" | "volumes" | "labels" if is_valid(name, value) => (),
                _ if self.known.is(hash, || is_valid(name, value)) => (),
                _ => return None,
            }
            each(name, value);
            is_placed |= super::is_added(name);
            if self.compares(name) {
                // In whatever order the fields come, they add up to the same.
                print = Print::wrapping_add(print, hash);
            }
        }
        fields.end()?;
        let id = id.filter(|_| image)?;
        Some(Glance { id, owner, host, state, is_placed, has_failed, print })
    }

    /// The print of any document, be it written in another way.
    pub fn print(&self, text: &str) -> Print {
        let split = crate::record::Split::parse(text).expect("a record is a JSON object");
        let compared = split.into_iter().filter(|(name, _)| self.compares(name));
        compared.map(|(name, value)| self.hash(&name, value)).fold(0, Print::wrapping_add)
    }

    fn compares(&self, name: &str) -> bool {
        !super::is_apart(name) && !self.ignored.contains(name)
    }

    fn hash(&self, name: &str, value: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name.as_bytes());
        hasher.write(value.as_bytes());
        hasher.write_usize(name.len());
        hasher.finish()
    }
}

/// Fields that were found to say what they may, by their hashes, as far as they are remembered: most
/// containers say the same as others in most of their fields.
#[derive(Clone, Debug)]
struct Known(Box<[u64]>);

impl Known {
    /// How many are remembered.
    const MOST: usize = 2048;

    /// Whether the field of this hash says what it may, which `check` finds out if it is not known.
    fn is(&mut self, hash: u64, check: impl FnOnce() -> bool) -> bool {
        let place = &mut self.0[hash as usize % Known::MOST];
        if *place != hash && check() {
            *place = hash;
        }
        *place == hash
    }
}

impl Default for Known {
    /// Nothing yet: the hash in each place is one that does not belong there.
    fn default() -> Known {
        Known((0..Known::MOST as u64).map(|at| at ^ 1).collect())
    }
}

/// Whether a field says what it may: the common ones without building their values.
fn is_valid(name: &str, value: &str) -> bool {
    match name {
        "env" => is_list_of(value, EnvVar::accepts),
        "ports" => is_list_of(value, |text| text.parse::<Port>().is_ok()),
        "volumes" => is_list_of(value, Volume::accepts),
        "cmd" | "entrypoint" if value.starts_with('[') => is_list_of(value, |_| true),
        "labels" => is_map(value),
        "restart" => plain_string(value).is_some_and(|text| text.parse::<Restart>().is_ok()),
        name => Container::accepts(name, value)
            .unwrap_or_else(|| serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok()),
    }
}

/// The text of a string that is written without escapes.
fn plain_string(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    memchr2(b'"', b'\\', inner.as_bytes()).is_none().then_some(inner)
}

/// Whether the value is a list of strings, all of which are accepted.
fn is_list_of(value: &str, accepts: impl Fn(&str) -> bool) -> bool {
    let mut list = Cursor { text: value, at: 0 };
    let mut all = || {
        list.take(b'[')?;
        if list.take(b']').is_none() {
            loop {
                accepts(list.string()?).then_some(())?;
                if list.take(b',').is_none() {
                    break list.take(b']')?;
                }
            }
        }
        list.end()
    };
    all().is_some()
}

/// Whether the value is an object of strings.
fn is_map(value: &str) -> bool {
    let mut fields = Cursor { text: value, at: 0 };
    let mut all = || {
        fields.begin()?;
        while fields.name()?.is_some() {
            fields.string()?;
        }
        fields.end()
    };
    all().is_some()
}

/// The name of the host that a reference holds, which is one.
fn host_id(value: &str) -> Option<&str> {
    let mut fields = Cursor { text: value, at: 0 };
    fields.begin()?;
    while let Some(name) = fields.name()? {
        let value = fields.value()?;
        if name == "id" {
            return plain_string(value);
        }
    }
    None
}

/// A place in a text, from which pieces of JSON are taken as long as they are plain.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of a line that holds no control characters, which JSON strings may not.
    fn of_line(text: &'a str) -> Option<Cursor<'a>> {
        let clean = !text.bytes().fold(false, |found, byte| found | (byte < b' '));
        clean.then_some(Cursor { text, at: 0 })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn end(&self) -> Option<()> {
        (self.at == self.text.len()).then_some(())
    }

    fn begin(&mut self) -> Option<()> {
        self.take(b'{')
    }

    /// The name of the next field and the colon behind it; nothing inside when the object ends.
    fn name(&mut self) -> Option<Option<&'a str>> {
        if self.take(b'}').is_some() {
            return Some(None);
        }
        if self.text.as_bytes()[self.at - 1] != b'{' {
            self.take(b',')?;
        }
        let name = self.string()?;
        self.take(b':')?;
        Some(Some(name))
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.text[self.at..];
        let len = memchr2(b'"', b'\\', rest.as_bytes())?;
        self.at += len;
        self.take(b'"')?;
        Some(&rest[..len])
    }

    /// The text of the next value. Whether it is one is not looked at any further than it takes to
    /// find its end.
    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'[' | b'{' => self.nested()?,
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest.iter().position(|b| matches!(b, b',' | b'}'))?;
            }
        }
        Some(&self.text[start..self.at])
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => (),
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// The most fields that are looked at: more than a document has that says all that there is to say.
const MOST: usize = 80;

/// The names that an object has had so far, to find one that stands twice.
struct Names<'a> {
    seen: [&'a str; MOST],
    count: usize,
    /// A bit for each length and last letter: most names are known to be new by it.
    marks: u64,
}

impl<'a> Names<'a> {
    fn none() -> Names<'a> {
        Names { seen: [""; MOST], count: 0, marks: 0 }
    }

    /// Adds a name that was not there before; nothing for one that was, or for too many.
    fn add(&mut self, name: &'a str) -> Option<()> {
        let last = name.bytes().last().unwrap_or_default();
        let mark = 1 << ((name.len() * 7 + usize::from(last)) % 64);
        if self.marks & mark != 0 && self.seen[..self.count].contains(&name) {
            return None;
        }
        self.marks |= mark;
        *self.seen.get_mut(self.count)? = name;
        self.count += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::diff::compare;
    use crate::logic::fleet::Fleet;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Container> {
        serde_json::from_str(text).ok()
    }

    /// A container as the stages tell of it that have worked on it.
    const PLACED: &str = r#"{"id":"a","image":"b","owner":"me","host":{"id":"h","url":"unix:///h"},"state":"exited","docker":{"id":"0","pid":7,"started_at":"2026-01-01T00:00:00Z"},"interfaces":[{"name":"eth0","link":"l","bridge":"br1","mac":"02:00:00:00:00:01"}],"status":"failed","error":"no","error_kind":"refused"}"#;

    #[test]
    fn a_plain_document_is_seen_at_a_glance() {
        let mut looker = Looker::default();
        let mut glance = |text| looker.glance(text);
        let web = glance(r#"{"id":"web","image":"busybox","env":["A=1"],"owner":"edge"}"#).unwrap();
        assert_eq!((web.id, web.owner, web.is_placed), ("web", Some("edge"), false));
        let text = r#"{"image":"busybox","host":{"url":"unix:///a","id":"h"},"id":"web","env":["A=1"],"state":"running"}"#;
        let there = glance(text).unwrap();
        assert_eq!((there.host, there.state), (Some("h"), Some(State::Running)));
        assert!(there.is_placed);
        assert_eq!(there.print, web.print);
        let other = glance(r#"{"id":"web","image":"busybox","env":["A=2"]}"#).unwrap();
        assert_ne!(other.print, web.print);
        assert_eq!(looker.print(r#"{ "env":["A=1"], "id":"web","image":"busybox"}"#), web.print);
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        let mut looker = Looker::default();
        for text in [
            r#"{"id":"a","image":"b","id":"a"}"#,
            r#"{"id":"a","image":"b",}"#,
            r#"{"id":"a","image":"b"} "#,
            r#"{"id":"a" ,"image":"b"}"#,
            r#"{"id":"a"}"#,
            r#"{"image":"b"}"#,
            r#"{"id":"a","image":"B"}"#,
            r#"{"id":"a","image":"b","env":["A"]}"#,
            r#"{"id":"a","image":"b","env":["A=\u0031"]}"#,
            r#"{"id":"a","image":"b","cmd":["x",]}"#,
            r#"{"id":"a","image":"b","cmd":["x""y"]}"#,
            r#"{"id":"a","image":"b","x":[}]}"#,
            r#"{"id":"a","image":"b","x":01}"#,
            r#"{"id":"a","image":"b","labels":{"a":1}}"#,
            r#"{"id":"a","image":"b","host":{"url":"u"}}"#,
            "{\"id\":\"a\",\"image\":\"b\",\"cmd\":[\"\t\"]}",
            r#"{"kind":"change","id":"a","image":"b"}"#,
            r#"{"id":"a","image":"b","status":"well"}"#,
            r#"{"id":"a","image":"b","state":"well"}"#,
            r#"{"id":"a","image":"b","error_kind":"well"}"#,
            r#"{"id":"a","image":"b","interfaces":[{"name":"eth0"}]}"#,
            "{}",
            "{",
            "",
        ] {
            assert_eq!(looker.glance(text), None, "{text}");
        }
    }

    #[test]
    fn a_whole_fleet_is_seen_at_a_glance() {
        let mut looker = Looker::default();
        for container in Fleet::seeded(1).take(500) {
            let text = serde_json::to_string(&container).unwrap();
            let glance = looker.glance(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(glance.print, looker.print(&text));
        }
        let full = include_str!("../../../tests/data/cccf/full.json").trim_end();
        assert!(looker.glance(full).is_some());
    }

    proptest! {
        /// A document with a piece of it cut out, doubled or overwritten is seen as it is read, or
        /// not at all.
        #[test]
        fn what_is_seen_is_what_is_read(
            seed in 0u64..50, cut in any::<prop::sample::Index>(), len in 0usize..12,
            put in r#"[\[\]{}",:0-9a-z\\=/ \t]{0,4}"#,
        ) {
            let full = include_str!("../../../tests/data/cccf/full.json").trim_end();
            let made = serde_json::to_string(&Fleet::seeded(seed).next().unwrap()).unwrap();
            let whole = match seed % 5 {
                0 => full,
                1 => PLACED,
                _ => &made,
            };
            let at = cut.index(whole.len());
            let end = (at + len).min(whole.len());
            let text = format!("{}{put}{}", &whole[..at], &whole[end..]);
            let mut looker = Looker::default();
            // What it remembers of one makes no difference to what it sees in the next.
            prop_assert!(looker.glance(whole).is_some());
            if let Some(glance) = looker.glance(&text) {
                let read = read(&text);
                prop_assert!(read.is_some(), "{text}");
                let read = read.unwrap();
                prop_assert_eq!(glance.id, read.id.as_str());
                prop_assert_eq!(glance.owner, read.owner.as_ref().map(Owner::as_str));
                prop_assert_eq!(glance.host, read.host.as_ref().map(|host| &*host.id));
                prop_assert_eq!(glance.state, read.state);
                prop_assert_eq!(glance.has_failed, read.status == Some(Status::Failed));
                let before: Container = serde_json::from_str(whole).unwrap();
                if looker.print(whole) == glance.print {
                    prop_assert!(compare(&before, &read, &Ignored::default()).is_empty(), "{text}");
                }
            }
        }
    }
}
