//! Typed values out of TOML tables; whatever is wrong becomes a problem with its line, and reading goes on.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::keys::{self, Section};

/// Keys whose values are never shown: what was pasted there instead of a path may be the secret itself.
const UNSHOWN: [&str; 2] = ["key_file", "token_file"];

/// The text, where its values stand, and what was found wrong with it.
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) problems: Vec<Problem>,
    /// By section and place in the list of that section.
    lines: BTreeMap<(&'static str, usize), Lines>,
}

/// The lines of an item.
struct Lines {
    header: usize,
    keys: BTreeMap<String, usize>,
}

impl<'t> Document<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new(), lines: BTreeMap::new() }
    }

    /// The line, counted from 1, of a place in the text.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|octet| *octet == b'\n').count() + 1
    }

    /// The line of a key of an item, or of the item's header when the key is not given.
    pub(super) fn line_of(&self, section: &'static str, index: usize, key: &str) -> Option<usize> {
        let lines = self.lines.get(&(section, index))?;
        Some(lines.keys.get(key).copied().unwrap_or(lines.header))
    }

    pub(super) fn problem(&mut self, offset: usize, message: String) {
        let line = Some(self.line(offset));
        self.problems.push(Problem { line, message });
    }

    /// A value as the file has it, on one line.
    fn shown(&self, value: &Spanned<DeValue<'_>>) -> String {
        let text: Vec<_> = self.text.get(value.span()).unwrap_or_default().split_whitespace().collect();
        let text = text.join(" ");
        if text.chars().count() > 60 { text.chars().take(59).chain(['…']).collect() } else { text }
    }
}

/// One table, being read: ask for each key, then [`finish`](Self::finish).
pub(super) struct Item<'d, 't, 'i> {
    document: &'d mut Document<'t>,
    section: &'static Section,
    table: &'d DeTable<'i>,
    offset: usize,
    before: usize,
}

impl<'d, 't, 'i> Item<'d, 't, 'i> {
    /// Begins the item with this place in the list of its section; `offset` is where its header stands.
    pub(super) fn new(
        document: &'d mut Document<'t>,
        section: &'static Section,
        index: usize,
        table: &'d DeTable<'i>,
        offset: usize,
    ) -> Self {
        let before = document.problems.len();
        let mut lines = Lines { header: document.line(offset), keys: BTreeMap::new() };
        for key in table.keys() {
            let name = key.get_ref();
            lines.keys.insert(name.to_string(), document.line(key.span().start));
            if !section.keys.contains(&name.as_ref()) {
                document.problem(key.span().start, keys::unknown_key(section, name));
            }
        }
        document.lines.insert((section.name, index), lines);
        Self { document, section, table, offset, before }
    }

    /// Whether all went well.
    pub(super) fn finish(self) -> bool {
        self.document.problems.len() == self.before
    }

    fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        debug_assert!(self.section.keys.contains(&key), "{key} is missing in KEYS");
        self.table.get(key)
    }

    fn wrong(&mut self, key: &str, value: &Spanned<DeValue<'_>>, allowed: &str) {
        let section = self.section;
        let shown = if UNSHOWN.contains(&key) {
            "a value that is not shown, as it may be a secret".to_owned()
        } else {
            self.document.shown(value)
        };
        self.document.problem(value.span().start, wrong(section, key, &shown, allowed));
    }

    /// `value`, or the problem that a required key is not there.
    pub(super) fn required<T>(&mut self, key: &'static str, value: Option<T>, allowed: &str) -> Option<T> {
        if self.get(key).is_none() {
            let message = format!("{} has no `{key}`, which is required: {allowed}", self.section);
            self.document.problem(self.offset, message);
        }
        value
    }

    /// A value that `read` understands.
    pub(super) fn with<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        read: impl FnOnce(&DeValue<'i>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let result = read(value.get_ref());
        if result.is_none() {
            self.wrong(key, value, allowed);
        }
        result
    }

    /// A string that `read` understands.
    pub(super) fn string<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.with(key, allowed, |value| value.as_str().and_then(read))
    }

    /// One of a few strings.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let all: Vec<_> = choices.iter().map(|(text, _)| format!("\"{text}\"")).collect();
        self.string(key, &all.join(" or "), |text| {
            choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value)
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.with(key, "true or false", DeValue::as_bool)
    }

    /// A whole number in a range.
    pub(super) fn number<T: TryFrom<u32>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<T> {
        let allowed = format!("{} to {}", range.start(), range.end());
        self.with(key, &allowed, |value| in_range(value, range))
    }

    /// A list of strings that `read` understands, each named when it does not. One string is a list of one where
    /// `single` is set.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        single: bool,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.get(key)?;
        let each: Vec<_> = match value.get_ref() {
            DeValue::Array(array) => array.iter().collect(),
            DeValue::String(_) if single => vec![value],
            _ => {
                self.wrong(key, value, &format!("a list, each {allowed}"));
                return None;
            }
        };
        let mut all = Vec::new();
        for element in each {
            match element.get_ref().as_str().and_then(&read) {
                Some(read) => all.push(read),
                None => self.wrong(key, element, allowed),
            }
        }
        Some(all)
    }
}

/// The number that a TOML integer is, if it is in the range.
pub(super) fn in_range<T: TryFrom<u32>>(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Option<T> {
    let integer = value.as_integer()?;
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    if range.contains(&number) { T::try_from(number).ok() } else { None }
}

/// The one form of "this value is wrong".
pub(super) fn wrong(section: &Section, key: &str, value: &str, allowed: &str) -> String {
    format!("`{key}` in {section} is {value}; allowed: {allowed}")
}
