//! Removes secrets from texts. What is removed becomes `<removed-N>`, the same N for the same text, so that what was equal
//! can still be seen to be.

use std::collections::BTreeMap;

/// Hex digits that may be a key of gossip, which has 64, also where a message cut it short; ids of nodes have 32.
const KEY_DIGITS: usize = 40;
/// The shortest value of a configuration that is looked for in other files: shorter ones are also parts of words.
const SHORTEST: usize = 8;
/// A message that quotes a value cuts it after so many characters.
const QUOTED: usize = 58;
/// The length from which a value of a configuration is taken for a secret, unless it is a path.
const LONG: usize = 32;
/// How what stands instead begins.
const TAG: &str = "<removed-";
/// What keys of secrets are called.
const SECRET: [&str; 6] = ["key", "token", "secret", "passw", "psk", "credential"];

/// Removes secrets, and remembers which it saw: what a configuration had is removed from all that comes after it.
#[derive(Default)]
pub(super) struct Hider {
    seen: BTreeMap<String, usize>,
    /// Values that a configuration had, the longest first.
    known: Vec<String>,
}

impl Hider {
    /// Removes what a configuration had, keys, and tokens of HTTP requests; answers the rest and how many were removed.
    pub(super) fn text(&mut self, text: &str) -> (String, usize) {
        let (text, mut hidden) = self.without_known(text);
        let (mut rest, mut clean) = (text.as_str(), String::with_capacity(text.len()));
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let end = rest[at..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(rest.len(), |n| at + n);
            let word = &rest[at..end];
            clean.push_str(&rest[..at]);
            rest = &rest[end..];
            if word.len() >= KEY_DIGITS && word.bytes().all(|b| b.is_ascii_hexdigit()) {
                clean.push_str(&self.tag(word));
                hidden += 1;
            } else {
                clean.push_str(word);
            }
            if word.eq_ignore_ascii_case("bearer")
                && let Some(token) = rest.strip_prefix(' ')
                && !token.starts_with(TAG)
            {
                let end =
                    token.find(|c: char| c.is_whitespace() || "\"',".contains(c)).unwrap_or(token.len());
                clean.push(' ');
                clean.push_str(&self.tag(&token[..end]));
                rest = &token[end..];
                hidden += 1;
            }
        }
        clean.push_str(rest);
        (clean, hidden)
    }

    /// The same of a configuration file, right or wrong: comments go, and so do the values of keys that sound like a
    /// secret, and long values that are no paths. Lines keep their numbers.
    pub(super) fn config(&mut self, text: &str) -> (String, usize) {
        let (mut clean, mut hidden, mut inside_secret) = (String::new(), 0, false);
        for line in text.lines() {
            let line = without_comment(line);
            let (key, value) = key_and_value(line);
            let begins = !key.is_empty() || line.trim_start().starts_with('[') || line.trim().is_empty();
            inside_secret &= !begins;
            if inside_secret {
                // A value of several lines.
                self.remember(line);
                clean.push('\n');
                continue;
            }
            if is_secret(key) && !value.strip_prefix('"').is_some_and(is_path) {
                self.remember(value);
                clean.push_str(&format!("{key} = \"{}\"\n", self.tag(bare(value))));
                (hidden, inside_secret) = (hidden + 1, true);
                continue;
            }
            let (line, one) = self.values(line, '"');
            let (line, other) = self.values(&line, '\'');
            clean.push_str(line.trim_end());
            clean.push('\n');
            hidden += one + other;
        }
        // At the end, as what a line has may stand in one before it, too.
        let (clean, more) = self.text(&clean);
        (clean, hidden + more)
    }

    /// Remembers the values in quotes, or one without, so that they are removed wherever else they stand.
    fn remember(&mut self, values: &str) {
        for value in values.split(['"', '\'']).map(bare) {
            if value.len() >= SHORTEST && !self.known.iter().any(|known| known == value) {
                self.known.push(value.to_owned());
            }
        }
        self.known.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// The text without remembered values, and without the beginnings that messages quote of them.
    fn without_known(&mut self, text: &str) -> (String, usize) {
        let (mut clean, mut hidden) = (text.to_owned(), 0);
        for value in self.known.clone() {
            let quoted = value.char_indices().nth(QUOTED).map(|(at, _)| &value[..at]);
            for part in std::iter::once(value.as_str()).chain(quoted) {
                let found = clean.matches(part).count();
                if found > 0 {
                    clean = clean.replace(part, &self.tag(&value));
                    hidden += found;
                }
            }
        }
        (clean, hidden)
    }

    /// A line without the values in quotes that are long, or secret by their key, and no paths.
    fn values(&mut self, line: &str, quote: char) -> (String, usize) {
        let (mut clean, mut hidden, mut before) = (String::new(), 0, "");
        for (n, part) in line.split(quote).enumerate() {
            if n > 0 {
                clean.push(quote);
            }
            let key = before.trim_end().strip_suffix('=').unwrap_or("").trim_end();
            let key = key.rsplit(|c: char| !is_bare(c)).next().unwrap_or("");
            if n % 2 == 1 && (is_long(part) || is_secret(key) && !is_path(part)) {
                self.remember(part);
                clean.push_str(&self.tag(part));
                hidden += 1;
            } else {
                clean.push_str(part);
            }
            before = part;
        }
        (clean, hidden)
    }

    fn tag(&mut self, secret: &str) -> String {
        let next = self.seen.len() + 1;
        format!("{TAG}{}>", self.seen.entry(secret.to_owned()).or_insert(next))
    }
}

/// A line's key, empty if it begins none, and what stands behind it.
fn key_and_value(line: &str) -> (&str, &str) {
    let Some((key, value)) = line.split_once('=') else { return ("", line) };
    let key = key.trim();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if key.chars().all(is_bare) { (key, value.trim()) } else { ("", line) }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|word| key.contains(word))
}

/// A value without what TOML has around it.
fn bare(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || "\"'[]{},".contains(c))
}

/// Whether a value is an absolute path, as those of `key_file` and `token_file` are. A token may begin with a
/// slash, too, but has small letters, large ones and digits without a dot between them.
fn is_path(value: &str) -> bool {
    let kinds: [fn(&u8) -> bool; 3] = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    let is_mixed = |run: &str| run.len() >= LONG && kinds.iter().all(|kind| run.as_bytes().iter().any(kind));
    let is_token = value.split(|c: char| !is_part(c)).any(is_mixed);
    value.starts_with('/') && !is_token && !is_long(value.rsplit('/').next().unwrap_or(""))
}

/// Whether a text has a run that is as long and mixed as a random one.
fn is_long(text: &str) -> bool {
    let mut runs = text.split(|c| !is_part(c));
    !text.starts_with('/') && runs.any(|run| run.len() >= LONG && run.bytes().any(|b| b.is_ascii_digit()))
}

/// What random octets are written with.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_".contains(c)
}

/// A line up to its comment; a `#` in quotes begins none.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let comment = line.find(|c| {
        match (quote, c) {
            (None, '#') => return true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        false
    });
    &line[..comment.unwrap_or(line.len())]
}
