//! Variables in values: `$NAME`, `${NAME}` and its forms with a default, as the Compose
//! Specification has them. One pass over the text, however it is nested.

/// How deep `${A:-${B:-…}}` may go.
const DEEPEST: usize = 32;

/// The longest value that comes out, in bytes.
const LONGEST: usize = 1 << 20;

/// Where variables get their values, and who is told of those that have none.
pub struct Variables<'a> {
    /// The value of a name.
    pub value: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Is told a name without value for which no default is given.
    pub missing: &'a mut dyn FnMut(&str),
}

/// The text with its variables replaced by their values; one without value is empty.
///
/// # Errors
/// What is wrong with the text, or what the text itself says of a variable that it must have.
pub fn interpolate(text: &str, variables: &mut Variables) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut scan = Scan { text, at: 0, variables };
    scan.run(&mut out, 0, true)?;
    Ok(out)
}

struct Scan<'t, 'v, 'a> {
    text: &'t str,
    at: usize,
    variables: &'v mut Variables<'a>,
}

impl<'t> Scan<'t, '_, '_> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Copies up to the end of the text, or inside braces up to the one that closes them. What is
    /// not `live` is passed over without looking anything up.
    fn run(&mut self, out: &mut String, depth: usize, live: bool) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("variables are nested more than {DEEPEST} deep"));
        }
        loop {
            let rest = self.rest();
            let end = rest.find(|c| c == '$' || (c == '}' && depth > 0));
            let Some(end) = end else {
                self.at = self.text.len();
                self.put(out, rest, live)?;
                return match depth {
                    0 => Ok(()),
                    _ => Err("a \"${\" is not closed with \"}\"".to_owned()),
                };
            };
            self.put(out, &rest[..end], live)?;
            self.at += end + 1;
            if rest[end..].starts_with('}') {
                return Ok(());
            }
            self.variable(out, depth, live)?;
        }
    }

    fn put(&self, out: &mut String, text: &str, live: bool) -> Result<(), String> {
        if live {
            if out.len() + text.len() > LONGEST {
                return Err(format!("the value is longer than {LONGEST} bytes"));
            }
            out.push_str(text);
        }
        Ok(())
    }

    /// What stands behind a `$`.
    fn variable(&mut self, out: &mut String, depth: usize, live: bool) -> Result<(), String> {
        let rest = self.rest();
        if rest.starts_with('$') {
            self.at += 1;
            return self.put(out, "$", live);
        }
        if rest.starts_with('{') {
            self.at += 1;
            return self.braced(out, depth, live);
        }
        match self.name() {
            Some(name) => self.plain(out, name, live),
            None => Err("a \"$\" is followed by no name; write \"$$\" for \"$\" itself".to_owned()),
        }
    }

    fn name(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        self.at += end;
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts.then_some(name)
    }

    fn plain(&mut self, out: &mut String, name: &str, live: bool) -> Result<(), String> {
        if !live {
            return Ok(());
        }
        match (self.variables.value)(name) {
            Some(value) => self.put(out, value, true),
            None => {
                (self.variables.missing)(name);
                Ok(())
            }
        }
    }

    /// What stands behind a `${`.
    fn braced(&mut self, out: &mut String, depth: usize, live: bool) -> Result<(), String> {
        let Some(name) = self.name() else {
            return Err("a \"${\" is followed by no name".to_owned());
        };
        let rest = self.rest();
        if rest.starts_with('}') {
            self.at += 1;
            return self.plain(out, name, live);
        }
        let colon = rest.starts_with(':');
        let Some(sign @ ('-' | '?' | '+')) = rest[usize::from(colon)..].chars().next() else {
            return Err(format!(
                "\"${{{name}\" is followed by none of \"}}\", \":-\", \"-\", \":?\", \"?\", \
                 \":+\", \"+\""
            ));
        };
        self.at += usize::from(colon) + 1;
        let value = (self.variables.value)(name).filter(|value| !(colon && value.is_empty()));
        match (sign, value) {
            ('-', Some(value)) => {
                self.put(out, value, live)?;
                self.run(out, depth + 1, false)
            }
            ('-', None) => self.run(out, depth + 1, live),
            ('+', value) => self.run(out, depth + 1, live && value.is_some()),
            (_, Some(value)) => {
                self.put(out, value, live)?;
                self.run(out, depth + 1, false)
            }
            (_, None) => {
                let mut why = String::new();
                self.run(&mut why, depth + 1, live)?;
                match live {
                    true if why.is_empty() => Err(format!("the variable \"{name}\" is not set")),
                    true => Err(format!("the variable \"{name}\" is not set: {why}")),
                    false => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(name: &str) -> Option<&'a str> {
        match name {
            "A" => Some("one"),
            "E" => Some(""),
            "_b2" => Some("two"),
            _ => None,
        }
    }

    fn filled(text: &str) -> Result<(String, Vec<String>), String> {
        let mut missing = Vec::new();
        let mut told = |name: &str| missing.push(name.to_owned());
        let mut variables = Variables { value: &|name| value(name), missing: &mut told };
        let text = interpolate(text, &mut variables)?;
        Ok((text, missing))
    }

    #[test]
    fn every_form_of_the_specification() {
        for (text, want) in [
            ("", ""),
            ("no variable }", "no variable }"),
            ("$A", "one"),
            ("x${A}y$A-$_b2.", "xoneyone-two."),
            ("$$A $${A}", "$A ${A}"),
            ("${A:-d} ${A-d} ${E:-d} ${E-d} ${N:-d} ${N-d}", "one one d  d d"),
            ("${A:+d} ${A+d} ${E:+d} ${E+d} ${N:+d}${N+d}", "d d  d "),
            ("${A:?w} ${A?w} ${E?w}", "one one "),
            ("${N:-${M:-$A}}", "one"),
            ("${N:-a${E:-b}c}d", "abcd"),
            ("${A:-${N:?never}}", "one"),
            ("${N:-}", ""),
            ("${N:-a:-b?c+d}", "a:-b?c+d"),
            ("é${N:-ü}é", "éüé"),
        ] {
            assert_eq!(filled(text).unwrap(), (want.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn a_variable_without_value_is_empty_and_told() {
        let (text, missing) = filled("[$N] [${M}] ${A:-$K}").unwrap();
        assert_eq!((text.as_str(), missing), ("[] [] one", vec!["N".to_owned(), "M".to_owned()]));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, part) in [
            ("$", "no name"),
            ("$1", "no name"),
            ("a$ b", "no name"),
            ("${}", "no name"),
            ("${1}", "no name"),
            ("${A", "none of"),
            ("${A b}", "none of"),
            ("${A:b}", "none of"),
            ("${N:-x", "not closed"),
            ("${N:-${A}", "not closed"),
            ("${N:?give it}", "\"N\" is not set: give it"),
            ("${N?}", "\"N\" is not set"),
            ("${E:?empty}", "\"E\" is not set: empty"),
        ] {
            let why = filled(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert!(filled(&"${N:-".repeat(1_000_000)).unwrap_err().contains("nested"));
        let long = "x".repeat(1000);
        let value = |_: &str| Some(long.as_str());
        let mut variables = Variables { value: &value, missing: &mut |_| () };
        let why = interpolate(&"$A".repeat(2000), &mut variables).unwrap_err();
        assert!(why.contains("longer"), "{why}");
    }
}
