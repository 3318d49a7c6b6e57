//! The JSON Schema of cccf(5) and the code that reads it, held against each other by a validator that
//! is not the project's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use jsonschema::Validator;
use leasepipe::logic::fleet::Fleet;
use leasepipe::random::Random;
use leasepipe::record::{self, Container, Fault, Faults, Record, Shape, schema_of};
use serde_json::{Value, json};

/// What people write.
const FULL: &str = include_str!("data/cccf/full.json");

/// What the programs add, and the rest of what people may write.
const ADDED: &str = r#"{"kind":"container","id":"b","image":"registry.example:5000/a/b_c:1@sha256:
0123456789abcdef0123456789abcdef","cmd":["a"],"entrypoint":"sh -c 'x'","key":"om2pqvn3u6qa2",
"state":"running","gpus":2,"memory":"32m","memory_swap":"1g","healthcheck":{"test":"true"},
"networks":["a",{"network":"b","ipv4_address":"192.0.2.5"}],"requires":{"resources":{"gb":"8g"}},
"lease":{"key":"om2pqvn3u6qa2","address":"2001:db8::9","prefix_len":56,
"duid":"00:03:00:01:3a:57:d2:26:ee:28","iaid":7,"hostname":"alpha"},
"docker":{"id":"c0ffee","pid":71,"started_at":"2026-11-21T12:00:00Z","netns":"/run/ns",
"image_digest":"b@sha256:0","ports":[{"container":80,"host":32768,"protocol":"tcp","address":"::1"}],
"node":"n1","tasks":[{"id":"t1","node":"n1",
"state":"running","container":"c0ffee","since":"2026-11-21T12:00:00Z","error":"no"}]},
"interfaces":[{"name":"eth0","link":"lpa","kind":"ovs","bridge":"br1","parent":"eth0","mac":"02:00:00:00:00:01",
"duid":"00:03:00:01:3a:57","iaid":1,"router":"fe80::1","ipv4_router":"192.0.2.1",
"dns_servers":["2001:db8::53"],"search":["example.org"],"prefixes":[{"prefix":"2001:db8:7::/56",
"preferred_until":"2026-11-21T12:00:00Z","valid_until":"2026-11-21T13:00:00Z"}],
"ready_ms":1.5,"addresses":[{
"address":"2001:db8::5","prefix_len":128,"origin":"dhcp6",
"preferred_until":"2026-11-21T12:00:00Z","valid_until":"2026-11-21T13:00:00Z"}]}],
"steps":[{"step":"create","ms":25.5}],"status":"failed","error":"no","error_kind":"not_found"}"#;

fn added() -> String {
    ADDED.replace('\n', "")
}

fn schema(strict: bool) -> Value {
    schema_of::<Container>("CCCF", strict)
}

fn validator(strict: bool) -> Validator {
    jsonschema::draft202012::new(&schema(strict)).unwrap()
}

/// What the parser finds wrong.
fn faults(json: &str) -> Vec<Fault> {
    let mut faults = Faults::default();
    Container::faults(json, &mut faults);
    let list = faults.finish().0;
    let record = Record::parse(json);
    let is_read = matches!(record, Ok(Record::Container(_)));
    assert_eq!(is_read, list.is_empty(), "{json}: {list:?} {record:?}");
    list
}

/// One thing that JSON Schema cannot say: a document that the schema takes for lack of it, and how
/// to tell that a fault is of this sort, by the field and by what is said of it.
struct Looser {
    what: &'static str,
    example: &'static str,
    is: fn(&str, &str) -> bool,
}

/// Whether a fault begins with a whole number that is written otherwise than one.
fn is_whole_in_disguise(says: &str) -> bool {
    let value = says.split(": ").nth(1).and_then(|text| text.split(' ').next()).unwrap_or_default();
    // It may stand inside an object, as a limit does.
    value.split([':', ',', '{', '}']).any(|value| {
        let number: Option<f64> = value.parse().ok();
        value.contains(['.', 'e']) && number.is_some_and(|number| number.fract() == 0.0)
    })
}

