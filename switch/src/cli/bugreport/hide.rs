//! Removes secrets from texts. What is removed becomes `<removed-N>`, the same N for the same text, so that what was equal
//! can still be seen to be.

use std::collections::BTreeMap;

/// Hex digits that may be a key of gossip, or a token.
const KEY_DIGITS: usize = 64;
/// The length from which a value of a configuration is taken for a secret, unless it is a path.
const LONG: usize = 32;
/// What keys of secrets are called.
const SECRET: [&str; 6] = ["key", "token", "secret", "passw", "psk", "credential"];

/// Removes secrets, and remembers which it saw.
#[derive(Default)]
pub(super) struct Hider {
    seen: BTreeMap<String, usize>,
}

impl Hider {
    /// Removes keys, and tokens of HTTP requests; answers the rest and how many were removed.
    pub(super) fn text(&mut self, text: &str) -> (String, usize) {
        let (mut rest, mut clean, mut hidden) = (text, String::with_capacity(text.len()), 0);
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
                clean.push('\n');
                continue;
            }
            if is_secret(key) && !is_path(value) {
                clean.push_str(&format!("{key} = \"{}\"\n", self.tag(value)));
                (hidden, inside_secret) = (hidden + 1, true);
                continue;
            }
            let (line, one) = self.values(line, '"');
            let (line, other) = self.values(&line, '\'');
            let (line, more) = self.text(&line);
            clean.push_str(line.trim_end());
            clean.push('\n');
            hidden += one + other + more;
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
            if n % 2 == 1 && (is_long(part) || is_secret(key) && !part.starts_with('/')) {
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
        format!("<removed-{}>", self.seen.entry(secret.to_owned()).or_insert(next))
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

/// Whether a value is an absolute path in quotes, as those of `key_file` and `token_file` are.
fn is_path(value: &str) -> bool {
    value.starts_with("\"/") && !is_long(value.rsplit('/').next().unwrap_or(""))
}

/// Whether a text has a run that is as long and mixed as a random one.
fn is_long(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
    let mut runs = text.split(|c| !is_part(c));
    !text.starts_with('/') && runs.any(|run| run.len() >= LONG && run.bytes().any(|b| b.is_ascii_digit()))
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
