//! What each fuzz target does with the octets that it is given: no panic for any, no end that does not come, and what
//! was decoded is what is encoded.
//!
//! `fuzz_targets/` gives them to libFuzzer; `tests/fuzz_corpus.rs` includes this file and runs the corpus in
//! `tests/data/fuzz/` through the same functions.

pub mod cast;
pub mod engine;
pub mod members;
pub mod path;
pub mod replica;
pub mod script;
pub mod seal;
pub mod text;
pub mod too_big;
pub mod wire;

/// The name of a target, which is also the folder of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("config", text::config),
    ("control", too_big::control),
    ("engine", engine::engine),
    ("frame", wire::frame),
    ("frames", seal::frames),
    ("geneve", wire::geneve),
    ("keyring", text::keyring),
    ("members", members::members),
    ("path", path::path),
    ("replica", replica::replica),
    ("request", text::request),
    ("seal", seal::datagram),
    ("stream", seal::stream),
    ("super_frame", wire::super_frame),
    ("too_big", too_big::too_big),
    ("vxlan", wire::vxlan),
];
