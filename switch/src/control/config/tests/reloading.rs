//! What a reload may change.

use super::super::*;
use super::{EVERYTHING, PODS};

#[test]
fn networks_ports_peers_log_and_encap_change_live() {
    let text = format!(
        "{PODS}[[port]]\nname = \"web\"\nnetwork = \"pods\"\n[[peer]]\naddress = \"10.0.0.9\"\n\
         [encap]\nformat = \"geneve\"\nvxlan_reserved = \"strict\"\ndscp = \"inherit\"\n\
         [log]\nlevel = \"debug\"\nformat = \"json\""
    );
    let new = Config::from_toml(&text).unwrap();
    assert_eq!(Config::default().reload_refusals(&new), Vec::<String>::new());
}

#[test]
fn gossip_begins_and_ends_with_the_daemon_only() {
    let without = Config::default();
    let with = Config::from_toml("[gossip]\ninsecure = true").unwrap();
    let refusals = [without.reload_refusals(&with), with.reload_refusals(&without)].concat();
    assert_eq!(
        refusals,
        [
            "section [gossip] is new, and to begin gossip needs a restart: remove it again, or restart weft",
            "section [gossip] is gone, and to end gossip needs a restart: put it back, or restart weft",
        ]
    );
}

#[test]
fn nodes_to_join_change_live() {
    let old = Config::from_toml("[gossip]\ninsecure = true").unwrap();
    let new = Config::from_toml("[gossip]\ninsecure = true\njoin = [\"10.0.0.2\"]").unwrap();
    assert_eq!(old.reload_refusals(&new), Vec::<String>::new());
}

#[test]
fn each_other_key_refuses_the_reload_with_both_values() {
    let old = Config { gossip: Some(GossipConfig::default()), ..Config::default() };
    let mut new = Config::from_toml(EVERYTHING).unwrap();
    new.gossip.as_mut().unwrap().insecure = true; // beside a key, which only a file is refused for
    let refusals = old.reload_refusals(&new);
    let fixed = KEYS
        .iter()
        .filter(|section| ["node", "underlay", "datapath", "gossip", "api"].contains(&section.name));
    for (section, key) in fixed.flat_map(|section| section.keys.iter().map(move |key| (section, key))) {
        let named = refusals.iter().filter(|text| text.starts_with(&format!("`{key}` in {section} was ")));
        // `interface` cannot be given beside `address`, and `join` is live.
        let expected = usize::from(!["interface", "join"].contains(key));
        assert_eq!(named.count(), expected, "{key} in {section}: {refusals:#?}");
    }
    let port = refusals.iter().find(|text| text.starts_with("`vxlan_port`")).unwrap();
    assert_eq!(
        port,
        "`vxlan_port` in [underlay] was 4789 and is now 8472, which needs a restart: put 4789 back, or restart weft"
    );

    let new = Config::from_toml("[underlay]\ninterface = \"eth0\"").unwrap();
    let refusals = Config::default().reload_refusals(&new);
    assert_eq!(refusals.len(), 1);
    assert!(
        refusals[0].starts_with("`interface` in [underlay] was not set and is now \"eth0\""),
        "{refusals:?}"
    );
}
