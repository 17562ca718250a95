//! The decoders of what people and programs write.

use fdb::gossip::seal::Keyring;
use weft::control::config::Config;
use weft::control::protocol::{Reply, Request};

/// Octets: a configuration file.
pub fn config(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match Config::from_toml(text) {
        Ok(config) => assert_eq!(config.problems(), [], "it was checked"),
        Err(error) => assert!(!error.to_string().is_empty() && !error.problems().is_empty()),
    }
}

/// Octets: a line from a client, and a line from the daemon.
pub fn request(octets: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(octets) {
        let line = serde_json::to_vec(&request).expect("a request is JSON");
        assert_eq!(serde_json::from_slice::<Request>(&line).expect("it was written here"), request);
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(octets) {
        let line = serde_json::to_vec(&reply).expect("a reply is JSON");
        assert_eq!(serde_json::from_slice::<Reply>(&line).expect("it was written here"), reply);
    }
}

/// Octets: a key file.
pub fn keyring(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(ring) = Keyring::parse(text) {
        assert_eq!(Keyring::parse(&ring.to_text()), Ok(ring));
    }
}
