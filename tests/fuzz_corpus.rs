//! The corpus of the fuzz targets in `data/fuzz/`, through the very functions that libFuzzer calls, so that what once was
//! found stays found without a fuzzer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code)] // it is the library of another workspace
mod fuzz;

/// A datagram, and what a target adds to it.
const MAX_FILE: usize = 1_300;
const MAX_FILES: usize = 30;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is in a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn names(folder: &str) -> Vec<String> {
    let stems = files(&root().join(folder)).into_iter().filter_map(|file| file.file_stem().map(Into::into));
    stems.map(|stem: PathBuf| stem.display().to_string()).collect()
}

#[test]
fn no_file_of_the_corpus_makes_its_target_panic() {
    let mut bad = Vec::new();
    for (target, run) in fuzz::TARGETS {
        for file in files(&root().join("data/fuzz").join(target)) {
            let octets = fs::read(&file).unwrap();
            if catch_unwind(AssertUnwindSafe(|| run(&octets))).is_err() {
                bad.push(file);
            }
        }
    }
    assert!(bad.is_empty(), "each of these panicked, as it says above: {bad:#?}");
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets = fuzz::TARGETS.map(|target| target.0);
    assert_eq!(names("data/fuzz"), targets);
    assert_eq!(names("../fuzz/fuzz_targets"), targets);
    let manifest = fs::read_to_string(root().join("../fuzz/Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "fuzz/Cargo.toml lacks {target}");
    }
}

#[test]
fn the_corpus_is_small() {
    for (target, _) in fuzz::TARGETS {
        let files = files(&root().join("data/fuzz").join(target));
        assert!((3..=MAX_FILES).contains(&files.len()), "{target} has {} files", files.len());
        for file in files {
            let octets = fs::metadata(&file).unwrap().len();
            assert!(octets <= MAX_FILE as u64, "{} has {octets} octets", file.display());
        }
    }
}
