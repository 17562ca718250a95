//! Which changes a running daemon cannot follow.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use super::{ApiConfig, Config, DatapathConfig, GossipConfig, NodeConfig, UnderlayConfig};

/// See [`Config::reload_refusals`].
pub(super) fn refusals(old: &Config, new: &Config) -> Vec<String> {
    let (mut before, mut after) = (fixed(old), fixed(new));
    let mut refusals = Vec::new();
    match (&old.gossip, &new.gossip) {
        (None, Some(_)) => refusals.push(
            "section [gossip] is new, and to begin gossip needs a restart: remove it again, or restart weft"
                .to_owned(),
        ),
        (Some(_), None) => refusals.push(
            "section [gossip] is gone, and to end gossip needs a restart: put it back, or restart weft"
                .to_owned(),
        ),
        (Some(old), Some(new)) => {
            before.extend(fixed_gossip(old));
            after.extend(fixed_gossip(new));
        }
        (None, None) => {}
    }
    let changed = before.into_iter().zip(after).filter(|(old, new)| old != new);
    refusals.extend(changed.map(|((section, key, old), (_, _, new))| {
        format!(
            "`{key}` in [{section}] was {old} and is now {new}, which needs a restart: \
             put {old} back, or restart weft"
        )
    }));
    refusals
}

/// Section, key and value of what stays as it is while the daemon runs.
type Fixed = (&'static str, &'static str, String);

/// All of it but gossip. The patterns have no `..`, so that a new key cannot be forgotten here.
fn fixed(config: &Config) -> Vec<Fixed> {
    let NodeConfig { name, state_dir, socket, keep_ports } = &config.node;
    let UnderlayConfig { address, interface, advertise, mtu, vxlan_port, geneve_port, source_ports } =
        &config.underlay;
    let DatapathConfig { workers, poll, tso, uso, udp_segment, udp_gro } = &config.datapath;
    let ApiConfig { http, token_file } = &config.api;
    vec![
        ("node", "name", text(name)),
        ("node", "state_dir", file(state_dir)),
        ("node", "socket", file(socket)),
        ("node", "keep_ports", keep_ports.to_string()),
        ("underlay", "address", addresses(address)),
        ("underlay", "interface", optional(interface.as_ref())),
        ("underlay", "advertise", addresses(advertise)),
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
        ("api", "http", text(http)),
        ("api", "token_file", optional(token_file.as_ref().map(|file| file.display()))),
    ]
}

fn fixed_gossip(config: &GossipConfig) -> [Fixed; 3] {
    let GossipConfig { listen, join: _, key_file, insecure } = config;
    [
        ("gossip", "listen", optional(listen.as_ref())),
        ("gossip", "key_file", optional(key_file.as_ref().map(|file| file.display()))),
        ("gossip", "insecure", insecure.to_string()),
    ]
}

fn optional(value: Option<impl Display>) -> String {
    value.map_or_else(|| "not set".to_owned(), text)
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
