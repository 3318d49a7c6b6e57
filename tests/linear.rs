//! No document, of whatever shape, takes more than linear time.
//!
//! Each shape is made in two sizes, the second sixteen times the first. What is linear takes sixteen
//! times as long, what is quadratic up to two hundred and fifty-six times. The sizes are such that
//! comparing every pair once would show.

use std::fmt::Write;
use std::time::Duration;

use leasepipe::logic::check::check;
use leasepipe::pipe::{Found, Reader};
use leasepipe::record::{Container, Faults, Record, Shape};
use nix::time::{ClockId, clock_gettime};

/// How much longer the second size is, and how much longer it may take.
const FACTOR: usize = 16;
const MOST: f64 = 48.0;

/// A document with these fields, of about so many bytes.
fn document(fields: &str) -> String {
    format!(r#"{{"id":"a","image":"b",{fields}}}"#)
}

/// So many pieces, each made of its number, with commas between.
fn pieces(count: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        write!(text, "{comma}{}", piece(number)).unwrap();
    }
    text
}

fn list(field: &str, count: usize, piece: impl Fn(usize) -> String) -> String {
    document(&format!("\"{field}\":[{}]", pieces(count, |n| format!("{:?}", piece(n)))))
}

fn object(field: &str, count: usize, piece: impl Fn(usize) -> String) -> String {
    document(&format!("\"{field}\":{{{}}}", pieces(count, piece)))
}

/// Everything that is done with a document when it is read, checked and written.
fn work(text: &str) {
    let mut faults = Faults::default();
    Container::faults(text, &mut faults);
    let mut reader = Reader::new(text.as_bytes(), "x");
    loop {
        let record = match reader.read(&mut || Ok(())).unwrap() {
            Found::Record(_, record) => record,
            Found::Bad(_) => continue,
            Found::End => return,
        };
        if let Record::Container(container) = &record {
            check(container);
            container.unknown(&mut Faults::default());
        }
        serde_json::to_string(&record).unwrap();
    }
}

/// The processor time that it takes: what else runs on the machine does not count.
fn time(text: &str) -> f64 {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let once = || {
        let start = now();
        work(text);
        (now() - start).as_secs_f64()
    };
    (0..3).map(|_| once()).fold(f64::MAX, f64::min)
}

/// Measures a shape in two sizes; the smaller takes some milliseconds, so that the clock tells.
fn linear(what: &str, size: usize, make: impl Fn(usize) -> String) {
    let (small, large) = (make(size), make(size * FACTOR));
    let mut ratio = 0.0;
    // A cache that is shared makes a measurement longer, and seldom all of them.
    for _ in 0..4 {
        let (few, many) = (time(&small), time(&large));
        ratio = many / few;
        if ratio <= MOST {
            return;
        }
    }
    panic!("{what}: {FACTOR} times the length takes {ratio:.1} times the time");
}

macro_rules! shapes {
    ($($name:ident $size:literal $make:expr;)*) => {$(
        #[test]
        fn $name() {
            linear(stringify!($name), $size, $make);
        }
    )*};
}

