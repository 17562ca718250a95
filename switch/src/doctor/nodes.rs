//! Who is there, and whether all mean the same.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{DaemonFacts, Facts, Finding, PeerFacts, Severity, Trouble, names};

/// Clocks that differ by more make logs of two nodes hard to compare.
const CLOCK_MS: u64 = 5_000;

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let daemon = facts.daemon.as_ref()?;
    let mut found: Vec<_> = daemon.troubles.iter().filter_map(trouble).collect();
    found.extend(shared_addresses(daemon));
    found.extend(daemon.peers.iter().filter(|peer| peer.alive).filter_map(clock));
    found.extend(versions(daemon));
    Some(found)
}

/// What each kind of trouble means: how bad it is, why it matters, what to do.
pub(super) const TROUBLES: &[(&str, Severity, &str, &str)] = &[
    ("gossip_left", Severity::Error, "no other node knows what lives here", "restart weft"),
    (
        "insecure_gossip",
        Severity::Warning,
        "whoever reaches this node's gossip port can join, redirect the traffic of pods and read it",
        "make a key with `weft key new`, copy it to all nodes, name it in [gossip] key_file instead of insecure, and \
         restart them",
    ),
    (
        "gossip_late",
        Severity::Warning,
        "other nodes may take this one for dead",
        "give weft CAP_SYS_NICE, or the host more CPU",
    ),
    (
        "gossip_version",
        Severity::Error,
        "this node does not understand what that one says, and neither hears of the other's pods",
        "upgrade weft on the older of the two nodes; `weft --version` tells",
    ),
    (
        "seed",
        Severity::Warning,
        "a node that starts finds the others by these addresses; with none that answers it stays alone",
        "start weft there, correct [gossip] join, or let UDP and TCP of that port pass; the key must be the same on all \
         nodes (`weft key list`)",
    ),
    (
        "node_suspect",
        Severity::Warning,
        "if it stays silent, its pods are hidden",
        "look whether the node runs, and whether UDP of the gossip port passes both ways",
    ),
    (
        "node_down",
        Severity::Warning,
        "nobody reaches the pods that lived there",
        "start weft there; if the node will not come back, `weft forget` it",
    ),
    (
        "no_address",
        Severity::Error,
        "no frame can be sent to it",
        "give both nodes an IPv4 underlay address, or both an IPv6 one, in [underlay] address",
    ),
    (
        "no_route",
        Severity::Error,
        "no frame can be sent to it",
        "give the host a route to it: `ip route get ADDRESS` must name a device",
    ),
    (
        "digest_differs",
        Severity::Warning,
        "one of the two nodes lacks addresses of pods, or keeps old ones",
        "let UDP and TCP of the gossip port pass both ways; it mends itself then",
    ),
    (
        "over_limit",
        Severity::Warning,
        "some of its pods are not known here",
        "look what it learns (`weft fdb show` there), and lower max_macs of its networks",
    ),
    (
        "duplicate_mac",
        Severity::Error,
        "frames for that address reach one of the two pods only",
        "give one of the two ports another mac",
    ),
    (
        "http_unavailable",
        Severity::Warning,
        "nobody can scrape metrics or ask /readyz",
        "mend what the message names, or give http = \"off\" in [api]; then restart weft",
    ),
    (
        "port_down",
        Severity::Error,
        "the pod behind it has no network",
        "mend what the message names; weft tries again by itself. `weft port list` shows all",
    ),
    (
        "port_waiting",
        Severity::Warning,
        "the pod behind it has no network until its namespace exists",
        "start the pod, or correct netns of the port; `weft port list` shows all",
    ),
];

/// A trouble of a kind that no row tells of is none.
pub(super) fn trouble(trouble: &Trouble) -> Option<Finding> {
    let (code, severity, why, mend) = TROUBLES.iter().find(|(code, ..)| *code == trouble.code)?;
    Some(Finding {
        severity: *severity,
        code: (*code).to_owned(),
        subject: trouble.subject.clone(),
        what: trouble.what.clone(),
        why: (*why).to_owned(),
        mend: (*mend).to_owned(),
        fixes: Vec::new(),
    })
}

/// Of two nodes with one address only one is reached.
fn shared_addresses(daemon: &DaemonFacts) -> Vec<Finding> {
    let mut nodes: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
    for peer in daemon.peers.iter().filter(|peer| peer.alive) {
        for address in &peer.addresses {
            nodes.entry(*address).or_default().push(&peer.name);
        }
    }
    for own in &daemon.addresses {
        nodes.entry(*own).and_modify(|names| names.push("this node"));
    }
    let finding = |(address, nodes): (IpAddr, Vec<&str>)| Finding {
        severity: Severity::Error,
        code: "address_twice".to_owned(),
        subject: format!("address {address}"),
        what: format!("{} all have the underlay address {address}", names(nodes)),
        why: "frames for all of them go to one".to_owned(),
        mend: "give each its own [underlay] address, and behind NAT its own advertise".to_owned(),
        fixes: Vec::new(),
    };
    nodes.into_iter().filter(|(_, nodes)| nodes.len() > 1).map(finding).collect()
}

fn clock(peer: &PeerFacts) -> Option<Finding> {
    let ms = peer.clock_ahead_ms.filter(|ms| ms.unsigned_abs() > CLOCK_MS)?;
    let which = if ms > 0 { "ahead of" } else { "behind" };
    Some(Finding {
        severity: Severity::Warning,
        code: "clock".to_owned(),
        subject: format!("peer {}", peer.name),
        what: format!("the clock of {} is {} s {which} this node's", peer.name, ms.unsigned_abs() / 1_000),
        why: "weft does not mind, but logs of the two nodes do not fit together, and certificates may be refused".to_owned(),
        mend: "let NTP set both clocks: `timedatectl` tells which of the two is not synchronized".to_owned(),
        fixes: Vec::new(),
    })
}

/// Nodes of another version than this one's, one finding a version.
fn versions(daemon: &DaemonFacts) -> Vec<Finding> {
    let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for peer in daemon.peers.iter().filter(|peer| peer.alive) {
        let other = peer.version.as_deref().filter(|version| *version != daemon.version);
        if let Some(version) = other {
            others.entry(version).or_default().push(&peer.name);
        }
    }
    let finding = |(version, nodes): (&str, Vec<&str>)| {
        let compatible = release(version) == release(&daemon.version);
        Finding {
            severity: if compatible { Severity::Note } else { Severity::Warning },
            code: "version_differs".to_owned(),
            subject: format!("version {version}"),
            what: format!("{} run weft {version}, this node runs {}", names(nodes), daemon.version),
            why: "nodes of different versions get along while a cluster is upgraded, but none uses what only the newer has"
                .to_owned(),
            mend: "upgrade the older ones".to_owned(),
            fixes: Vec::new(),
        }
    };
    others.into_iter().map(finding).collect()
}

/// What of a version may not differ for long: all but its last number.
fn release(version: &str) -> Option<&str> {
    version.rsplit_once('.').map(|(release, _)| release)
}