const LOOSER: [Looser; 14] = [
    Looser {
        what: "that a prefix that was delegated is one",
        example: r#""interfaces":[{"name":"a","link":"b","mac":"02:00:00:00:00:01","prefixes":[{"prefix":"x"}]}]"#,
        is: |field, _| field.ends_with("].prefix"),
    },
    Looser {
        what: "that the quotes of a command line are closed",
        example: r#""cmd":"a 'b""#,
        is: |_, says| says.contains("a quote is not closed"),
    },
    Looser {
        what: "that 1.0, 1e3 and -0 are not written as whole numbers are",
        example: r#""scale":1.0"#,
        is: |_, says| is_whole_in_disguise(says),
    },
    Looser {
        what: "that the soft limit is at most the hard one",
        example: r#""ulimits":{"core":{"soft":2,"hard":1}}"#,
        is: |field, says| field.starts_with("ulimits") && says.contains("soft at most hard"),
    },
    Looser {
        what: "that a size in text is less than 8 EiB",
        example: r#""memory":"9999999t""#,
        is: |_, says| says.contains("\" is not a number of bytes"),
    },
    Looser {
        what: "that an amount has three decimals at most, and in text is less than 2^53",
        example: r#""requires":{"resources":{"x":0.0001}}"#,
        is: |field, says| field.starts_with("requires.resources") && says.contains("at most three"),
    },
    Looser {
        what: "that cores are counted in billionths",
        example: r#""cpus":1e-10"#,
        is: |field, says| field == "cpus" && says.contains("a number of cores"),
    },
    Looser {
        what: "that nobody can have the address ::, ::1 or one of a group",
        example: r#""addresses":["ff02::1/64"]"#,
        is: |_, says| says.contains("is not an address to give"),
    },
    Looser {
        what: "that the name of an image without its tag is 255 characters at most",
        example: r#""image":"LONG""#,
        is: |field, says| field == "image" && says.contains("xxxxxxxxxx"),
    },
    Looser {
        what: "that no value behind the word in has the word notin in it",
        example: r#""requires":{"constraints":["a in (b notin c)"]}"#,
        is: |field, says| {
            let value = says.split("\" is not a constraint").next().unwrap();
            field.starts_with("requires.constraints") && value.contains(" notin ")
        },
    },
    Looser {
        what: "what a time is",
        example: r#""docker":{"id":"a","started_at":"noon"}"#,
        is: |field, _| field.ends_with("_until") || field.ends_with("_at"),
    },
    Looser {
        what: "that no field stands twice",
        example: r#""scale":1,"scale":1"#,
        is: |_, says| says.contains("stands twice"),
    },
    Looser {
        what: "which words of a route or rule go together",
        example: r#""networks":[{"bridge":"br1","routes":["default"]}]"#,
        is: |_, says| says.contains("route \"") || says.contains("rule \""),
    },
    Looser {
        what: "that a rate is 8 bits at least",
        example: r#""networks":[{"bridge":"br1","rate":"7"}]"#,
        is: |_, says| says.contains("is not a rate"),
    },
];

fn looser(fault: &Fault) -> Option<&'static Looser> {
    LOOSER.iter().find(|one| (one.is)(&fault.field, &fault.to_string()))
}

#[test]
fn the_schema_is_one() {
    for strict in [false, true] {
        jsonschema::meta::validate(&schema(strict)).unwrap();
    }
    let text = schema(false).to_string();
    assert!(text.contains("The command; absent means the image's own."), "no doc comments");
}

