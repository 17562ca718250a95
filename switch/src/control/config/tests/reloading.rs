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
fn each_other_key_refuses_the_reload_with_both_values() {
    let old = Config::default();
    let new = Config::from_toml(EVERYTHING).unwrap();
    let refusals = old.reload_refusals(&new);
    let fixed = KEYS.iter().filter(|section| ["node", "underlay", "datapath"].contains(&section.name));
    for (section, key) in fixed.flat_map(|section| section.keys.iter().map(move |key| (section, key))) {
        let named = refusals.iter().filter(|text| text.starts_with(&format!("`{key}` in {section} was ")));
        let expected = usize::from(*key != "interface"); // which cannot be given beside `address`
        assert_eq!(named.count(), expected, "{key} in {section}: {refusals:#?}");
    }
    let port = refusals.iter().find(|text| text.starts_with("`vxlan_port`")).unwrap();
    assert_eq!(
        port,
        "`vxlan_port` in [underlay] was 4789 and is now 8472, which needs a restart: put 4789 back, or restart weft"
    );

    let new = Config::from_toml("[underlay]\ninterface = \"eth0\"").unwrap();
    let refusals = old.reload_refusals(&new);
    assert_eq!(refusals.len(), 1);
    assert!(
        refusals[0].starts_with("`interface` in [underlay] was not set and is now \"eth0\""),
        "{refusals:?}"
    );
}
