//! As much of CDDL (RFC 8610) as `pawl.cddl` needs. The crates that know all of it bring sixty others along.

use std::collections::{BTreeMap, BTreeSet};

use serde_cbor::Value;

/// The rules of a file.
pub(super) struct Schema(BTreeMap<String, Type>);

#[derive(Clone, Debug)]
enum Type {
    Map(Vec<Entry>),
    Array(Vec<Item>),
    Choice(Vec<Type>),
    Text(String),
    Integer(i128, i128),
    Rule(String),
    Size(String, usize, usize),
    Regexp(String),
    Cbor(String),
}

#[derive(Clone, Debug)]
struct Entry {
    least: usize,
    key: Type,
    value: Type,
}

#[derive(Clone, Debug)]
struct Item {
    least: usize,
    most: usize,
    value: Type,
}

impl Schema {
    /// Reads a file.
    pub(super) fn read(text: &str) -> Self {
        let mut tokens = Tokens::of(text);
        let mut rules = BTreeMap::new();
        while let Some(name) = tokens.next() {
            tokens.expect("=");
            let rule = tokens.choice();
            assert!(rules.insert(name.clone(), rule).is_none(), "{name} is there twice");
        }
        Self(rules)
    }

    /// Checks a value by a rule, and adds the rules and keys that it uses.
    pub(super) fn check(&self, rule: &str, value: &Value, used: &mut BTreeSet<String>) -> Result<(), String> {
        self.fits(&Type::Rule(rule.to_owned()), value, rule, used)
    }

    /// Returns all rules, and all keys of maps as `rule.key`.
    pub(super) fn places(&self) -> BTreeSet<String> {
        let mut places = BTreeSet::new();
        for (name, rule) in &self.0 {
            places.insert(name.clone());
            keys(name, rule, &mut places);
        }
        places
    }

    /// Returns the texts between which a rule chooses.
    pub(super) fn names(&self, rule: &str) -> Vec<String> {
        let Some(Type::Choice(choices)) = self.0.get(rule) else { panic!("{rule} is no choice") };
        let name = |choice: &Type| match choice {
            Type::Text(text) => Some(text.clone()),
            _ => None,
        };
        choices.iter().filter_map(name).collect()
    }

    fn fits(&self, rule: &Type, value: &Value, at: &str, used: &mut BTreeSet<String>) -> Result<(), String> {
        let no = || Err(format!("{at}: {value:?} does not fit {rule:?}"));
        let is = |fits: bool| if fits { Ok(()) } else { no() };
        match (rule, value) {
            (Type::Rule(name), _) => match (name.as_str(), value) {
                ("any", _)
                | ("bool", Value::Bool(_))
                | ("int", Value::Integer(_))
                | ("tstr", Value::Text(_))
                | ("bstr", Value::Bytes(_)) => Ok(()),
                ("uint", Value::Integer(value)) => is(*value >= 0),
                ("bool" | "int" | "tstr" | "bstr" | "uint", _) => no(),
                _ => {
                    let rule = self.0.get(name).ok_or_else(|| format!("{at}: there is no rule {name}"))?;
                    self.fits(rule, value, name, used)?;
                    used.insert(name.clone());
                    Ok(())
                }
            },
            (Type::Choice(choices), _) => {
                for choice in choices {
                    let mut inside = BTreeSet::new();
                    if self.fits(choice, value, at, &mut inside).is_ok() {
                        used.extend(inside);
                        return Ok(());
                    }
                }
                no()
            }
            (Type::Text(text), Value::Text(value)) => is(text == value),
            (Type::Integer(least, most), Value::Integer(value)) => is((*least..=*most).contains(value)),
            (Type::Size(base, least, most), Value::Text(value)) if base == "tstr" => {
                is((*least..=*most).contains(&value.len()))
            }
            (Type::Size(base, least, most), Value::Bytes(value)) if base == "bstr" => {
                is((*least..=*most).contains(&value.len()))
            }
            (Type::Size(base, _, bytes), Value::Integer(value)) if base == "uint" => {
                is((0..1 << (8 * bytes)).contains(value))
            }
            (Type::Regexp(pattern), Value::Text(value)) => is(matches(pattern, value)),
            (Type::Cbor(inner), Value::Bytes(bytes)) => {
                let inside = serde_cbor::from_slice(bytes).map_err(|error| format!("{at}: {error}"))?;
                self.check(inner, &inside, used)
            }
            (Type::Map(entries), Value::Map(values)) => self.fits_map(entries, values, at, used),
            (Type::Array(items), Value::Array(values)) => {
                let mut rest = values.as_slice();
                for item in items {
                    let count = rest.len().min(item.most);
                    if count < item.least {
                        return no();
                    }
                    for value in &rest[..count] {
                        self.fits(&item.value, value, at, used)?;
                    }
                    rest = &rest[count..];
                }
                is(rest.is_empty())
            }
            _ => no(),
        }
    }

    fn fits_map(
        &self,
        entries: &[Entry],
        values: &BTreeMap<Value, Value>,
        at: &str,
        used: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let mut found = vec![0; entries.len()];
        for (key, value) in values {
            let fits = |entry: &Entry| self.fits(&entry.key, key, at, &mut BTreeSet::new()).is_ok();
            let place = entries.iter().position(fits).ok_or_else(|| format!("{at}: {key:?} has no place"))?;
            found[place] += 1;
            let inside = entry_name(at, &entries[place].key);
            if let Type::Rule(rule) = &entries[place].key {
                used.insert(rule.clone());
            }
            self.fits(&entries[place].value, value, &inside, used)?;
            used.insert(inside);
        }
        match entries.iter().zip(found).find(|(entry, found)| *found < entry.least) {
            Some((entry, _)) => Err(format!("{at}: {:?} is missing", entry.key)),
            None => Ok(()),
        }
    }
}