#[test]
fn each_exception_is_one() {
    let validator = validator(true);
    for one in LOOSER {
        let text = one.example.replace("LONG", &"x".repeat(256));
        let before = if text.starts_with("\"image\"") { "" } else { r#""image":"b","# };
        let text = format!(r#"{{"id":"a",{before}{text}}}"#);
        assert!(validator.is_valid(&serde_json::from_str(&text).unwrap()), "{text}");
        let faults = faults(&text);
        let [fault] = &faults[..] else { panic!("{}: {faults:?}", one.what) };
        assert_eq!(looser(fault).map(|found| found.what), Some(one.what), "{fault}");
    }
}

/// The names of all fields, with a dot between those of an object and those inside it.
fn names(schema: &Value, at: &Value, before: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = at["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        names(schema, &schema["$defs"][name], before, found);
    }
    for (name, inside) in at["properties"].as_object().into_iter().flatten() {
        let name = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        names(schema, inside, &name, found);
        found.insert(name);
    }
    for part in ["anyOf", "allOf"] {
        let all = at[part].as_array().into_iter().flatten();
        all.for_each(|one| names(schema, one, before, found));
    }
    if at["items"].is_object() {
        names(schema, &at["items"], before, found);
    }
}

fn fields() -> BTreeSet<String> {
    let (schema, mut found) = (schema(false), BTreeSet::new());
    names(&schema, &schema, "", &mut found);
    found
}

/// The names of the fields of a document.
fn named(value: &Value, before: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| named(item, before, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let name =
                    if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
                named(value, &name, found);
                found.insert(name);
            }
        }
        _ => (),
    }
}

#[test]
fn the_samples_have_every_field() {
    let mut there = BTreeSet::new();
    for text in [FULL, &added()] {
        assert!(faults(text).is_empty(), "{:?}", faults(text));
        named(&serde_json::from_str(text).unwrap(), "", &mut there);
    }
    let missing: Vec<_> = fields().difference(&there).cloned().collect();
    assert!(missing.is_empty(), "{missing:?} are in none of the samples");
}

