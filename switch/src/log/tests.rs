//! The list of codes against the source, and against what the README says of it.

use std::fs;
use std::path::{Path, PathBuf};

use tracing::Level;

use super::*;

/// The source files of the daemon without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let is_test = path.ends_with("tests") || path.ends_with("tests.rs");
            if path.is_dir() && !is_test {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !is_test {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut files);
    assert!(files.len() > 100, "{}", files.len());
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// What stands between the parentheses of each `say!(...)`.
fn said(source: &str) -> Vec<&str> {
    let inside = |from: usize| {
        let (mut depth, mut text) = (1, false);
        let mut before = ' ';
        let end = source[from..].find(|c| {
            match c {
                '"' if before != '\\' => text = !text,
                '(' if !text => depth += 1,
                ')' if !text => depth -= 1,
                _ => {}
            }
            before = c;
            depth == 0
        });
        &source[from..from + end.unwrap_or(0)]
    };
    source.match_indices("say!(").map(|(at, call)| inside(at + call.len())).collect()
}

/// The arguments of a call: the code, then fields by their names, then the sentence.
fn arguments(call: &str) -> Vec<String> {
    let (mut depth, mut text, mut all) = (0, false, vec![String::new()]);
    let mut before = ' ';
    for c in call.chars() {
        let escaped = std::mem::replace(&mut before, c) == '\\';
        match c {
            '"' if !escaped => text = !text,
            '(' | '[' | '{' if !text => depth += 1,
            ')' | ']' | '}' if !text => depth -= 1,
            ',' if !text && depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().unwrap().push(c);
    }
    let name = |argument: &String| {
        let argument = argument.trim().trim_start_matches(['%', '?']);
        argument.split(" = ").next().unwrap().to_owned()
    };
    all.iter().filter(|argument| !argument.trim().is_empty()).map(name).collect()
}

/// Code, fields and whether there is a sentence, of every line of the log.
fn lines() -> Vec<(String, Vec<String>, bool)> {
    let mut lines = Vec::new();
    for (_, source) in sources() {
        for call in said(&source) {
            let mut arguments = arguments(call);
            let code = arguments.remove(0);
            let sentence = arguments.pop().is_some_and(|last| last.starts_with('"'));
            lines.push((code, arguments, sentence));
        }
    }
    lines
}

#[test]
fn everything_is_said_by_say() {
    let but = ["daemon/log.rs", "log/mod.rs", "log/codes.rs", "log/line.rs", "log/levels.rs"];
    for (path, source) in sources() {
        let exempt = but.iter().any(|file| path.ends_with(file));
        assert!(exempt || !source.contains("tracing::"), "{} says something without a code", path.display());
        let moves_frames =
            ["datapath", "io", "sys"].iter().any(|folder| path.iter().any(|part| part == *folder));
        assert!(!moves_frames || !source.contains("say!("), "{} logs where frames are moved", path.display());
    }
}

#[test]
fn every_code_is_said_with_its_fields_and_nothing_else_is() {
    let lines = lines();
    for (name, fields, sentence) in &lines {
        let code = Code::ALL.iter().find(|code| format!("{code:?}") == *name);
        let code = code.unwrap_or_else(|| panic!("{name} is not in the list"));
        assert!(sentence, "{name} has no sentence");
        for field in fields {
            assert!(code.fields().contains(&field.as_str()), "{name} has no field {field}");
        }
    }
    for code in Code::ALL {
        let own: Vec<_> = lines.iter().filter(|(name, ..)| *name == format!("{code:?}")).collect();
        assert!(!own.is_empty(), "{code:?} is never said");
        for field in code.fields() {
            assert!(own.iter().any(|(_, fields, _)| fields.iter().any(|f| f == field)), "{code:?}: {field}");
        }
    }
}

#[test]
fn the_reader_of_the_source_sees_calls_and_fields() {
    let source =
        r#"say!(PortUp, port = name, %mac, mtu = f(a, "b)"), "so, (much"); x(); say!(Stopping, "y")"#;
    let calls: Vec<_> = said(source).into_iter().map(arguments).collect();
    assert_eq!(calls[0], ["PortUp", "port", "mac", "mtu", "\"so, (much\""]);
    assert_eq!(calls[1], ["Stopping", "\"y\""]);
}

#[test]
fn names_are_unique_words_and_fields_are_not_those_of_every_line() {
    let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.name().chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{code:?}");
        assert!(code.meaning().ends_with('.') && !code.meaning().contains('|'), "{code:?}");
        let taken = ["ts", "level", "target", "event", "message", "suppressed"];
        assert!(code.fields().iter().all(|field| !taken.contains(field)), "{code:?}");
        assert_eq!(Code::by_name(code.name()), Some(*code));
    }
}

#[test]
fn the_readme_has_the_list() {
    let row = |code: &&Code| {
        let fields: Vec<_> = code.fields().iter().map(|field| format!("`{field}`")).collect();
        let level = code.level().as_str().to_ascii_lowercase();
        format!("| `{}` | {level} | {} | {} |\n", code.name(), fields.join(" "), code.meaning())
    };
    let rows: String =
        Code::ALL.iter().filter(|code| code.level() <= Level::INFO).map(|code| row(&code)).collect();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    assert!(readme.contains(&rows), "README.md, section Logs, must have:\n{rows}");
}

// ---- lines ----

/// What a subscriber of the process's kind makes of what is said meanwhile.
fn heard(work: impl FnOnce()) -> Vec<Line> {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    struct Ear(Arc<Mutex<Vec<Line>>>);
    impl<S: tracing::Subscriber> Layer<S> for Ear {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(Line::of(event));
        }
    }
    let lines = Arc::<Mutex<Vec<Line>>>::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Ear(Arc::clone(&lines))), work);
    lines.lock().unwrap().clone()
}

