//! One line of the log: as JSON for programs, or for people.

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Code, LeftOut};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One JSON object a line.
    Json,
    /// Text, with colours or without.
    Text {
        /// Whether the level has a colour.
        colour: bool,
    },
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    level: Level,
    target: String,
    event: Option<String>,
    fields: Vec<(&'static str, Value)>,
    message: String,
}

impl Line {
    /// What was said.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let target = metadata.target().to_owned();
        let mut line = Self {
            level: *metadata.level(),
            target,
            event: None,
            fields: Vec::new(),
            message: String::new(),
        };
        event.record(&mut line);
        line
    }

    /// That so many were left out.
    #[must_use]
    pub fn of_left_out(left: LeftOut) -> Self {
        let LeftOut { code, subject, count } = left;
        let about = code.fields().first().zip(subject);
        let about = about.map(|(field, subject)| (*field, Value::from(subject)));
        Self {
            level: code.level(),
            target: code.part().name().to_owned(),
            event: Some(code.name().to_owned()),
            fields: about.into_iter().chain([("suppressed", count.into())]).collect(),
            message: format!("{count} more of these were left out within {} s", super::WINDOW.as_secs()),
        }
    }

    /// The code, and what the line is about: what the limit is for. `None` = it has none, as debug lines.
    #[must_use]
    pub fn limited(&self) -> Option<(Code, String)> {
        let code = Code::by_name(self.event.as_ref()?).filter(|code| code.level() <= Level::INFO)?;
        let about = code.fields().first();
        let about = self.fields.iter().find(|(name, _)| Some(name) == about);
        Some((code, about.map(|(_, value)| plain(value)).unwrap_or_default()))
    }

    /// The line with its newline; `at` is the time of day, as RFC 3339 writes it.
    #[must_use]
    pub fn write(&self, look: Look, at: &str) -> String {
        match look {
            Look::Json => self.json(at),
            Look::Text { colour } => self.text(at, colour),
        }
    }

    fn json(&self, at: &str) -> String {
        let level = self.level.as_str().to_ascii_lowercase();
        let head = [("ts", at), ("level", &level), ("target", &self.target)];
        let head = head.map(|(name, text)| (name, Value::from(text)));
        let event = self.event.as_ref().map(|event| ("event", Value::from(event.as_str())));
        let message = ("message", Value::from(self.message.as_str()));
        let all = head.iter().chain(&event).chain(&self.fields).chain([&message]);
        let pairs: Vec<_> = all.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}\n", pairs.join(","))
    }

    fn text(&self, at: &str, colour: bool) -> String {
        let mut text = format!("{at} {} ", level(self.level, colour));
        // What others sent must neither move the cursor nor look like a line of ours.
        for c in self.message.chars() {
            match c {
                '\n' => text.push_str("\n    "),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        let event = self.event.as_ref().map(|event| ("event", Value::from(event.as_str())));
        for (name, value) in event.iter().chain(&self.fields) {
            text.push_str(&format!(" {name}={}", quoted(&plain(value))));
        }
        text.push('\n');
        text
    }

    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = plain(&value),
            "event" => self.event = Some(plain(&value)),
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = write!(text, "{value:?}");
        self.put(field, text.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

fn level(level: Level, colour: bool) -> String {
    let code = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    };
    let text = format!("{level:<5}");
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
}

/// A value as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text as one word.
fn quoted(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_graphic() && c != '"' && c != '=';
    if !text.is_empty() && text.chars().all(is_word) { text.to_owned() } else { format!("{text:?}") }
}
