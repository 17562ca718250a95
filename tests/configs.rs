//! The examples in `configs/`: each is right, and `full.toml` leaves no key out.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use encap::Format;
use weft::control::config::{Config, GossipConfig, KEYS, PeerAddress};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn load(name: &str) -> Config {
    Config::load(&directory().join(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_is_a_valid_configuration() {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = files.filter(|name| name.to_string_lossy().ends_with(".toml")).collect();
    names.sort();
    for name in &names {
        let config = load(name.to_str().unwrap());
        assert!(!config.networks.is_empty(), "{} shows no network", name.display());
    }
    assert_eq!(
        names,
        ["full.toml", "gossip.toml", "kernel-peer.toml", "minimal.toml", "node-a.toml", "node-b.toml"]
    );
}

/// The keys that a text has under each section, as `section.key`; a key commented out as `# key = ` counts.
fn keys_in(text: &str) -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn the_full_example_names_every_key_and_explains_it() {
    let text = std::fs::read_to_string(directory().join("full.toml")).unwrap();
    let mut shown = keys_in(&text);
    let mut known: Vec<_> =
        KEYS.iter().flat_map(|s| s.keys.iter().map(|key| format!("{}.{key}", s.name))).collect();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);

    for paragraph in text.split("\n\n").filter(|p| keys_in(p).len() == 1) {
        assert!(
            paragraph.contains("Default: ") || paragraph.contains("Required"),
            "no default in:\n{paragraph}"
        );
    }
    for section in KEYS {
        let (head, _) = text.split_once(&format!("\n{section}\n")).unwrap();
        let banner = head.rsplit("\n\n\n").next().unwrap();
        assert!(
            banner.contains("Reloadable.") || banner.contains("Needs a restart."),
            "{section} does not say whether it is reloadable"
        );
    }
}

#[test]
fn the_values_called_default_in_the_full_example_are_the_defaults() {
    let full = load("full.toml");
    let default = Config::default();
    assert_eq!(full.encap, default.encap);
    assert_eq!(full.datapath, default.datapath);
    assert_eq!(full.path, default.path);
    assert_eq!(full.log, default.log);
    assert_eq!(full.node.state_dir, default.node.state_dir);
    assert_eq!(full.node.socket, default.node.socket);
    assert_eq!(full.node.keep_ports, default.node.keep_ports);
    assert_eq!(full.underlay.vxlan_port, default.underlay.vxlan_port);
    assert_eq!(full.underlay.geneve_port, default.underlay.geneve_port);
    assert_eq!(full.underlay.source_ports, default.underlay.source_ports);
    assert_eq!(full.underlay.mtu, default.underlay.mtu);
    assert_eq!(full.underlay.advertise, default.underlay.advertise);
    let gossip = full.gossip.unwrap();
    assert_eq!(gossip.listen, gossip.listen_on(&full.underlay.address));
    assert_eq!(gossip.listen.map(|listen| listen.port()), Some(GossipConfig::PORT));
    assert!(!gossip.insecure && !full.peers[0].share);
}

#[test]
fn the_two_hosts_of_the_example_name_each_other() {
    let (a, b) = (load("node-a.toml"), load("node-b.toml"));
    let peer = |config: &Config| config.peers[0].address;
    assert_eq!(peer(&a), PeerAddress::Host(b.underlay.address[0]));
    assert_eq!(peer(&b), PeerAddress::Host(a.underlay.address[0]));
    assert_eq!(a.networks, b.networks);
    assert!(a.ports[0].addresses[0].contains(&b.ports[0].addresses[0].addr()));
}

#[test]
fn the_gossip_example_is_sealed_and_needs_no_peer() {
    let config = load("gossip.toml");
    let gossip = config.gossip.unwrap();
    assert_eq!(gossip.key_file.as_deref(), Some(Path::new("/etc/weft/gossip.key")));
    assert_eq!(gossip.join.len(), 2);
    assert_eq!(config.peers, []);
}

#[test]
fn the_kernel_peer_example_has_both_formats_and_a_prefix() {
    let config = load("kernel-peer.toml");
    let host = |text: &str| PeerAddress::Host(text.parse::<IpAddr>().unwrap());
    let of = |address| config.peers.iter().find(|peer| peer.address == address).and_then(|peer| peer.format);
    assert_eq!(of(host("10.0.0.9")), Some(Format::Vxlan));
    assert_eq!(of(host("10.0.0.10")), Some(Format::Geneve));
    assert!(config.peers.iter().any(|peer| matches!(peer.address, PeerAddress::Prefix(_))));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/nonexistent/weft.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/weft.toml"), "{error}");
    assert!(error.contains("No such file"), "{error}");
}