const AT: &str = "2026-11-22T07:51:43.123Z";

#[test]
fn a_line_is_one_json_object_in_the_order_of_the_documentation() {
    let port = "a\"b";
    let line = &heard(|| say!(PortUp, port, mtu = 1450, mac = %"02:00", "a port is up"))[0];
    assert_eq!(
        line.write(Look::Json, AT),
        format!(
            "{{\"ts\":\"{AT}\",\"level\":\"info\",\"target\":\"control\",\"event\":\"port_up\",\"port\":\"a\\\"b\",\
             \"mtu\":1450,\"mac\":\"02:00\",\"message\":\"a port is up\"}}\n"
        )
    );
    assert_eq!(line.limited(), Some((Code::PortUp, port.to_owned())));
}

#[test]
fn a_line_for_people_cannot_be_forged_by_what_it_says() {
    let reason = "x\u{1b}[2J event=started";
    let line = &heard(|| say!(PortDown, port = "web", reason, "two\nlines\u{7}"))[0];
    let text = line.write(Look::Text { colour: false }, AT);
    assert_eq!(
        text,
        format!(
            "{AT} WARN  two\n    lines\\u{{7}} event=port_down port=web reason=\"x\\u{{1b}}[2J event=started\"\n"
        )
    );
    let coloured = line.write(Look::Text { colour: true }, AT);
    assert!(coloured.contains("\x1b[33mWARN \x1b[0m"), "{coloured:?}");
}

#[test]
fn what_was_left_out_is_told_under_the_same_code() {
    let left = |subject| LeftOut { code: Code::MacMoved, subject, count: 37 };
    let text = Line::of_left_out(left(Some("02:00:00:00:00:01".to_owned()))).write(Look::Json, AT);
    assert!(
        text.contains("\"event\":\"mac_moved\",\"mac\":\"02:00:00:00:00:01\",\"suppressed\":37,"),
        "{text}"
    );
    let text = Line::of_left_out(left(None)).write(Look::Json, AT);
    assert!(text.contains("\"event\":\"mac_moved\",\"suppressed\":37,"), "{text}");
}

#[test]
fn debug_lines_and_those_of_others_are_not_limited() {
    let lines = heard(|| {
        say!(HttpClientGone, reason = "x", "gone");
        tracing::error!(event = "no_code_of_ours", "of a library");
    });
    assert!(lines.len() == 2 && lines.iter().all(|line| line.limited().is_none()), "{lines:?}");
}
