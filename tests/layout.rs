//! The rules of the layout that a compiler does not check, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

use weft::counters::DropReason;

/// One source file: its path from the root of the workspace, and its text without comments.
struct Source {
    path: String,
    code: String,
}

/// All Rust sources under a folder of the workspace, sorted.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a readable source");
        let path = file.strip_prefix(root).expect("a path inside").to_string_lossy().into_owned();
        let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
        Source { path, code }
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn without_comment(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// Whether the code has a word (an identifier or a path such as `crate::io`) that ends where an identifier ends.
fn mentions(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_part);
        let after = code[at + word.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

/// Whether a file of the package `weft` uses one of its modules, in whatever way the path is written.
fn uses(source: &Source, module: &str) -> bool {
    let code = flat(&source.code);
    ["crate::", "super::", "super::super::", "weft::"]
        .iter()
        .any(|from| mentions(&code, &format!("{from}{module}")))
        || groups(&code).iter().any(|inner| mentions(inner, module) && !inner.contains("std::"))
}

/// The code on one line, so that a `use` can be read whole.
fn flat(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands in the braces of `use crate::{...};`, down to the first level of names.
fn groups(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("use crate::{") {
        let rest = &code[at + start.len()..];
        let (mut depth, mut names) = (1, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                c if depth == 1 => names.push(c),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        // `io::tap` names the module `io`; a name further down the path names none.
        let heads: Vec<_> =
            names.split(',').map(|name| name.trim().split("::").next().unwrap_or("")).collect();
        found.push(heads.join(", "));
    }
    found
}

/// Expects that no file of a folder, other than the excepted, uses a module.
#[track_caller]
fn never(folder: &str, module: &str, except: &[&str]) {
    let is_excepted = |path: &str| except.iter().any(|e| path.starts_with(e));
    let found: Vec<_> = sources(folder)
        .into_iter()
        .filter(|source| !is_excepted(&source.path) && uses(source, module))
        .map(|source| source.path)
        .collect();
    assert!(found.is_empty(), "{folder} must not use {module}, but these do: {found:?}");
}

#[test]
fn datapath_and_control_never_import_each_other() {
    never("switch/src/datapath", "control", &[]);
    never("switch/src/control", "datapath", &[]);
}

#[test]
fn of_the_datapath_only_the_worker_imports_io() {
    never("switch/src/datapath", "io", &["switch/src/datapath/worker"]);
}

#[test]
fn only_io_imports_sys() {
    never("switch/src", "sys", &["switch/src/io", "switch/src/sys", "switch/src/lib.rs"]);
}

#[test]
fn io_knows_neither_networks_nor_tables() {
    never("switch/src/io", "topology", &[]);
    never("switch/src/sys", "topology", &[]);
    for source in sources("switch/src/io").into_iter().chain(sources("switch/src/sys")) {
        // Who a node is and its keys are files to `io`, not tables.
        let code = source.code.replace("fdb::gossip::identity", "").replace("fdb::gossip::seal", "");
        for word in ["Vni", "fdb"] {
            assert!(!mentions(&code, word), "{} mentions {word}", source.path);
        }
    }
}

#[test]
fn paths_know_neither_devices_nor_the_clock_nor_who_uses_them() {
    let tests = ["switch/src/path/testing.rs", "switch/src/path/tests"];
    for module in ["io", "sys", "control", "datapath", "gossip", "clock"] {
        never("switch/src/path", module, &tests);
    }
    for source in sources("switch/src/path").into_iter().map(without_tests) {
        for word in ["UdpSocket", "std::thread", "tracing"] {
            assert!(!mentions(&source.code, word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn of_top_only_the_shell_knows_the_terminal_and_only_the_asker_and_the_shell_the_clock() {
    for source in sources("switch/src/cli/top").into_iter().map(without_tests) {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let is_shell = ["shell.rs", "asker.rs"].contains(&name);
        for word in ["crossterm", "clock", "UnixStream", "Client"] {
            assert!(is_shell || !mentions(&source.code, word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn the_doctor_knows_neither_devices_nor_the_clock_nor_who_asks() {
    for module in ["io", "sys", "control", "datapath", "gossip", "clock", "daemon", "cli"] {
        never("switch/src/doctor", module, &["switch/src/doctor/tests"]);
    }
}

#[test]
fn the_log_knows_neither_devices_nor_the_clock_nor_who_says_something() {
    for module in ["io", "sys", "control", "datapath", "gossip", "path", "clock", "daemon", "cli"] {
        never("switch/src/log", module, &["switch/src/log/tests", "switch/src/log/limit/tests"]);
    }
}

#[test]
fn traces_know_neither_devices_nor_the_clock_nor_who_asks() {
    for module in ["io", "sys", "control", "gossip", "clock", "daemon", "cli"] {
        never("switch/src/trace", module, &["switch/src/trace/tests"]);
    }
}

#[test]
fn crates_depend_one_way() {
    let depends = |krate: &str, on: &str| {
        let path = format!("{}/../{krate}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).expect("a manifest");
        text.lines().any(|line| line.starts_with(&format!("{on}.")) || line.starts_with(&format!("{on} ")))
    };
    assert!(depends("switch", "fdb") && depends("fdb", "encap"), "the test reads manifests wrongly");
    for (krate, on) in [("encap", "fdb"), ("encap", "weft"), ("fdb", "weft")] {
        assert!(!depends(krate, on), "{krate} must not depend on {on}");
    }
}

#[test]
fn pure_crates_have_no_clock_and_no_socket() {
    for source in sources("encap/src").into_iter().chain(sources("fdb/src")).map(without_tests) {
        for word in ["Instant::now", "SystemTime", "UdpSocket", "TcpStream", "std::thread::sleep"] {
            assert!(!mentions(&source.code, word), "{} uses {word}", source.path);
        }
    }
}

#[test]
fn only_the_clock_reads_the_clock() {
    for source in sources("switch/src").into_iter().map(without_tests) {
        let reads = mentions(&source.code, "Instant::now") || mentions(&source.code, "SystemTime::now");
        assert!(!reads || source.path == "switch/src/clock.rs", "{} reads the clock", source.path);
    }
}

#[test]
fn unsafe_code_is_in_sys_only() {
    let all = ["encap", "fdb", "switch", "tests"].into_iter().flat_map(sources);
    // A counting allocator cannot be written without.
    let exempt = ["tests/layout.rs", "tests/allocations.rs"];
    for source in all.filter(|s| !exempt.contains(&s.path.as_str()) && !s.path.starts_with("switch/src/sys"))
    {
        let found = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
        for word in found {
            assert!(!source.code.contains(word), "{} has {word}", source.path);
        }
    }
}

#[test]
fn every_drop_reason_is_provoked_by_a_test() {
    let tests: String = ["encap", "fdb", "switch", "tests"]
        .into_iter()
        .flat_map(sources)
        .filter(|source| source.path != "tests/layout.rs")
        .filter_map(|source| tests_of(&source).map(str::to_owned))
        .collect();
    let tested = |reason: &&DropReason| {
        mentions(&tests, &format!("DropReason::{reason:?}"))
            || tests.contains(&format!("\"{}\"", reason.name()))
    };
    let missing: Vec<_> =
        DropReason::ALL.iter().filter(|reason| !tested(reason)).map(|reason| reason.name()).collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
}

/// A file without the part that is tests.
fn without_tests(mut source: Source) -> Source {
    let tests = tests_of(&source).map_or(0, str::len);
    source.code.truncate(source.code.len() - tests);
    source
}

/// The part of a file that is tests.
fn tests_of(source: &Source) -> Option<&str> {
    let whole = source.path.starts_with("tests/") || source.path.contains("/tests");
    if whole { Some(&source.code) } else { source.code.find("#[cfg(test)]").map(|at| &source.code[at..]) }
}

#[test]
fn the_reader_of_paths_sees_every_way_to_name_a_module() {
    let source = |code: &str| Source { path: "x.rs".to_owned(), code: code.to_owned() };
    assert!(uses(&source("use crate::io::tap;"), "io"));
    assert!(uses(&source("let x = crate::io::now();"), "io"));
    assert!(uses(&source("use super::io;"), "io"));
    assert!(uses(&source("use crate::{\n    clock,\n    io::{tap, udp},\n};"), "io"));
    assert!(!uses(&source("use crate::{clock, net::io};"), "io"));
    assert!(!uses(&source("use std::io;"), "io"));
    assert!(!uses(&source("use crate::ios;"), "io"));
}
