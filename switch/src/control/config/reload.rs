//! Which changes a running daemon cannot follow.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use super::{Config, DatapathConfig, NodeConfig, UnderlayConfig};

/// See [`Config::reload_refusals`].
pub(super) fn refusals(old: &Config, new: &Config) -> Vec<String> {
    let before = fixed(old);
    let after = fixed(new);
    let changed = before.into_iter().zip(after).filter(|(old, new)| old != new);
    changed
        .map(|((section, key, old), (_, _, new))| {
            format!(
                "`{key}` in [{section}] was {old} and is now {new}, which needs a restart: \
                 put {old} back, or restart weft"
            )
        })
        .collect()
}

/// Section, key and value of everything that stays as it is while the daemon runs. The patterns have no `..`, so that
/// a new key cannot be forgotten here.
fn fixed(config: &Config) -> Vec<(&'static str, &'static str, String)> {
    let NodeConfig { name, state_dir, socket, keep_ports } = &config.node;
    let UnderlayConfig { address, interface, mtu, vxlan_port, geneve_port, source_ports } = &config.underlay;
    let DatapathConfig { workers, poll, tso, uso, udp_segment, udp_gro } = &config.datapath;
    vec![
        ("node", "name", text(name)),
        ("node", "state_dir", file(state_dir)),
        ("node", "socket", file(socket)),
        ("node", "keep_ports", keep_ports.to_string()),
        ("underlay", "address", addresses(address)),
        ("underlay", "interface", interface.as_ref().map_or_else(|| "not set".to_owned(), text)),
        ("underlay", "mtu", mtu.to_string()),
        ("underlay", "vxlan_port", vxlan_port.to_string()),
        ("underlay", "geneve_port", geneve_port.to_string()),
        ("underlay", "source_ports", source_ports.to_string()),
        ("datapath", "workers", workers.to_string()),
        ("datapath", "poll", text(poll)),
        ("datapath", "tso", tso.to_string()),
        ("datapath", "uso", uso.to_string()),
        ("datapath", "udp_segment", udp_segment.to_string()),
        ("datapath", "udp_gro", udp_gro.to_string()),
    ]
}

fn text(value: impl Display) -> String {
    format!("\"{value}\"")
}

fn file(value: &Path) -> String {
    text(value.display())
}

fn addresses(value: &[IpAddr]) -> String {
    let each: Vec<_> = value.iter().map(text).collect();
    if each.is_empty() { "not set".to_owned() } else { format!("[{}]", each.join(", ")) }
}