#[test]
fn what_is_valid_is_valid_for_both() {
    let validator = validator(true);
    let fleet = Fleet::seeded(11).take(300).map(|one| serde_json::to_string(&one).unwrap());
    for text in fleet.chain([FULL.to_owned(), added()]) {
        assert!(faults(&text).is_empty(), "{text}");
        let value = serde_json::from_str(&text).unwrap();
        let wrong: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{text}: {wrong:?}");
        let mut unknown = Faults::default();
        serde_json::from_str::<Container>(&text).unwrap().unknown(&mut unknown);
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

/// Pieces of text that mean something to one of the types.
const WORDS: &[&str] = &[
    "",
    "a",
    "A",
    "0",
    "1",
    "00",
    "64",
    "65535",
    "65536",
    "80",
    "80:80",
    "0:1",
    "80:0",
    "65536:1",
    "1.2.3.4:80:80",
    "01.2.3.4:1:1",
    "[::1]:1:1",
    "[::g]:1:1",
    "80/tcp",
    "80/x",
    "/a",
    "/a:/b",
    "a:/b:ro",
    "a:/b:",
    "./a:/b",
    "/a:/b:c:d",
    "b:ro",
    "b:rx",
    "A=1",
    "A=",
    "=1",
    "1A=1",
    "A\n=1",
    "A=\n",
    "A=\0",
    "no",
    "always",
    "on-failure",
    "on-failure:3",
    "on-failure:65536",
    "SIGTERM",
    "SIG",
    "SIG9",
    "SIGSIG",
    "RTMIN+1",
    "TERM",
    "linux",
    "linux/arm/v7",
    "linux/",
    "private",
    "host",
    "container:a",
    "container:",
    "none",
    "db:1.2.3.4",
    "db:::1",
    "db:host-gateway",
    "db:x",
    "a.b",
    "a..b",
    "-a",
    "a-",
    "_a",
    ".",
    "..",
    "a_b",
    "dhcp6",
    "::/64",
    "fd00::1/64",
    "fd00::1/129",
    "fd00::1/64@fe80::1",
    "::ffff:1.2.3.4",
    "1::2::3",
    "1:2:3:4:5:6:7:8",
    "zone=a",
    "zone in (a, b)",
    "zone in ()",
    "zone in (a,)",
    "!zone",
    "zone notin (a)",
    "~host=a",
    "group=",
    "label=a=b",
    "container=a b",
    "512m",
    "5kb",
    "1.5g",
    "x1g",
    "all",
    "02:00:00:00:00:01",
    "00:03:00",
    "00:03",
    "om2pqvn3u6qa2",
    "a/b:c",
    "a.b:5/c@sha256:x",
    "localhost/a",
    "a b",
    "é",
    "[::1]:5/a",
    "/dev/x:rw",
    "/dev/x:/y:rr",
    "CMD",
    "NONE",
    "a 'b",
    "a\\",
    "running",
    "\u{85}zone",
    "\tzone=a\t",
    "x\n",
    "a__b/c",
    "a.-b",
    "[:]/a",
    "a:b:c",
    "90s",
    "500ms",
    "2d",
];

/// Characters that mean something to one of the types.
const LETTERS: &[char] = &[
    ':', '/', '.', '-', '_', '=', '@', '[', ']', '(', ')', ',', '!', '~', '+', ' ', '\n', '\t',
    '\0', '\'', '"', '\\', '%', '0', '1', '9', 'a', 'f', 'g', 'm', 'Z', 'é', '\u{85}', '\u{2028}',
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "-2",
    "1.0",
    "1.5",
    "0.001",
    "0.0005",
    "1e3",
    "1e-10",
    "255",
    "256",
    "65536",
    "1000000",
    "999999.5",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e300",
];

/// A value of whatever sort.
fn anything(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth > 2 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => random.below(2).eq(&0).into(),
        2 | 3 => serde_json::from_str(random.one_of(NUMBERS).unwrap()).unwrap(),
        4 | 5 => text(random).into(),
        6 => json!([]),
        7 => (0..=random.below(3)).map(|_| anything(random, depth + 1)).collect(),
        _ => {
            let fields = ["soft", "hard", "network", "bridge", "a", "name", "test", "resources"];
            let field = |random: &mut Random| {
                let name = fields[random.below(fields.len())].to_owned();
                (name, anything(random, depth + 1))
            };
            Value::Object((0..random.below(4)).map(|_| field(random)).collect())
        }
    }
}

fn text(random: &mut Random) -> String {
    let mut text = (*random.one_of(WORDS).unwrap()).to_owned();
    if random.below(3) == 0 {
        edit(random, &mut text);
    }
    text
}

/// Puts a letter in, takes one out, replaces one, or puts another word behind.
fn edit(random: &mut Random, text: &mut String) {
    let mut letters: Vec<char> = text.chars().collect();
    let at = random.below(letters.len() + 1);
    let letter = *random.one_of(LETTERS).unwrap();
    match random.below(5) {
        0 | 1 => letters.insert(at, letter),
        2 if at < letters.len() => drop(letters.remove(at)),
        3 if at < letters.len() => letters[at] = letter,
        _ => letters.extend(random.one_of(WORDS).unwrap().chars()),
    }
    *text = letters.into_iter().collect();
}

/// Changes something in the value, however deep.
fn change(random: &mut Random, value: &mut Value) {
    let deeper = random.below(8) > 0;
    match value {
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.below(items.len());
            change(random, &mut items[at]);
        }
        Value::Array(items) if random.below(2) == 0 => items.push(anything(random, 1)),
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = random.below(fields.len());
            change(random, fields.values_mut().nth(at).unwrap());
        }
        Value::Object(fields) if !fields.is_empty() && random.below(2) == 0 => {
            let name = fields.keys().nth(random.below(fields.len())).unwrap().clone();
            let value = fields.remove(&name).unwrap();
            if random.below(2) == 0 {
                fields.insert(text(random), value);
            }
        }
        Value::String(text) if random.below(3) > 0 => edit(random, text),
        value => *value = anything(random, 0),
    }
}

