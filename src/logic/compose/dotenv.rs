//! Files of variables, a `NAME=value` on each line: what `--env-file`, `env_file` and `label_file`
//! name.

use std::collections::HashMap;

use super::interpolate::{Variables, interpolate};

/// The most that all values of one file may come to, in bytes.
const MOST: usize = 4 << 20;

/// Where a file's variables get the values of others, and who is told of those without.
pub struct Around<'a> {
    /// The value of a name from outside the file; it counts before one of the file's own.
    pub value: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Is told a name without value for which no default is given.
    pub missing: &'a mut dyn FnMut(&str),
}

/// The variables of a file in their order, the last of each name. A name alone on its line takes
/// its value from outside, and is left out if there is none.
///
/// Values are unquoted (with ` #` beginning a comment), in single quotes (as they stand), or in
/// double quotes (with escapes); variables in the first and the last are replaced. `export` before
/// a name is passed over.
///
/// # Errors
/// Every line that is wrong, with its number.
pub fn variables(text: &str, around: &mut Around) -> Result<Vec<(String, String)>, Vec<String>> {
    let mut file = File { found: Vec::new(), places: HashMap::new(), size: 0 };
    let mut wrong = Vec::new();
    let mut lines = Lines { rest: text.strip_prefix('\u{feff}').unwrap_or(text), number: 0 };
    while let Some(line) = lines.next() {
        let number = lines.number;
        if let Err(why) = statement(line, &mut lines, &mut file, around) {
            wrong.push(format!("line {number}: {why}"));
        }
        if file.size > MOST {
            wrong.push(format!("line {number}: the values are longer than {MOST} bytes together"));
            break;
        }
    }
    if wrong.is_empty() { Ok(file.found) } else { Err(wrong) }
}

/// The variables of a file without any rules: what is behind the first `=` is the value.
pub fn raw(text: &str) -> Result<Vec<(String, String)>, Vec<String>> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) => found.push((name.trim().to_owned(), value.to_owned())),
            None => wrong.push(format!("line {}: there is no \"=\"", at + 1)),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// The variables so far, found by name in one step.
struct File {
    found: Vec<(String, String)>,
    places: HashMap<String, usize>,
    size: usize,
}

impl File {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|at| self.found[*at].1.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        self.size += name.len() + value.len();
        match self.places.get(name) {
            Some(at) => self.found[*at].1 = value,
            None => {
                self.places.insert(name.to_owned(), self.found.len());
                self.found.push((name.to_owned(), value));
            }
        }
    }
}

struct Lines<'t> {
    rest: &'t str,
    number: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number += 1;
        Some(line)
    }
}

fn statement<'t>(
    line: &'t str,
    lines: &mut Lines<'t>,
    file: &mut File,
    around: &mut Around,
) -> Result<(), String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let bare = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let Some(end) = bare.find(['=', ':']) else {
        let name = named(bare.split(" #").next().unwrap_or(bare).trim_end())?;
        if let Some(value) = (around.value)(name) {
            file.set(name, value.to_owned());
        }
        return Ok(());
    };
    let name = named(bare[..end].trim_end())?;
    let value = bare[end + 1..].trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = quoted(&value[1..], quote, lines)?;
            match quote {
                '"' => filled(&escapes(&inner), file, around)?,
                _ => inner,
            }
        }
        Some('#') if bare[end + 1..].starts_with([' ', '\t']) => String::new(),
        _ => filled(value.split(" #").next().unwrap_or(value).trim_end(), file, around)?,
    };
    file.set(name, value);
    Ok(())
}

fn named(name: &str) -> Result<&str, String> {
    let word = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
    match !name.is_empty() && name.chars().all(word) {
        true => Ok(name),
        false => Err(format!("\"{name}\" is not the name of a variable")),
    }
}

fn filled(text: &str, file: &File, around: &mut Around) -> Result<String, String> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    let outer = around.value;
    let value = |name: &str| outer(name).or_else(|| file.get(name));
    interpolate(text, &mut Variables { value: &value, missing: around.missing })
}

/// The text up to the closing quote, over several lines if need be; a backslash before the quote
/// makes it text.
fn quoted(first: &str, quote: char, lines: &mut Lines) -> Result<String, String> {
    let mut text = String::new();
    let mut line = first;
    loop {
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                let behind = line[at + 1..].trim();
                return match behind.is_empty() || behind.starts_with('#') {
                    true => Ok(text),
                    false => Err("there is text behind the closing quote".to_owned()),
                };
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some((_, next)) if next == quote => text.push(next),
                Some((_, next)) => text.extend(['\\', next]),
                None => text.push('\\'),
            }
        }
        text.push('\n');
        line = lines.next().ok_or("a quote is not closed")?;
    }
}

/// The escapes of double quotes. `\$` becomes `$$`, which stands for a `$` that begins no variable.
fn escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Vec<String>> {
        let value = |name: &str| (name == "OUT").then_some("side");
        let mut around = Around { value: &value, missing: &mut |_| () };
        let found = variables(text, &mut around)?;
        Ok(found.iter().map(|(name, value)| format!("{name}={value:?} ")).collect())
    }

    #[test]
    fn every_form_of_a_line() {
        for (text, want) in [
            ("", ""),
            ("A=1\nB = two words \n\n# C=3\nA=4", r#"A="4" B="two words" "#),
            ("export A=1\nexporter=2", r#"A="1" exporter="2" "#),
            ("A: yaml", r#"A="yaml" "#),
            ("A=x # comment\nB=x#y\nC= # all\nD=#z", "A=\"x\" B=\"x#y\" C=\"\" D=\"#z\" "),
            ("A='$OUT # \\n' # c\nB=\"$OUT\"", "A=\"$OUT # \\\\n\" B=\"side\" "),
            (r#"A="a\tb\"c\\d\$OUT""#, r#"A="a\tb\"c\\d$OUT" "#),
            ("A=\"one\ntwo\"\nB=1", r#"A="one\ntwo" B="1" "#),
            ("A=${N:-d}\nB=$A$A\nOUT=in\nC=$OUT", r#"A="d" B="dd" OUT="in" C="side" "#),
            ("OUT\nNONE\nA.b-c=1\r\nD=", r#"OUT="side" A.b-c="1" D="" "#),
        ] {
            assert_eq!(read(text).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        let wrong = read("A=1\n=2\nB C=3\nD='x' y\nE=$\nF=\"open\n\n").unwrap_err();
        let starts: Vec<&str> = wrong.iter().map(|why| &why[..7]).collect();
        assert_eq!(starts, ["line 2:", "line 3:", "line 4:", "line 5:", "line 6:"], "{wrong:?}");
    }

    #[test]
    fn values_that_grow_without_end_are_refused() {
        let mut text = "V0=xxxxxxxxxx\n".to_owned();
        for at in 1..60 {
            text += &format!("V{at}=$V{0}$V{0}\n", at - 1);
        }
        assert!(read(&text).unwrap_err()[0].contains("longer"));
    }

    #[test]
    fn raw_lines_have_no_rules() {
        let found = raw("# c\nA='$x' # y\n\nB=").unwrap();
        assert_eq!(found[0], ("A".to_owned(), "'$x' # y".to_owned()));
        assert_eq!(found[1], ("B".to_owned(), String::new()));
        assert_eq!(raw("A").unwrap_err(), ["line 1: there is no \"=\""]);
    }
}
