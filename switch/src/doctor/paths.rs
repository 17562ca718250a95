//! Whether members answer on their data ports.

use std::collections::BTreeSet;

use encap::Format;

use super::{Facts, Finding, PeerFacts, Severity};
use crate::path::{Cause, Size};

pub(super) fn check(facts: &Facts) -> Option<Vec<Finding>> {
    let peers = &facts.daemon.as_ref()?.peers;
    Some(peers.iter().filter(|peer| peer.alive).flat_map(path).collect())
}

fn path(peer: &PeerFacts) -> Vec<Finding> {
    let dead = dead_ports(peer);
    let has = |cause| peer.causes.contains(&cause);
    let mut found = Vec::new();
    match dead[..] {
        _ if has(Cause::OneWay) => found.push(one_way(peer)),
        [] if has(Cause::Unanswered) => found.push(unanswered(peer)),
        [] => {}
        [format] => found.push(port_filtered(peer, format)),
        _ => found.push(unanswered(peer)),
    }
    if has(Cause::OtherFamily) {
        found.push(family_filtered(peer));
    }
    if has(Cause::DeadSourcePort) && found.is_empty() {
        found.push(dead_source_port(peer));
    }
    // Both have the same reason then.
    if has(Cause::Loss) && found.is_empty() {
        found.push(loss(peer));
    }
    found
}

/// The formats of which not even the smallest probe was answered.
fn dead_ports(peer: &PeerFacts) -> Vec<Format> {
    let small = peer.cells.iter().filter(|cell| cell.size == Size::Small);
    small.filter(|cell| cell.is_lost()).map(|cell| cell.format).collect()
}

/// The UDP ports of a peer, for a firewall.
fn ports(peer: &PeerFacts) -> String {
    let ports: BTreeSet<u16> = peer.cells.iter().map(|cell| cell.port).collect();
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    if ports.is_empty() { "of both formats".to_owned() } else { ports.join(" and ") }
}

/// How frames get there meanwhile.
fn meanwhile(peer: &PeerFacts) -> String {
    match &peer.via {
        Some(via) => format!("frames go through {via} as long as that lasts: slower, and gone if {via} is"),
        None => "pods here and there do not reach each other".to_owned(),
    }
}

fn finding(peer: &PeerFacts, code: &str, what: String, why: String, mend: String) -> Finding {
    let (code, subject) = (code.to_owned(), format!("peer {}", peer.name));
    Finding { severity: Severity::Error, code, subject, what, why, mend, fixes: Vec::new() }
}

fn port_filtered(peer: &PeerFacts, dead: Format) -> Finding {
    let port = |wanted: bool| {
        peer.cells.iter().find(|cell| (cell.format == dead) == wanted).map_or(0, |cell| cell.port)
    };
    let (port, other, name) = (port(true), port(false), &peer.name);
    Finding {
        severity: Severity::Warning,
        ..finding(
            peer,
            "port_filtered",
            format!(
                "{name} answers on UDP {other}, and not on UDP {port}: something between the hosts filters {port}"
            ),
            format!("{dead} does not get there, so that only the other format is left"),
            format!(
                "let UDP {port} pass both ways: firewalls of both hosts, security groups, and what is between them"
            ),
        )
    }
}

fn family_filtered(peer: &PeerFacts) -> Finding {
    let (name, ports) = (&peer.name, ports(peer));
    let (dead, used) =
        if peer.address.is_some_and(|ip| ip.is_ipv4()) { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    Finding {
        severity: Severity::Warning,
        ..finding(
            peer,
            "family_filtered",
            format!(
                "{name} answers over {used}, and not over {dead} on any port, though both nodes have both"
            ),
            format!("so that only {used} is left"),
            format!(
                "let UDP {ports} pass over {dead}, both ways: firewalls of both hosts, routes, and what is between them"
            ),
        )
    }
}

fn unanswered(peer: &PeerFacts) -> Finding {
    let (name, ports) = (&peer.name, ports(peer));
    finding(
        peer,
        "ports_filtered",
        format!("{name} answers on neither UDP port, {ports}, though gossip says that it is alive"),
        meanwhile(peer),
        format!(
            "let UDP {ports} pass both ways between the hosts: firewalls of both, security groups, and what is between \
             them; `tcpdump -ni DEVICE udp port {}` on both shows where they end",
            peer.cells.first().map_or(4789, |cell| cell.port)
        ),
    )
}

fn one_way(peer: &PeerFacts) -> Finding {
    let (name, ports) = (&peer.name, ports(peer));
    finding(
        peer,
        "one_way",
        format!(
            "what {name} sends arrives here, what is sent to {name} on UDP {ports} does not arrive there"
        ),
        meanwhile(peer),
        format!(
            "let UDP {ports} in at {name}, and out here: a firewall that knows only one direction, or a route that leads \
             elsewhere"
        ),
    )
}

fn dead_source_port(peer: &PeerFacts) -> Finding {
    Finding {
        severity: Severity::Warning,
        ..finding(
            peer,
            "dead_source_port",
            format!(
                "what leaves from some source ports does not arrive at {}, from others it does",
                peer.name
            ),
            "one of several links on the way is dead; frames take the other source ports".to_owned(),
            format!(
                "look for the link that is down among those that share the load (ECMP, LAG); `weft path show {}` names the \
                 source ports",
                peer.name
            ),
        )
    }
}

fn loss(peer: &PeerFacts) -> Finding {
    Finding {
        severity: Severity::Warning,
        ..finding(
            peer,
            "loss",
            format!("3 % or more of what is sent to {0} or comes from it are lost", peer.name),
            "TCP of pods is slow over it".to_owned(),
            format!(
                "`weft path show {}` tells which direction; look at errors and drops of the devices on the way (`ip -s link`)",
                peer.name
            ),
        )
    }
}
