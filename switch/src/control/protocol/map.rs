//! The map: nodes and the links between them, as far as one node knows.

use std::collections::BTreeMap;

use encap::{Format, Mtu};
use serde::{Deserialize, Serialize};

use super::{Amount, Lost, PathState, PeerState};

/// A graph, at one moment. Nodes and links have no order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// The id of the node that tells it.
    pub here: String,
    /// When, in milliseconds after that daemon's start.
    pub at_ms: u64,
    /// That node, and all that it knows.
    pub nodes: Vec<MapNode>,
    /// The links that it knows: those to its own peers.
    pub links: Vec<MapLink>,
}

/// One node, or a host that does not run weft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapNode {
    /// A node's id (32 hex digits), a static peer's address, or `here` for a node without gossip; unique.
    pub id: String,
    /// What people call it; need not be unique.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Its underlay address or prefix; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its version of weft; absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The names of the networks that it shares with the node that tells.
    pub networks: Vec<String>,
    /// MAC addresses that live there.
    pub macs: u64,
}

/// What a node of the map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// The one that tells.
    Here,
    /// Another weft node, known from gossip.
    Member,
    /// A static peer of the one that tells.
    Static,
}

/// The link from one node to another, as the first sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapLink {
    /// The id of the node that sees it.
    pub from: String,
    /// The id of the other one; there is one link for each two ids.
    pub to: String,
    /// How it is.
    pub state: PathState,
    /// The id of the node that frames go through, while there is no direct way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What is sent there; absent = not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The smoothed round trip in microseconds: of probes, else of gossip; absent = not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Of what was sent there of late, lost.
    pub lost_there: Lost,
    /// Of what was sent back of late, lost.
    pub lost_back: Lost,
    /// The IP MTU of the underlay path; absent without a route, and for a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<Mtu>,
    /// The IP size that a pod may send through it; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<Mtu>,
    /// Frames that came from there, since the start.
    pub received: Amount,
    /// Frames that went there, since the start.
    pub sent: Amount,
    /// Bits a second of late; absent = nobody looked a moment before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The names of what is wrong.
    pub degraded: Vec<String>,
}

/// How fast frames came and went, in bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// From there.
    pub received: u64,
    /// To there.
    pub sent: u64,
}

/// How one map differs from an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapChanges {
    /// When the later one was told, in milliseconds after the daemon's start.
    pub at_ms: u64,
    /// Nodes that are new, or not as they were: all of each.
    pub nodes: Vec<MapNode>,
    /// Links, likewise.
    pub links: Vec<MapLink>,
    /// The ids of nodes that are gone.
    pub gone_nodes: Vec<String>,
    /// Links that are gone: `from` and `to`.
    pub gone_links: Vec<(String, String)>,
}

/// Of maps that are further apart than this no rate is told.
const RATE_MS: u64 = 10_000;

impl Map {
    /// Tells how fast frames came and went since an earlier map.
    ///
    /// # Examples
    ///
    /// ```
    /// use weft::control::protocol::{Map, Rate};
    ///
    /// let map = |at_ms, octets| -> Map {
    ///     let link = r#"{"from":"a","to":"b","state":"up","lost_there":{"count":0,"of":0},
    ///         "lost_back":{"count":0,"of":0},"received":{"count":0,"octets":0},"degraded":[],"#;
    ///     let text = format!(r#"{link}"sent":{{"count":9,"octets":{octets}}}}}"#);
    ///     let link = serde_json::from_str(&text).expect("a link");
    ///     Map { at_ms, links: vec![link], ..Map::default() }
    /// };
    /// let mut later = map(3_000, 2_250);
    /// later.rate_since(&map(1_000, 2_000));
    /// assert_eq!(later.links[0].rate, Some(Rate { received: 0, sent: 1_000 }));
    /// ```
    pub fn rate_since(&mut self, earlier: &Self) {
        let ms = self.at_ms.saturating_sub(earlier.at_ms);
        if !(1..=RATE_MS).contains(&ms) {
            return;
        }
        let before = links_of(earlier);
        for link in &mut self.links {
            let Some(before) = before.get(&(&*link.from, &*link.to)) else { continue };
            // Counters begin again with the daemon.
            let bits = |now: Amount, then: Amount| {
                now.octets.checked_sub(then.octets).map(|octets| octets.saturating_mul(8_000) / ms)
            };
            link.rate = bits(link.received, before.received)
                .zip(bits(link.sent, before.sent))
                .map(|(received, sent)| Rate { received, sent });
        }
    }

    /// What is other in a later map; `None` = nothing but the time.
    #[must_use]
    pub fn changes_to(&self, later: &Self) -> Option<MapChanges> {
        let (nodes, links) = (nodes_of(self), links_of(self));
        let (later_nodes, later_links) = (nodes_of(later), links_of(later));
        let is_new_node = |node: &&MapNode| nodes.get(&*node.id) != Some(node);
        let is_new_link = |link: &&MapLink| links.get(&(&*link.from, &*link.to)) != Some(link);
        let gone_nodes = nodes.keys().filter(|id| !later_nodes.contains_key(*id));
        let gone_links = links.keys().filter(|ends| !later_links.contains_key(*ends));
        let changes = MapChanges {
            at_ms: later.at_ms,
            nodes: later.nodes.iter().filter(is_new_node).cloned().collect(),
            links: later.links.iter().filter(is_new_link).cloned().collect(),
            gone_nodes: gone_nodes.map(|id| (*id).to_owned()).collect(),
            gone_links: gone_links.map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
        };
        let nothing = MapChanges { at_ms: later.at_ms, ..MapChanges::default() };
        (changes != nothing).then_some(changes)
    }
}

fn nodes_of(map: &Map) -> BTreeMap<&str, &MapNode> {
    map.nodes.iter().map(|node| (&*node.id, node)).collect()
}

fn links_of(map: &Map) -> BTreeMap<(&str, &str), &MapLink> {
    map.links.iter().map(|link| ((&*link.from, &*link.to), link)).collect()
}

#[cfg(test)]
mod tests;
