//! Every parser that meets foreign bytes gets the corpus of the fuzz targets, and changes of it that
//! are the same at each run.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/doors.rs"]
#[allow(dead_code)]
mod doors;

/// How many changes of its corpus a door gets, and of how many bytes in all.
const CHANGES: usize = 500;
const BYTES: usize = 512 * 1024;

/// Pieces that mean something to one of the parsers.
const WORDS: [&[u8]; 24] = [
    b"\n",
    b"\0",
    b"\r\n",
    b" ",
    b",",
    b":",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b";",
    b"\\",
    b"&#x2c",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"-1",
    b"0",
    b"4294967296",
    b"18446744073709551616",
    b"::",
    b"duid ",
    b"*",
    b"\xe2\x80\xae",
];

macro_rules! doors {
    ($($name:ident $corpus:literal;)*) => {
        $(#[test]
        fn $name() {
            try_at(doors::$name, $corpus);
        })*

        #[test]
        fn every_corpus_has_a_door_and_a_target() {
            let mut corpora = names("corpus");
            let mut targets = names("fuzz_targets");
            corpora.sort();
            targets.sort();
            assert_eq!(corpora, [$($corpus),*]);
            let rust = |name: &str| format!("{}.rs", name.replace('-', "_"));
            assert_eq!(targets, corpora.iter().map(|name| rust(name)).collect::<Vec<_>>());
        }
    };
}

doors! {
    container "container";
    dhcp6 "dhcp6";
    dnsmasq "dnsmasq";
    hook "hook";
    isc "isc";
    kea "kea";
    kea_answer "kea-answer";
    odhcpd "odhcpd";
    records "records";
    rules "rules";
    spool "spool";
    template "template";
}

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new("fuzz").join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn try_at(door: fn(&[u8]), corpus: &str) {
    let directory = Path::new("fuzz/corpus").join(corpus);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!texts.is_empty());
    for (path, text) in paths.iter().zip(&texts) {
        try_one(door, text, &path.display().to_string());
    }
    try_one(door, b"", "nothing");
    let (mut chance, mut bytes) = (Chance(7), 0);
    for count in 0..CHANGES {
        let at = count % texts.len();
        let text = changed(&texts[at], &texts, &mut chance);
        bytes += text.len();
        if bytes > BYTES {
            break;
        }
        try_one(door, &text, &format!("change {count} of {}", paths[at].display()));
    }
}

fn try_one(door: fn(&[u8]), text: &[u8], what: &str) {
    if catch_unwind(|| door(text)).is_err() {
        let name = what.replace(['/', ' '], "-");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("corpus-{name}"));
        fs::write(&path, text).unwrap();
        panic!("{what}: kept as {}", path.display());
    }
}

/// The text with one to four changes: cut, doubled, overwritten, put together with another.
fn changed(text: &[u8], texts: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(text.len() + 1);
        let end = (at + 1 + chance.below(40)).min(text.len()).max(at);
        match chance.below(7) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..end)),
            2 => {
                let piece = text[at..end].to_vec();
                let to = chance.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            3 => text[at..end].iter_mut().for_each(|byte| *byte ^= 1 << chance.below(8)),
            4 => {
                let word = WORDS[chance.below(WORDS.len())];
                text.splice(at..at, word.iter().copied());
            }
            5 => {
                let word = WORDS[chance.below(WORDS.len())];
                text.splice(at..end, word.iter().copied());
            }
            _ => {
                let other = &texts[chance.below(texts.len())];
                let from = chance.below(other.len() + 1);
                text.truncate(at);
                text.extend_from_slice(&other[from..]);
            }
        }
    }
    text
}

/// Marsaglia's xorshift: the same chances at each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
