//! Writes the real messages of the corpus, made by the code itself: `cargo run --example seeds ../tests/data/fuzz`.
//!
//! What was made by hand, and what a fuzzer found, has other names and stays.

#[path = "seeds/gossip.rs"]
mod gossip;
#[path = "seeds/octets.rs"]
mod octets;
#[path = "seeds/paths.rs"]
mod paths;

use std::path::Path;

/// No file is larger: a datagram, and what a target adds to it.
const MAX_FILE: usize = 1_300;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("name the folder to write to, as tests/data/fuzz");
        std::process::exit(2);
    };
    for (target, name, octets) in [octets::all(), gossip::all(), paths::all()].concat() {
        assert!(octets.len() <= MAX_FILE, "{target}/{name} has {} octets", octets.len());
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("real-{name}")), octets)?;
    }
    Ok(())
}

/// A file: its target, its name, what is in it.
type Seed = (&'static str, String, Vec<u8>);

fn seed(target: &'static str, name: impl Into<String>, octets: impl AsRef<[u8]>) -> Seed {
    (target, name.into(), octets.as_ref().to_vec())
}
