//! All that is wrong with a document, each thing with its place.

use std::fmt;

use super::text::Short;
use super::{Split, likely};

/// One thing that is wrong: in which field, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, such as `ports[1]` or `requires.constraints[0]`; empty for the document as a whole.
    pub field: String,
    says: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.says),
            field => write!(f, "field {field:?}{}", self.says),
        }
    }
}

/// What has been found so far.
///
/// Nobody mends more than [`Faults::MOST`] things at once: what is found beyond is counted, and what
/// is kept of a hostile document stays small.
#[derive(Debug, Default)]
pub struct Faults {
    place: String,
    list: Vec<Fault>,
    count: usize,
}

impl Faults {
    /// How many are kept.
    pub const MOST: usize = 20;

    /// Those that are kept, and how many there are in all.
    pub fn finish(self) -> (Vec<Fault>, usize) {
        (self.list, self.count)
    }

    /// The fields of the document, as far as they are kept, that something is wrong with or in.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let outermost =
            |fault: &'_ Fault| fault.field.find(['.', '[']).unwrap_or(fault.field.len());
        self.list.iter().map(move |fault| &fault.field[..outermost(fault)])
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Goes on with the part of the value at hand that `segment` leads to.
    pub fn inside(&mut self, segment: impl fmt::Display, look: impl FnOnce(&mut Faults)) {
        use fmt::Write;
        let before = self.place.len();
        let _ = write!(self.place, "{segment}");
        look(self);
        self.place.truncate(before);
    }

    /// Goes on with a field of the object at hand.
    pub fn within(&mut self, name: &str, look: impl FnOnce(&mut Faults)) {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.inside(format_args!("{dot}{}", Short(name)), look);
    }

    /// The field at hand is something: `is missing`.
    pub fn says(&mut self, what: impl fmt::Display) {
        self.add(format_args!(" {what}"));
    }

    /// The object at hand has a field that is none of those it may have.
    pub fn unknown(&mut self, name: &str, known: &[&'static str]) {
        let is_told = self.list.len() < Faults::MOST;
        let likely = if is_told { likely::name(name, known) } else { None };
        self.within(name, |found| match likely {
            Some(likely) => found.says(format_args!("is not known; did you mean {likely:?}?")),
            None => found.says("is not known"),
        });
    }

    /// A value of the field at hand is something: `"x" is not a port`.
    pub fn value(&mut self, what: impl fmt::Display) {
        self.add(format_args!(": {what}"));
    }

    /// The value of the field at hand cannot be read.
    pub fn wrong(&mut self, why: &serde_json::Error, json: &str) {
        if self.list.len() < Faults::MOST {
            self.value(told(why, json));
        } else {
            self.count += 1;
        }
    }

    /// The fields of the object at hand; nothing when it is none.
    pub fn object<'a>(&mut self, json: &'a str) -> Option<Split<'a>> {
        match Split::parse(json) {
            Ok(split) => Some(split),
            Err(why) => {
                self.wrong(&why, json);
                None
            }
        }
    }

    fn add(&mut self, what: fmt::Arguments<'_>) {
        self.count += 1;
        if self.list.len() < Faults::MOST {
            let says = match self.place.is_empty() {
                true => what.to_string().trim_start_matches([':', ' ']).to_owned(),
                false => what.to_string(),
            };
            self.list.push(Fault { field: self.place.clone(), says });
        }
    }
}

/// A parser's message in the words of this module: without its position in the value, and with the
/// value.
fn told(why: &serde_json::Error, json: &str) -> String {
    let text = why.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    if let Some(said) = of_another_type(text, json) {
        return said;
    }
    let (head, tail) =
        (text.char_indices().nth(2 * Short::LONGEST), text.char_indices().nth_back(Short::LONGEST));
    match (head, tail) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            format!("{}…{}", &text[..head], &text[tail..])
        }
        _ if text.contains('"') => text.to_owned(),
        _ => format!("{text} in {}", Short(json)),
    }
}

/// A parser's message about a value of another type than its field has; nothing for any other.
pub(super) fn of_another_type(text: &str, json: &str) -> Option<String> {
    let (_, expected) = text.rsplit_once(", expected ")?;
    let is_that = text.starts_with("invalid type: ") || text.starts_with("invalid value: ");
    is_that.then(|| format!("{} is not {}", Short(json), in_words(expected)))
}

/// What serde calls a type, for people.
fn in_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number from 0",
        "i32" | "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" | "a JSON object" => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Container, Shape};
    use super::*;

    fn told(json: &str) -> Vec<String> {
        let mut faults = Faults::default();
        Container::faults(json, &mut faults);
        faults.finish().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_is_told_with_its_place_and_value() {
        let text = r#"{"image":null,"ports":["80","1:1","x"],"labels":{"a":1,"b":"c"},"init":"yes",
            "scale":1.0,"requires":{"constraints":["a b"]},"networks":[{},{"bridge":"br0","mac":7}]}"#;
        let told = told(text);
        for (told, parts) in told.iter().zip([
            &["\"id\" is missing"][..],
            &["\"image\" is null"],
            &["\"ports[0]\": \"80\" is not a port"],
            &["\"ports[2]\": \"x\" is not a port"],
            &["\"labels.a\": 1 is not a string"],
            &["\"networks[0]\": a network has either"],
            &["\"networks[1].mac\": 7 is not a string"],
            &["\"init\": \"yes\" is not true or false"],
            &["\"scale\": 1.0 is not a whole number from 0"],
            &["\"requires.constraints[0]\": \"a b\" is not a constraint"],
        ]) {
            assert!(parts.iter().all(|part| told.contains(part)), "{told}: {parts:?}");
        }
        assert_eq!(told.len(), 10, "{told:?}");
    }

    #[test]
    fn what_is_kept_of_a_hostile_document_is_small() {
        let long = "x ".repeat(1 << 20);
        let many = vec![format!("{long:?}"); 4].join(",");
        let text =
            format!(r#"{{"id":{long:?},"image":7,"ports":[{many}],"labels":{{{long:?}:1}}}}"#);
        let told = told(&text);
        assert_eq!(told.len(), 7);
        assert!(told.iter().all(|told| told.len() < 400), "{told:?}");
        assert!(told.iter().all(|told| told.contains(" is not ")), "{told:?}");
        let mut faults = Faults::default();
        let text = format!(r#"{{"id":"a","image":"b","env":[{}1]}}"#, "1,".repeat(999));
        Container::faults(&text, &mut faults);
        let (kept, count) = faults.finish();
        assert_eq!((kept.len(), count), (Faults::MOST, 1000));
    }
}
