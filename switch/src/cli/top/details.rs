//! What `weft top` says of one row: a few lines below the list, all of it on Enter, and the help.

use super::model::{Flow, MAX_ROWS, Meter, Model, NetworkRow, Pace, PeerRow, PortRow, ReasonRow, SAMPLES};
use super::sheet::{Tone, View, health_name, health_tone, why};
use super::text::{bars, clip, scaled, wrap};
use crate::cli::{path, port, table};
use crate::control::protocol::{Degraded, FdbEntry, PeerEntry, PeerKind, PortState, Reply, Request};

/// Columns of the labels.
const LABEL: usize = 12;
/// Lines of a graph.
const GRAPH: usize = 3;
/// MAC addresses that are listed.
const LISTED: usize = 32;

/// A line, or a paragraph that is still to be wrapped.
pub(super) type Said = (String, Tone);

/// What is worth knowing of a row at a glance: what is wrong with it, or else where it is. Paragraphs.
pub(super) fn about(model: &Model, view: View, id: &str) -> Vec<Said> {
    match view {
        View::Peers => model.peers.get(id).map_or_else(Vec::new, |peer| {
            let entry = &peer.entry;
            if !entry.degraded.is_empty() {
                return causes(&entry.degraded);
            }
            let place = format!("{}, {}/{}", entry.address, entry.format, entry.port);
            vec![(format!("{place}, networks {}", table::list(&entry.networks)), Tone::Dim)]
        }),
        View::Networks => model.networks.get(id).map_or_else(Vec::new, |network| {
            let (ports, peers) = (table::list(&network.entry.ports), table::list(&network.entry.peers));
            vec![(format!("ports {ports}"), Tone::Dim), (format!("peers {peers}"), Tone::Dim)]
        }),
        View::Ports => model.ports.get(id).map_or_else(Vec::new, |port| {
            let entry = &port.entry;
            match &entry.reason {
                Some(reason) => vec![(reason.clone(), Tone::Warn)],
                None => vec![(format!("{}, MAC {}", device(port), table::or_dash(entry.mac)), Tone::Dim)],
            }
        }),
        View::Drops => {
            model.reasons.get(id).map_or_else(Vec::new, |reason| vec![(why(id, reason), Tone::Plain)])
        }
        View::Causes => cause(model, id).map_or_else(Vec::new, |(text, _)| vec![(text, Tone::Warn)]),
    }
}

/// What the daemon is asked besides while the details of a row are on the screen.
pub(super) fn question(model: &Model, view: View, id: &str) -> Option<Request> {
    match view {
        View::Peers => {
            let entry = &model.peers.get(id)?.entry;
            // By id: others may have the name, too.
            let peer = entry.node.clone().unwrap_or_else(|| entry.name.clone());
            (!is_prefix(entry)).then_some(Request::PathShow { peer: Some(peer) })
        }
        View::Ports => {
            let network = &model.ports.get(id)?.entry.network;
            // Of more the answer would be long, each time.
            let is_small = model.networks.get(network)?.entry.macs <= MAX_ROWS as u64;
            is_small.then(|| Request::FdbShow { mac: None, network: Some(network.clone()) })
        }
        View::Networks | View::Drops | View::Causes => None,
    }
}

/// All that is known of a row, in lines of at most `width` columns.
pub(super) fn details(model: &Model, view: View, id: &str, width: usize) -> Vec<Said> {
    let mut page = Page { width, lines: Vec::new() };
    let is_there = match view {
        View::Peers => model.peers.get(id).map(|peer| peer_page(&mut page, peer, model.more.as_ref())),
        View::Networks => model.networks.get(id).map(|network| network_page(&mut page, network)),
        View::Ports => model.ports.get(id).map(|port| port_page(&mut page, port, model.more.as_ref())),
        View::Drops => model.reasons.get(id).map(|reason| reason_page(&mut page, id, reason)),
        View::Causes => cause(model, id).map(|(text, since)| cause_page(&mut page, &text, since)),
    };
    if is_there.is_none() {
        page.text("it is gone: Esc leads back to the list", Tone::Dim);
    }
    page.lines
}

/// The keys, and what the columns mean.
pub(super) fn help(width: usize) -> Vec<Said> {
    let mut page = Page { width, lines: Vec::new() };
    KEYS.iter().for_each(|(keys, text)| page.row(keys, text, Tone::Plain));
    for text in NOTES {
        page.blank();
        page.text(text, Tone::Plain);
    }
    page.lines
}

const KEYS: &[(&str, &str)] = &[
    ("q, Ctrl-C", "end"),
    ("Tab, 1-5", "peers, networks, ports, drops, causes"),
    ("Up, k", "the row above; PgUp, Home, g: further"),
    ("Down, j", "the row below; PgDn, End, G: further"),
    ("Enter", "all about the selected row; Esc leads back"),
    ("/", "filter: rows with this text in any column; Esc ends it"),
    ("s, >", "sort by the next column; S, <: by the one before"),
    ("r", "the other way round"),
    ("p", "pause, and go on"),
    ("Space", "ask the daemon now"),
    ("Ctrl-Z", "back to the shell, until fg"),
];

