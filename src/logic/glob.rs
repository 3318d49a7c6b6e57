//! Patterns with `*`, `?` and `[..]`, matched in time that is linear in the text.
//!
//! The text comes from a client, so no text may be dear to match. A pattern is an automaton whose
//! states are the bits of one word: each character of the text costs a shift and two masks, however
//! the pattern is made.

use std::fmt;
use std::str::FromStr;

use crate::record::NotA;

/// The most characters that a pattern may ask for; `*` does not count.
pub const LONGEST: usize = 127;

/// A pattern: `*` is any text, `?` any character, `[a-z]` one of a set and `[!a-z]` one that is
/// not in it. In a set `]` stands first if at all. `[*]` is `*` itself.
#[derive(Clone)]
pub struct Glob {
    text: Box<str>,
    fold: bool,
    atoms: Vec<Atom>,
    /// A bit for each state that any character leads back to.
    loops: u128,
    /// For each ASCII character the states that it leads on from.
    ascii: Box<[u128; 128]>,
}

/// What one character has to be.
#[derive(Clone, Debug, PartialEq)]
enum Atom {
    Any,
    Is(char),
    In { not: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// A pattern that takes upper and lower case ASCII letters for the same.
    ///
    /// # Errors
    /// When a set is not closed, or the pattern is longer than [`LONGEST`].
    pub fn caseless(text: &str) -> Result<Glob, NotA> {
        Glob::parse(text, true)
    }

    fn parse(text: &str, fold: bool) -> Result<Glob, NotA> {
        let wrong = || NotA::new(text, "a pattern (*, ? and [..], at most 127 characters)");
        let (mut atoms, mut loops) = (Vec::new(), 0);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let atom = match c {
                '*' => {
                    loops |= 1 << atoms.len();
                    continue;
                }
                '?' => Atom::Any,
                '[' => {
                    let (atom, rest) = set(chars.as_str(), fold).ok_or_else(wrong)?;
                    chars = rest.chars();
                    atom
                }
                c => Atom::Is(folded(c, fold)),
            };
            if atoms.len() == LONGEST {
                return Err(wrong());
            }
            atoms.push(atom);
        }
        let mut glob = Glob { text: text.into(), fold, atoms, loops, ascii: Box::new([0; 128]) };
        for code in 0..128u8 {
            glob.ascii[usize::from(code)] = glob.steps(folded(char::from(code), fold));
        }
        Ok(glob)
    }

    /// Whether the whole of `text` is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        let mut states = 1u128;
        for c in text.chars() {
            let steps = match u8::try_from(c) {
                Ok(code) if code < 128 => self.ascii[usize::from(code)],
                _ => self.steps(c),
            };
            states = ((states & steps) << 1) | (states & self.loops);
            if states == 0 {
                return false;
            }
        }
        states >> self.atoms.len() & 1 == 1
    }

    /// The states that a character leads on from.
    fn steps(&self, c: char) -> u128 {
        let fits = |atom: &Atom| match atom {
            Atom::Any => true,
            Atom::Is(is) => *is == c,
            Atom::In { not, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *not
            }
        };
        let bits = self.atoms.iter().enumerate().filter(|(_, atom)| fits(atom));
        bits.fold(0, |steps, (at, _)| steps | 1 << at)
    }
}

/// A set behind its `[`, and what follows its `]`; nothing when it has none.
fn set(text: &str, fold: bool) -> Option<(Atom, &str)> {
    let (not, text) = match text.strip_prefix(['!', '^']) {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    let mut chars = text.chars();
    loop {
        let first = chars.next()?;
        if first == ']' && !ranges.is_empty() {
            return Some((Atom::In { not, ranges }, chars.as_str()));
        }
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                chars = ahead;
                last
            }
            _ => first,
        };
        ranges.push((first, last));
        if fold {
            // What the range has of upper case letters it has of lower case ones as well.
            let (from, to) = (first.max('A'), last.min('Z'));
            if from <= to {
                ranges.push((from.to_ascii_lowercase(), to.to_ascii_lowercase()));
            }
        }
    }
}

fn folded(c: char, fold: bool) -> char {
    if fold { c.to_ascii_lowercase() } else { c }
}

impl FromStr for Glob {
    type Err = NotA;

    /// A pattern that tells upper and lower case apart.
    fn from_str(text: &str) -> Result<Glob, NotA> {
        Glob::parse(text, false)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.text, if self.fold { " in any case" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(text)
    }

    #[test]
    fn patterns_say_what_they_say_in_a_shell() {
        for (pattern, fit, unfit) in [
            ("cam-*", "cam-", "xcam-1"),
            ("*", "", "\u{0}"),
            ("", "", "x"),
            ("a?c", "aéc", "ac"),
            ("*.example", "a.b.example", "a.example.b"),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("[]x]", "]", "a"),
            ("[a-]", "-", "b"),
            ("[*][?]", "*?", "ab"),
            ("a*b*c", "a--b--c", "a--c--b"),
            ("**a**", "a", "b"),
        ] {
            assert!(fits(pattern, fit), "{pattern} {fit}");
            assert!(pattern == "*" || !fits(pattern, unfit), "{pattern} {unfit}");
        }
    }

    #[test]
    fn case_counts_or_not() {
        let caseless = |pattern: &str, text: &str| Glob::caseless(pattern).unwrap().matches(text);
        assert!(caseless("CAM-[A-C]*", "cam-b1") && caseless("cam-[a-c]", "CAM-B"));
        assert!(!fits("CAM", "cam"));
        assert!(!caseless("[!a]", "A"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["[", "[]", "a[b", "[!", &"x".repeat(128)] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
        let longest = "x".repeat(127);
        assert!(fits(&format!("*{longest}*"), &format!("y{longest}")));
        assert!(!fits(&longest, &"x".repeat(126)));
    }

    /// What each pattern means, tried out in every way there is.
    fn slowly(atoms: &[char], text: &[char]) -> bool {
        match (atoms.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => {
                slowly(&atoms[1..], text) || (!text.is_empty() && slowly(atoms, &text[1..]))
            }
            (Some('?'), Some(_)) => slowly(&atoms[1..], &text[1..]),
            (Some(a), Some(b)) if a == b => slowly(&atoms[1..], &text[1..]),
            _ => false,
        }
    }

    #[test]
    fn it_is_as_if_every_way_had_been_tried() {
        let words = |letters: &[char], most: usize| {
            let mut all: Vec<Vec<char>> = vec![vec![]];
            let mut last = all.clone();
            for _ in 0..most {
                last = last
                    .iter()
                    .flat_map(|word| letters.iter().map(|c| [&word[..], &[*c]].concat()))
                    .collect();
                all.extend(last.iter().cloned());
            }
            all
        };
        let texts = words(&['a', 'b'], 5);
        for pattern in words(&['a', 'b', '*', '?'], 4) {
            let glob: Glob = pattern.iter().collect::<String>().parse().unwrap();
            for text in &texts {
                let word: String = text.iter().collect();
                assert_eq!(glob.matches(&word), slowly(&pattern, text), "{glob} {word}");
            }
        }
    }

    #[test]
    fn no_text_is_dear_to_match() {
        let glob: Glob = "*a".repeat(60).parse().unwrap();
        // A matcher that tries one way after another does not end here.
        assert!(!glob.matches(&("a".repeat(1_000_000) + "b")));
    }
}