#[test]
fn what_is_wrong_is_wrong_for_both() {
    let (validator, strict) = (validator(false), validator(true));
    let mut random = Random::seeded(2014);
    let mut samples: Vec<Value> =
        [FULL, &added()].map(|text| serde_json::from_str(text).unwrap()).to_vec();
    samples.extend(Fleet::seeded(1).take(3).map(|one| serde_json::to_value(one).unwrap()));
    let (mut valid, mut invalid, mut exceptions) = (0, 0, BTreeSet::new());
    for round in 0..ROUNDS {
        let mut value = samples[round % samples.len()].clone();
        (0..=random.below(3)).for_each(|_| change(&mut random, &mut value));
        let text = value.to_string();
        let faults = faults(&text);
        let is_valid = validator.is_valid(&value);
        let exception: Vec<_> = faults.iter().map(|fault| (fault, looser(fault))).collect();
        match (faults.is_empty(), is_valid) {
            (true, true) => {
                valid += 1;
                let mut unknown = Faults::default();
                serde_json::from_str::<Container>(&text).unwrap().unknown(&mut unknown);
                let is_known = unknown.is_empty();
                assert_eq!(strict.is_valid(&value), is_known, "{text}: {unknown:?}");
            }
            (false, false) => invalid += 1,
            (true, false) => {
                let why: Vec<_> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
                panic!("the schema refuses what is read: {text}: {why:?}");
            }
            (false, true) => {
                for (fault, looser) in exception {
                    let looser =
                        looser.unwrap_or_else(|| panic!("only the schema takes {fault}: {text}"));
                    exceptions.insert(looser.what);
                }
            }
        }
    }
    // Each of the three was really met.
    assert!(valid > ROUNDS / 20 && invalid > ROUNDS / 3, "{valid} and {invalid} of {ROUNDS}");
    assert!(exceptions.len() > 3, "{exceptions:?}");
}

const ROUNDS: usize = 12_000;

/// How each type reads a text.
type Reads = fn(&str) -> bool;

macro_rules! texts {
    ($($type:ident)*) => {
        [$((stringify!($type), (|text| text.parse::<record::$type>().is_ok()) as Reads)),*]
    };
}

#[test]
fn each_sort_of_text_is_the_same_for_both() {
    let sorts = texts! {
        Addressing Affinity Alias Constraint ContainerId Device DomainName Duid EnvVar Expose ExtraHost
        FileMode Fixed Hostname Ifname Image IpcMode Key Link Mac NetworkName Owner Parent PidMode Platform Port
        Restart Route Rule Signal Span SwarmName Volume VolumesFrom
    };
    let schema = schema(false);
    let known = schema["$defs"].as_object().unwrap();
    let is_text = |shape: &&Value| shape["pattern"].is_string();
    let others: [(&str, Reads); 1] = [("Ipv6", |text| text.parse::<Ipv6Addr>().is_ok())];
    let sorts: Vec<(&str, Reads)> = sorts.into_iter().chain(others).collect();
    for (name, shape) in known {
        // Prefixes are what programs write; they are read a little more freely than the schema says.
        let is_here = name == "Ipv6Prefix" || sorts.iter().any(|(sort, _)| sort == name);
        assert!(is_here || !is_text(&shape), "{name} is missing here");
    }
    for (name, reads) in sorts {
        let one = json!({"$ref": format!("#/$defs/{name}"), "$defs": known});
        let validator = jsonschema::draft202012::new(&one).unwrap();
        let is_same = |text: &str| -> bool {
            let (read, valid) = (reads(text), validator.is_valid(&text.into()));
            assert!(!read || valid, "{name}: the schema refuses {text:?}");
            if valid && !read {
                let fault = format!("field \"\": {text:?} is not a constraint");
                let is_looser = match name {
                    "Fixed" | "Addressing" => is_nobody_s(text),
                    "Constraint" => (LOOSER[8].is)("requires.constraints", &fault),
                    "Image" => text.len() > 255,
                    "Route" => words_do_not_go(&text.parse::<record::Route>()),
                    "Rule" => words_do_not_go(&text.parse::<record::Rule>()),
                    _ => false,
                };
                assert!(is_looser, "{name}: only the schema takes {text:?}");
            }
            read
        };
        for text in borders() {
            is_same(&text);
        }
        // What is read is changed further: most of it is near the border.
        let mut random = Random::seeded(name.len() as u64);
        let words = WORDS.iter().chain(valid(name));
        let mut near: Vec<String> =
            words.filter(|word| is_same(word)).map(|word| (*word).to_owned()).collect();
        let (mut right, mut wrong) = (0, 0);
        for _ in 0..TEXTS {
            let mut text = match random.below(8) {
                0 => text(&mut random),
                _ => near[random.below(near.len())].clone(),
            };
            (0..=random.below(2)).for_each(|_| edit(&mut random, &mut text));
            if is_same(&text) {
                right += 1;
                near.push(text);
            } else {
                wrong += 1;
            }
        }
        assert!(right > TEXTS / 150 && wrong > TEXTS / 150, "{name}: {right} right, {wrong} wrong");
    }
}