const NOTES: &[&str] = &[
    "What is wrong comes first until you sort.",
    "FROM and TO are rates since the answer before. Those of peers, and in and out in the second line, are what the \
     tunnels carry, with their headers; those of ports and networks are pods' frames. HISTORY has one bar an answer, \
     120 at most, all rows on one scale.",
    "RTT and LOSS are of probes on the data ports (RTT of gossip where there are none), MTU is what a pod may send.",
    "With --once, and without a terminal, the same is printed as text.",
];

/// Lines in the making.
struct Page {
    width: usize,
    lines: Vec<Said>,
}

impl Page {
    /// A label and what belongs to it, wrapped beside it.
    fn row(&mut self, label: &str, text: &str, tone: Tone) {
        let mut label = label;
        for line in wrap(text, self.width.saturating_sub(LABEL)) {
            self.lines.push((format!("{label:<LABEL$}{line}"), tone));
            label = "";
        }
    }

    fn text(&mut self, text: &str, tone: Tone) {
        self.lines.extend(wrap(text, self.width).into_iter().map(|line| (line, tone)));
    }

    fn title(&mut self, text: &str) {
        self.blank();
        self.lines.push((clip(text, self.width), Tone::Title));
    }

    fn blank(&mut self) {
        self.lines.push((String::new(), Tone::Plain));
    }

    fn meter(&mut self, label: &str, meter: &Meter) {
        let Pace { frames, bits } = meter.pace.unwrap_or_default();
        let now = format!("{}, {}", scaled(bits, "bit/s"), scaled(frames, "pps"));
        self.graph(label, &now, &meter.history(|pace| pace.bits), "bit/s");
        let (octets, frames) = (scaled(meter.total.octets, "B"), scaled(meter.total.count, ""));
        self.row("", &format!("so far {octets} in {} frames", frames.trim_end()), Tone::Plain);
    }

    /// What goes on now, the most of its history, and the history itself.
    fn graph(&mut self, label: &str, now: &str, samples: &[u64], unit: &str) {
        let most = samples.iter().copied().max().unwrap_or(0);
        self.row(label, &format!("{now}; at most {}", scaled(most, unit)), Tone::Plain);
        let columns = self.width.saturating_sub(LABEL).min(SAMPLES);
        for line in bars(samples, (columns, GRAPH), most) {
            self.lines.push((format!("{:LABEL$}{line}", ""), Tone::Good));
        }
    }

    fn flow(&mut self, labels: [&str; 2], flow: &Flow) {
        self.blank();
        self.meter(labels[0], &flow.received);
        self.meter(labels[1], &flow.sent);
    }
}

fn peer_page(page: &mut Page, peer: &PeerRow, more: Option<&Reply>) {
    let entry = &peer.entry;
    let kind = match (entry.kind, &entry.version) {
        (PeerKind::Static, _) => "static".to_owned(),
        (PeerKind::Member, version) => format!("member, weft {}", table::or_dash(version.as_deref())),
    };
    let since = table::or_dash(entry.since_s.map(table::duration));
    page.row("state", &format!("{} for {since}; {kind}", health_name(peer)), health_tone(peer.health()));
    let gossip = entry.gossip.map_or_else(String::new, |at| format!("; gossip {at}"));
    page.row("underlay", &format!("{}, {}/{}{gossip}", entry.address, entry.format, entry.port), Tone::Plain);
    page.row("networks", &table::list(&entry.networks), Tone::Plain);
    let (mtu, path) = (table::or_dash(entry.mtu), table::or_dash(entry.path_mtu));
    page.row("MTU", &format!("{mtu} for pods, {path} on the underlay"), Tone::Plain);
    if let Some(numbers) = &peer.numbers {
        let [probes, gossip] =
            [numbers.probe_rtt_us, numbers.rtt_us].map(|rtt| table::or_dash(rtt.map(table::microseconds)));
        page.row("round trip", &format!("{probes} of probes, {gossip} of gossip"), Tone::Plain);
        let [there, back] = [numbers.lost_there, numbers.lost_back].map(path::percent);
        page.row("lost", &format!("there {there}, back {back}"), Tone::Plain);
    }
    if !entry.degraded.is_empty() {
        page.title("What is wrong");
        for (text, tone) in causes(&entry.degraded) {
            page.text(&text, tone);
        }
    }
    page.flow(["from it", "to it"], &peer.flow);
    match more {
        _ if is_prefix(entry) => {
            page.blank();
            page.text("datagrams from there are taken, and none is ever sent there", Tone::Dim);
        }
        Some(Reply::Paths(paths)) => {
            for found in paths.entries.iter().filter(|found| found.name == entry.name) {
                page.title("The path");
                let text = path::detail(found);
                text.lines().for_each(|line| page.lines.push((line.to_owned(), Tone::Plain)));
            }
        }
        Some(Reply::Error(error)) => page.text(&error.message, Tone::Dim),
        _ => {}
    }
}

