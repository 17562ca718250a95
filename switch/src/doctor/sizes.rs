//! MTUs: of links, networks, ports and paths.

use encap::Mtu;

use super::{DaemonFacts, Facts, Finding, NetworkFacts, PeerFacts, PortFacts, Severity, UnderlayLink};
use crate::path::{Cause, Size};

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let daemon = facts.daemon.as_ref()?;
    let mut found: Vec<_> = facts.host.links.iter().filter_map(|link| underlay(daemon, link)).collect();
    found.extend(daemon.networks.iter().filter_map(network));
    found.extend(daemon.ports.iter().filter_map(port));
    found.extend(daemon.peers.iter().filter_map(path));
    Some(found)
}

fn warning(code: &str, subject: String, [what, why, mend]: [String; 3]) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: code.to_owned(),
        subject,
        what,
        why,
        mend,
        fixes: Vec::new(),
    }
}

fn underlay(daemon: &DaemonFacts, link: &UnderlayLink) -> Option<Finding> {
    let mtu = daemon.underlay_mtu.filter(|mtu| u32::from(*mtu) > link.mtu)?;
    let UnderlayLink { device, mtu: has, .. } = link;
    Some(warning(
        "underlay_mtu",
        format!("device {device}"),
        [
            format!(
                "[underlay] mtu = {mtu} is more than the {has} of {device}, which carries {}",
                link.address
            ),
            format!("it only ever lowers the MTU, so that {has} counts; somebody expected {mtu}"),
            format!(
                "set the device to it if the network takes it (`ip link set {device} mtu {mtu}`), or remove the key"
            ),
        ],
    ))
}

fn network(network: &NetworkFacts) -> Option<Finding> {
    let NetworkFacts { name, mtu, fits } = network;
    let mtu = mtu.filter(|mtu| mtu > fits)?;
    Some(warning(
        "network_mtu",
        format!("network {name}"),
        [
            format!("its mtu = {mtu} is more than the {fits} that fit the underlay"),
            too_large(mtu, *fits),
            format!(
                "remove mtu from the network, or set it to {fits}; or raise the MTU of the underlay on all hosts"
            ),
        ],
    ))
}

/// One that somebody changed; what a network makes too large is told of the network.
fn port(port: &PortFacts) -> Option<Finding> {
    let PortFacts { name, ifname, mtu, given, fits } = port;
    let changed = mtu > fits && mtu != given;
    changed.then(|| {
        warning(
            "port_mtu",
            format!("port {name}"),
            [
                format!("its device {ifname} has an MTU of {mtu}; weft gave it {given}, and somebody changed it"),
                too_large(*mtu, *fits),
                format!("`ip link set {ifname} mtu {fits}` in the pod's namespace; see who sets it (a script, a DHCP client)"),
            ],
        )
    })
}

fn too_large(mtu: Mtu, fits: Mtu) -> String {
    format!(
        "pods send packets of up to {mtu} octets, and of those above {fits} only what can be cut or told of the limit gets \
         through"
    )
}

fn path(peer: &PeerFacts) -> Option<Finding> {
    let (link, path) = (peer.link_mtu?, peer.path_mtu?);
    // An examination sees at once what takes the watch over paths some probes more.
    let vanishes = |small: Size, large: Size| {
        let cell = |format, size| peer.cells.iter().find(|cell| cell.format == format && cell.size == size);
        let smalls = peer.cells.iter().filter(|cell| cell.size == small && cell.answered);
        smalls.filter_map(|passes| cell(passes.format, large)).any(super::CellFacts::is_lost)
    };
    let lossy = peer.causes.contains(&Cause::Loss);
    if path >= link && (lossy || !vanishes(Size::Small, Size::Link)) {
        return None;
    }
    let larger = if path < link { format!("more than {path}") } else { link.to_string() };
    let below = peer.causes.contains(&Cause::BelowIpv6Minimum);
    let why = if below {
        "pods have less than the 1280 octets there that IPv6 needs: of IPv6 only TCP passes"
    } else {
        "pods are told so and TCP is cut to fit, which costs throughput; what does not heed it hangs"
    };
    Some(Finding {
        severity: if below { Severity::Error } else { Severity::Warning },
        ..warning(
            "path_mtu",
            format!("peer {}", peer.name),
            [
                format!(
                    "IP packets of {larger} octets do not arrive at {}, though the link here takes {link}",
                    peer.name
                ),
                why.to_owned(),
                format!(
                    "raise the MTU on the way (a VPN, a tunnel, a switch port), or set [underlay] mtu = {path} on all nodes; \
                     `weft path show {}` has the sum",
                    peer.name
                ),
            ],
        )
    })
}