/// Whether it is an address that no interface may have.
fn is_nobody_s(text: &str) -> bool {
    let address = text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
    let is_broadcast = |one: &IpAddr| *one == IpAddr::from([255; 4]);
    address.is_some_and(|one| {
        one.is_multicast() || one.is_unspecified() || one.is_loopback() || is_broadcast(&one)
    })
}

/// Whether the words of a route or rule are each right, and wrong together.
fn words_do_not_go<T>(read: &Result<T, record::BadWords>) -> bool {
    let Err(why) = read else { return false };
    let why = why.to_string();
    [
        "stands twice",
        "of no family",
        "other family",
        "another family",
        "bits beyond its length",
        "routes by source",
        "of no use",
        "is not a number",
        "is not a table",
        "it wants",
    ]
    .iter()
    .any(|words| why.contains(words))
}

/// Texts on both sides of every border that a pattern draws.
fn borders() -> Vec<String> {
    let mut all = Vec::new();
    for letter in (0..128).map(char::from) {
        let texts = [format!("{letter}"), format!("a{letter}"), format!("{letter}a")];
        all.extend(texts.into_iter().chain([format!("a{letter}a"), format!("a{letter}{letter}a")]));
        all.extend([format!("a={letter}"), format!("a in (b{letter}c)"), format!("/{letter}:/a")]);
    }
    for number in [0, 1, 9, 10, 64, 65, 99, 100, 255, 256, 999, 9_999, 10_000, 59_999, 60_000]
        .into_iter()
        .chain([64_999, 65_000, 65_499, 65_500, 65_529, 65_530, 65_535, 65_536, 65_540, 65_600])
        .chain([66_000, 70_000, 99_999, 100_000])
        .chain(0..140)
    {
        all.extend([format!("{number}"), format!("0{number}"), format!("SIG{number}")]);
        all.extend([format!("{number}:1"), format!("1:{number}/udp"), format!("1:00{number}")]);
        all.extend([format!("on-failure:{number}"), format!("fd00::1/{number}")]);
        all.extend([format!("1.2.{number}.4:1:1"), format!("a:{number}.2.3.4")]);
    }
    let mut may = vec![String::new()];
    for _ in 0..4 {
        let longer = may.iter().flat_map(|text| ["r", "w", "m"].map(|one| format!("{text}{one}")));
        may.extend(longer.collect::<Vec<_>>());
    }
    all.extend(may.iter().flat_map(|may| [format!("/a:{may}"), format!("/a:/b:{may}")]));
    for (before, behind) in (0..9).flat_map(|before| (0..9).map(move |behind| (before, behind))) {
        let groups = |count| vec!["f"; count].join(":");
        for middle in ["::", ":", ""] {
            for tail in ["", "1.2.3.4", ":1.2.3.4"] {
                let address = format!("{}{middle}{}{tail}", groups(before), groups(behind));
                all.extend([format!("{address}/9"), format!("[{address}]:1:1")]);
                all.extend([format!("a:{address}"), format!("f::1/1@{address}")]);
            }
        }
    }
    for length in [1, 2, 10, 11, 13, 15, 16, 31, 32, 62, 63, 64, 65, 127, 128, 129, 130, 131, 132] {
        all.extend(["a", "A", "0", "a.", "00:", "a-"].map(|one| one.repeat(length) + "a0"));
        all.extend(["a", "A", "0"].map(|one| one.repeat(length)));
        all.extend(
            ["a:b@c:", "a:", "SIG", "~container=", "a/"]
                .map(|one| one.to_owned() + &"a".repeat(length)),
        );
        all.push(vec!["00"; length].join(":"));
    }
    for length in [251, 252, 253, 254, 255, 256] {
        let name = "a.".repeat(length / 2) + &"a".repeat(length % 2);
        all.extend([name.clone(), "a".repeat(length), format!("{}=b", "a".repeat(length))]);
        all.extend([
            format!("{name}a"),
            format!("{}:1.2.3.4", "a".repeat(length)),
            format!("b:{name}a"),
        ]);
    }
    all
}