shapes! {
    unknown_fields 2_000 |n| document(&pieces(n, |n| format!("\"x{n}\":{n}")));
    unknown_fields_with_escapes 2_000 |n| document(&pieces(n, |n| format!("\"\\u0078{n}\":[{n}]")));
    bad_fields_beside_unknown_ones 2_000 |n| {
        document(&format!("\"memory\":[],{}", pieces(n, |n| format!("\"x{n}\":{n}"))))
    };
    fields_inside_a_network 2_000 |n| {
        document(&format!("\"networks\":[{{\"bridge\":\"b\",{}}}]", pieces(n, |n| format!("\"x{n}\":1"))))
    };
    a_field_that_stands_twice 2_000 |n| {
        document(&format!("{},\"x0\":1", pieces(n, |n| format!("\"x{n}\":1"))))
    };
    deep_lists 20_000 |n| document(&format!("\"x\":{}{}", "[".repeat(n), "]".repeat(n)));
    deep_objects 20_000 |n| document(&format!("\"x\":{}1{}", "{\"a\":".repeat(n), "}".repeat(n)));
    deep_where_it_is_looked_at 20_000 |n| {
        document(&format!("\"ports\":{}{}", "[".repeat(n), "]".repeat(n)))
    };
    ports 1_000 |n| list("ports", n, |n| format!("{}:{}", 1 + n % 60_000, 1 + n % 9));
    one_port_on_many_addresses 1_000 |n| {
        list("ports", n, |n| format!("10.{}.{}.{}:80:80", n >> 16 & 255, n >> 8 & 255, n & 255))
    };
    one_port_again_and_again 1_000 |n| list("ports", n, |n| format!("80:{}", 1 + n % 9_999));
    bad_ports 1_000 |n| list("ports", n, |n| format!("{n}:0"));
    variables 1_000 |n| list("env", n, |n| format!("A{n}={n}"));
    one_variable 1_000 |n| list("env", n, |n| format!("A={n}"));
    volumes 1_000 |n| list("volumes", n, |n| format!("/a{n}:/b{n}:ro,z"));
    one_mount_point 1_000 |n| list("volumes", n, |n| format!("/a{n}:/b"));
    mount_options 5_000 |n| list("volumes", 1, |_| format!("/a:/b:{}", "ro,".repeat(n)));
    devices 1_000 |n| list("devices", n, |n| format!("/dev/a{n}:rw"));
    networks 1_000 |n| list("networks", n, |n| format!("n{n}"));
    one_network 1_000 |n| list("networks", n, |_| "n".to_owned());
    addresses 1_000 |n| list("addresses", n, |n| format!("2001:db8::{:x}:1/64", n & 0xffff));
    capabilities 1_000 |n| list("cap_add", n, |n| format!("CAP_{n}"));
    words 5_000 |n| list("cmd", n, |n| format!("w{n}"));
    labels 1_000 |n| object("labels", n, |n| format!("\"l{n}\":\"x\""));
    bad_labels 1_000 |n| object("labels", n, |n| format!("\"l{n}\":{n}"));
    limits 1_000 |n| object("ulimits", n, |n| format!("\"l{n}\":1"));
    settings 1_000 |n| object("sysctls", n, |n| format!("\"net.l{n}\":\"1\""));
    constraints 1_000 |n| {
        let all = pieces(n, |n| format!("\"l{} notin (a{n}, b)\"", n % 7));
        document(&format!("\"requires\":{{\"constraints\":[{all}]}}"))
    };
    values_of_a_constraint 5_000 |n| {
        let all = pieces(n, |n| format!("v{n}"));
        document(&format!("\"requires\":{{\"constraints\":[\"z in ({all})\",\"z in ({all})\"]}}"))
    };
    affinities 1_000 |n| {
        let all = pieces(n, |n| format!("\"group=g{n}\""));
        document(&format!("\"requires\":{{\"affinity\":[{all}],\"anti_affinity\":[{all}]}}"))
    };
    interfaces 300 |n| {
        let one = |n| format!("{{\"name\":\"e{}\",\"link\":\"l\",\"bridge\":\"b\",\"mac\":\"02:00:00:00:00:01\"}}", n % 99);
        document(&format!("\"interfaces\":[{}]", pieces(n, one)))
    };
    a_long_command 200_000 |n| document(&format!("\"cmd\":\"{}\"", "a'b' ".repeat(n / 5)));
    a_command_that_never_ends 200_000 |n| document(&format!("\"cmd\":\"'{}\"", "\\\\ ".repeat(n / 3)));
    a_long_image 200_000 |n| document(&format!("\"x\":1,\"platform\":\"{}\"", "a/".repeat(n / 2)));
    a_long_name 200_000 |n| format!("{{\"id\":\"{}\",\"image\":\"b\"}}", "x".repeat(n));
    a_long_reference 200_000 |n| format!("{{\"id\":\"a\",\"image\":\"{}\"}}", "a.-_".repeat(n / 4));
    a_long_field_name 200_000 |n| document(&format!("\"{}\":1", "x".repeat(n)));
    a_long_number 200_000 |n| document(&format!("\"memory\":{}", "1".repeat(n)));
    long_escapes 200_000 |n| document(&format!("\"user\":\"{}\"", "\\u0041".repeat(n / 6)));
    blanks 200_000 |n| document(&format!("\"x\":{}1", " ".repeat(n)));
    lines 200_000 |n| document(&format!("\"x\":[{}1]", "1,\n".repeat(n / 3)));
    records_that_never_end 50_000 |n| "{\n".repeat(n / 2);
    brackets_that_never_end 50_000 |n| "[\n".repeat(n / 2);
    lines_that_are_none 50_000 |n| "{\"id\":\n".repeat(n / 7);
}