/// The name of a map's entry; those of a table have the map's own.
fn entry_name(at: &str, key: &Type) -> String {
    match key {
        Type::Text(key) => format!("{at}.{key}"),
        Type::Integer(key, _) => format!("{at}.{key}"),
        _ => at.to_owned(),
    }
}

fn keys(at: &str, rule: &Type, places: &mut BTreeSet<String>) {
    match rule {
        Type::Map(entries) => {
            for entry in entries {
                let inside = entry_name(at, &entry.key);
                places.insert(inside.clone());
                keys(&inside, &entry.value, places);
            }
        }
        Type::Array(items) => items.iter().for_each(|item| keys(at, &item.value, places)),
        Type::Choice(choices) => choices.iter().for_each(|choice| keys(at, choice, places)),
        _ => {}
    }
}

/// Matches `[…]{n}` and `[…]{n,m}`.
fn matches(pattern: &str, text: &str) -> bool {
    let (class, count) = pattern.strip_prefix('[').unwrap().split_once("]{").unwrap();
    let count = count.strip_suffix('}').unwrap();
    let (least, most) = count.split_once(',').unwrap_or((count, count));
    let (least, most): (usize, usize) = (least.parse().unwrap(), most.parse().unwrap());
    let class: Vec<char> = class.chars().collect();
    let in_class = |character: char| {
        class.contains(&character) && character != '-'
            || class.last() == Some(&character)
            || class.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&character))
    };
    (least..=most).contains(&text.chars().count()) && text.chars().all(in_class)
}

struct Tokens(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Tokens {
    fn of(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
            let length = match first {
                ';' => rest.find('\n').unwrap_or(rest.len()),
                '"' => rest[1..].find('"').unwrap() + 2,
                '=' if rest.starts_with("=>") => 2,
                _ if is_word(first) => rest.find(|other| !is_word(other)).unwrap_or(rest.len()),
                _ => 1,
            };
            let (token, after) = rest.split_at(length);
            if first != ';' {
                tokens.push(token.to_owned());
            }
            rest = after.trim_start();
        }
        Self(tokens.into_iter().peekable())
    }

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.0.next_if(|next| next == token).is_some()
    }

    fn expect(&mut self, token: &str) {
        let next = self.next();
        assert_eq!(next.as_deref(), Some(token));
    }

    fn choice(&mut self) -> Type {
        let mut choices = vec![self.single()];
        while self.take("/") {
            choices.push(self.single());
        }
        if choices.len() == 1 { choices.remove(0) } else { Type::Choice(choices) }
    }

    fn single(&mut self) -> Type {
        let token = self.next().unwrap();
        match token.as_str() {
            "{" => self.map(),
            "[" => self.array(),
            _ => self.leaf(&token),
        }
    }

    fn leaf(&mut self, token: &str) -> Type {
        if let Some(text) = token.strip_prefix('"') {
            return Type::Text(text.trim_end_matches('"').to_owned());
        }
        if token.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            let (least, most) = token.split_once("..").unwrap_or((token, token));
            return Type::Integer(least.parse().unwrap(), most.parse().unwrap());
        }
        if self.take(".size") {
            let size = if self.take("(") { self.next().unwrap() } else { return self.exact(token) };
            self.expect(")");
            let (least, most) = size.split_once("..").unwrap();
            return Type::Size(token.to_owned(), least.parse().unwrap(), most.parse().unwrap());
        }
        if self.take(".regexp") {
            return Type::Regexp(self.next().unwrap().trim_matches('"').to_owned());
        }
        if self.take(".cbor") {
            return Type::Cbor(self.next().unwrap());
        }
        Type::Rule(token.to_owned())
    }

    fn exact(&mut self, base: &str) -> Type {
        let size = self.next().unwrap().parse().unwrap();
        Type::Size(base.to_owned(), size, size)
    }

    fn map(&mut self) -> Type {
        let mut entries = Vec::new();
        while !self.take("}") {
            let least = usize::from(!(self.take("?") || self.take("*")));
            self.take("+");
            let token = self.next().unwrap();
            let key = if self.take(":") {
                Type::Text(token.trim_matches('"').to_owned())
            } else {
                let key = self.leaf(&token);
                self.expect("=>");
                key
            };
            entries.push(Entry { least, key, value: self.choice() });
            self.take(",");
        }
        Type::Map(entries)
    }

    fn array(&mut self) -> Type {
        let mut items = Vec::new();
        while !self.take("]") {
            let mut token = self.next().unwrap();
            if self.take(":") {
                token = self.next().unwrap();
            }
            let (mut least, mut most) = (1, 1);
            if token == "*" || self.take("*") {
                least = token.parse().unwrap_or(0);
                token = self.next().unwrap();
                most = match token.parse() {
                    Ok(number) => {
                        token = self.next().unwrap();
                        number
                    }
                    Err(_) => usize::MAX,
                };
            }
            let value = match token.as_str() {
                "{" => self.map(),
                "[" => self.array(),
                _ => self.leaf(&token),
            };
            items.push(Item { least, most, value });
            self.take(",");
        }
        Type::Array(items)
    }
}