const TEXTS: usize = 2_000;

/// Texts of a sort that none of the words is.
fn valid(name: &str) -> &'static [&'static str] {
    match name {
        "Duid" => &["00:03:00:01:3a:57"],
        "FileMode" => &["0440", "777"],
        "Image" => &["registry.example:5000/a/b_c:1", "localhost/a.b/c__d--e:A-1"],
        "Constraint" => &["a in (b, c)", " a notin (b)", "a != b c", "a=!b"],
        "Signal" => &["SIGRTMIN+3", "SIGTERM"],
        "Port" => &["[::1]:0:53/udp", "127.0.0.1:65535:65535"],
        "Device" => &["/dev/a:/dev/b:rwm", "/dev/a:mw"],
        "Restart" => &["on-failure:65535", "unless-stopped"],
        "IpcMode" => &["shareable", "container:a"],
        "Route" => &[
            "2001:db8::/32 via fe80::1 from 2001:db8:1::/64 metric 10 table 5 onlink",
            "default via 192.0.2.1 src 192.0.2.9",
            "unreachable ::/0",
        ],
        "Ipv6" => &["2001:db8::9", "::ffff:192.0.2.1"],
        "Rule" => &["from 2001:db8::/64 to ::/0 table 5 priority 9", "to 192.0.2.7 lookup main"],
        _ => &[],
    }
}

/// The names that stand as tags in the sections of the manual page about fields.
fn in_the_manual() -> BTreeSet<String> {
    let page = include_str!("../man/cccf.5");
    let begin = page.find(".SH FIELDS\n").unwrap();
    let end = page.find(".SH \"WHEN TWO").unwrap();
    let lines: Vec<&str> = page[begin..end].lines().collect();
    let tags = lines.windows(2).filter(|pair| pair[0] == ".TP").map(|pair| pair[1]);
    tags.flat_map(|tag| {
        let names = tag.split_once(' ').unwrap().1.replace("\\ ", " ").replace("(required)", "");
        names.split([',', ' ']).filter(|n| !n.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn the_manual_has_every_field_and_no_other() {
    let (told, read) = (in_the_manual(), fields());
    let missing: Vec<_> = read.difference(&told).collect();
    let invented: Vec<_> = told.difference(&read).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, but {invented:?}");
    assert!(told.len() > 90, "{}", told.len());
}