/// Whether a static peer is a whole network, which frames come from and never go to.
fn is_prefix(entry: &PeerEntry) -> bool {
    entry.kind == PeerKind::Static && entry.address.contains('/')
}

fn network_page(page: &mut Page, network: &NetworkRow) {
    let entry = &network.entry;
    page.row("VNI", &entry.vni.to_string(), Tone::Plain);
    page.row("MTU", &entry.mtu.to_string(), Tone::Plain);
    page.row("ports", &entry.ports.join(", "), Tone::Plain);
    page.row("peers", &entry.peers.join(", "), Tone::Plain);
    page.row("MACs", &format!("{} of {}", entry.macs, entry.max_macs), Tone::Plain);
    if let Some(numbers) = &network.numbers {
        let text = format!("{} local, {} remote, {} static", numbers.local, numbers.remote, numbers.fixed);
        page.row("", &text, Tone::Plain);
        let tone = if numbers.frozen > 0 { Tone::Warn } else { Tone::Plain };
        page.row("frozen", &numbers.frozen.to_string(), tone);
    }
    let age = if entry.mac_age_s == 0 { "never".to_owned() } else { table::duration(entry.mac_age_s) };
    page.row("forgotten", &format!("after {age} unseen"), Tone::Plain);
    page.row("unknown", &entry.unknown_unicast, Tone::Plain);
    page.row("VLAN tags", &entry.vlan, Tone::Plain);
    page.flow(["from pods", "to pods"], &network.flow);
}

fn port_page(page: &mut Page, row: &PortRow, more: Option<&Reply>) {
    let entry = &row.entry;
    let tone = if entry.state == PortState::Up { Tone::Good } else { Tone::Warn };
    page.row("state", port::state(entry.state), tone);
    if let Some(reason) = &entry.reason {
        page.row("", reason, Tone::Warn);
    }
    page.row("device", &device(row), Tone::Plain);
    page.row("network", &entry.network, Tone::Plain);
    page.row("MTU", &entry.mtu.to_string(), Tone::Plain);
    page.row("MAC", &table::or_dash(entry.mac), Tone::Plain);
    page.row("addresses", &table::list(&entry.addresses).replace(',', ", "), Tone::Plain);
    page.row("offloads", &table::list(&entry.offloads).replace(',', ", "), Tone::Plain);
    let made =
        if entry.runtime { "by the command line, until the daemon ends" } else { "by the configuration" };
    page.row("made", made, Tone::Plain);
    page.flow(["from pod", "to pod"], &row.flow);
    page.title("MAC addresses behind it");
    match more {
        Some(Reply::Fdb(fdb)) => {
            let of_it = |found: &&FdbEntry| found.port.as_ref() == Some(&entry.name);
            let macs: Vec<_> = fdb.entries.iter().filter(of_it).collect();
            for found in macs.iter().take(LISTED) {
                let age = table::duration(found.age_s);
                let frozen = if found.frozen_s.is_some() { ", frozen" } else { "" };
                page.text(&format!("{} {age}{frozen}", found.mac), Tone::Plain);
            }
            match macs.len() {
                0 => page.text("none", Tone::Dim),
                n if n > LISTED => page.text(&format!("and {} more", n - LISTED), Tone::Dim),
                _ => {}
            }
        }
        Some(Reply::Error(error)) => page.text(&error.message, Tone::Dim),
        _ => page.text(&format!("`weft fdb show --network {}` lists them", entry.network), Tone::Dim),
    }
}

fn reason_page(page: &mut Page, name: &str, reason: &ReasonRow) {
    page.row("why", &why(name, reason), Tone::Plain);
    page.row("inbound", &reason.inbound.total.count.to_string(), Tone::Plain);
    page.row("outbound", &reason.outbound.total.count.to_string(), Tone::Plain);
    page.blank();
    let now = reason.pace().map_or_else(|| "-".to_owned(), |pace| scaled(pace, "pps"));
    page.graph("rate", &now, &reason.history(), "pps");
}

fn cause_page(page: &mut Page, text: &str, since_s: u64) {
    page.text(text, Tone::Warn);
    page.blank();
    page.row("for", &table::duration(since_s), Tone::Plain);
    page.row("more", "`weft doctor` looks for what is behind it, and says what mends it", Tone::Plain);
}

fn device(row: &PortRow) -> String {
    let entry = &row.entry;
    entry.netns.as_ref().map_or_else(|| entry.ifname.clone(), |netns| format!("{} in {netns}", entry.ifname))
}

fn causes(degraded: &[Degraded]) -> Vec<Said> {
    let said =
        |item: &Degraded| (format!("{} (for {})", item.cause, table::duration(item.since_s)), Tone::Warn);
    degraded.iter().map(said).collect()
}

/// The words of a cause in the list of all, and the seconds since then.
fn cause(model: &Model, id: &str) -> Option<(String, u64)> {
    let item = model.causes.iter().find(|item| super::sheet::cause_id(item) == id)?;
    Some((format!("{}: {}", item.subject, item.cause), item.since_s))
}

#[cfg(test)]
mod tests;
