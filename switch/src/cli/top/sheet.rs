//! What `weft top` lists: rows with cells, made of the model, sorted and filtered. Where a cell stands on the screen is
//! not decided here.

use std::cmp::Ordering;

use super::model::{Flow, Meter, Model, NetworkRow, Pace, PeerHealth, PeerRow, PortRow, ReasonRow};
use super::text::scaled;
use crate::cli::{path, peer, port, table};
use crate::control::protocol::{Degraded, DegradedSubject, Lost, PortState};
use crate::counters::DropReason;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Peers,
    Networks,
    Ports,
    Drops,
    Causes,
}

impl View {
    /// All, in the order of their keys 1 to 5.
    pub(super) const ALL: [Self; 5] = [Self::Peers, Self::Networks, Self::Ports, Self::Drops, Self::Causes];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Peers => "Peers",
            Self::Networks => "Networks",
            Self::Ports => "Ports",
            Self::Drops => "Drops",
            Self::Causes => "Causes",
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Peers => PEERS,
            Self::Networks => NETWORKS,
            Self::Ports => PORTS,
            Self::Drops => DROPS,
            Self::Causes => CAUSES,
        }
    }

    /// What rows are sorted by until somebody says otherwise: trouble comes first.
    pub(super) const fn first_sort(self) -> usize {
        match self {
            Self::Peers | Self::Ports | Self::Causes => 1,
            Self::Networks => 0,
            Self::Drops => 3,
        }
    }

    /// What is said when there are no rows.
    pub(super) const fn empty(self) -> &'static str {
        match self {
            Self::Peers => "no peers: [gossip] `join` finds other nodes, [[peer]] adds a static peer",
            Self::Networks => "no networks: add [[network]] to the configuration",
            Self::Ports => "no ports: add one with `weft port add`, or [[port]] to the configuration",
            Self::Drops => "nothing was dropped",
            Self::Causes => "everything works",
        }
    }
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// Columns of the screen that it has at least, so that it does not move with its values.
    pub(super) width: usize,
    /// Where there is no room for all, columns of low ranks stay.
    pub(super) rank: u8,
    /// Whether the largest comes first when rows are sorted by it.
    pub(super) largest_first: bool,
}

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Words,
    /// Words that take what room is left.
    Prose,
    /// A number: aligned at the right.
    Number,
    /// Bars, not sorted by.
    History,
}

const fn words(title: &'static str, rank: u8) -> Column {
    Column { title, kind: Kind::Words, width: 0, rank, largest_first: false }
}

/// At least so wide, or not there.
const fn prose(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, kind: Kind::Prose, width, rank, largest_first: false }
}

/// Numbers of which the smallest matter most.
const fn least(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, kind: Kind::Number, width, rank, largest_first: false }
}

/// Numbers of which the largest matter most.
const fn most(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, kind: Kind::Number, width, rank, largest_first: true }
}

const fn history(rank: u8) -> Column {
    Column { title: "HISTORY", kind: Kind::History, width: 14, rank, largest_first: true }
}

/// As wide as `1.24 Gbit/s`.
const BITS: usize = 11;
/// As wide as `1.24 Mpps`.
const PPS: usize = 9;

const PEERS: &[Column] = &[
    words("NAME", 0),
    words("STATE", 0),
    most("RTT", 5, 3),
    most("LOSS", 6, 2),
    least("MTU", 4, 3),
    most("FROM PEER", BITS, 1),
    most("TO PEER", BITS, 1),
    most("FROM PPS", PPS, 7),
    most("TO PPS", PPS, 7),
    history(4),
    prose("CAUSE", 16, 6),
];

const NETWORKS: &[Column] = &[
    words("NAME", 0),
    least("VNI", 3, 0),
    least("MTU", 4, 4),
    most("PORTS", 0, 2),
    most("PEERS", 0, 2),
    most("MACS", 0, 3),
    most("FROZEN", 0, 5),
    most("FROM PODS", BITS, 1),
    most("TO PODS", BITS, 1),
    most("FROM PPS", PPS, 7),
    most("TO PPS", PPS, 7),
    history(4),
];

const PORTS: &[Column] = &[
    words("NAME", 0),
    words("STATE", 0),
    words("NETWORK", 2),
    least("MTU", 4, 5),
    most("FROM POD", BITS, 1),
    most("TO POD", BITS, 1),
    most("FROM PPS", PPS, 7),
    most("TO PPS", PPS, 7),
    history(4),
    prose("ADDRESSES", 16, 6),
];

const DROPS: &[Column] = &[
    words("REASON", 0),
    most("INBOUND", 9, 1),
    most("OUTBOUND", 9, 1),
    most("RATE", PPS, 0),
    history(3),
    prose("WHY", 40, 4),
];

const CAUSES: &[Column] = &[words("SUBJECT", 0), least("FOR", 6, 0), prose("CAUSE", 16, 1)];

/// How something is, for its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// It works.
    Good,
    /// Less well than it should.
    Warn,
    /// It does not.
    Bad,
    /// Of less weight.
    Dim,
    /// A title.
    Title,
}

/// What a cell shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    History(Vec<u64>),
}

/// What a row is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(String),
}

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) content: Content,
    pub(super) tone: Tone,
    key: Key,
}

impl Cell {
    fn words(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { key: Key::Text(text.to_lowercase()), content: Content::Text(text), tone: Tone::Plain }
    }

    fn number(text: impl Into<String>, key: u64) -> Self {
        Self { content: Content::Text(text.into()), tone: Tone::Plain, key: Key::Number(key) }
    }

    fn history(samples: Vec<u64>) -> Self {
        Self { content: Content::History(samples), tone: Tone::Good, key: Key::Number(0) }
    }

    const fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }
}

/// One thing that is listed.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Tells it from the others, also in later answers.
    pub(super) id: String,
    pub(super) cells: Vec<Cell>,
}

/// How rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    /// The index of the column.
    pub(super) column: usize,
    /// Whether the order is the other way round.
    pub(super) reversed: bool,
}

/// The rows of a view in which the filter is found, sorted.
pub(super) fn rows(model: &Model, view: View, sort: Sort, filter: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = match view {
        View::Peers => model.peers.iter().map(|(id, peer)| peer_row(id, peer)).collect(),
        View::Networks => model.networks.iter().map(|(id, network)| network_row(id, network)).collect(),
        View::Ports => model.ports.iter().map(|(id, port)| port_row(id, port)).collect(),
        View::Drops => {
            let occurred = model.reasons.iter().filter(|(_, reason)| reason.total() > 0);
            occurred.map(|(id, reason)| reason_row(id, reason)).collect()
        }
        View::Causes => model.causes.iter().map(cause_row).collect(),
    };
    let filter = filter.to_lowercase();
    rows.retain(|row| filter.is_empty() || contains(row, &filter));
    let turned = view.columns().get(sort.column).is_some_and(|column| column.largest_first) != sort.reversed;
    rows.sort_by(|a, b| {
        let order = compare(a, b, sort.column);
        (if turned { order.reverse() } else { order }).then_with(|| compare(a, b, 0))
    });
    rows
}

/// Whether any text of a row has the filter in it, which is in lower case.
fn contains(row: &Row, filter: &str) -> bool {
    row.cells.iter().any(|cell| match &cell.content {
        Content::Text(text) => text.to_lowercase().contains(filter),
        Content::History(_) => false,
    })
}

fn compare(a: &Row, b: &Row, column: usize) -> Ordering {
    match (a.cells.get(column), b.cells.get(column)) {
        (Some(a), Some(b)) => a.key.cmp(&b.key),
        _ => Ordering::Equal,
    }
}

fn peer_row(id: &str, peer: &PeerRow) -> Row {
    let entry = &peer.entry;
    let (health, rtt, loss) = (peer.health(), peer.rtt_us(), peer.loss());
    let mut cells = vec![
        Cell::words(&entry.name),
        Cell::number(health_name(peer), health as u64).tone(health_tone(health)),
        Cell::number(table::or_dash(rtt.map(table::microseconds)), rtt.unwrap_or(0)),
        Cell::number(table::or_dash(loss.map(path::percent)), loss.map_or(0, parts_per_million)),
        Cell::number(table::or_dash(entry.mtu), entry.mtu.map_or(0, |mtu| mtu.get().into())),
    ];
    cells.extend(paces(&peer.flow));
    cells.push(Cell::history(peer.flow.history()));
    cells.push(Cell::words(codes(&entry.degraded)).tone(Tone::Warn));
    Row { id: id.to_owned(), cells }
}

fn network_row(id: &str, network: &NetworkRow) -> Row {
    let entry = &network.entry;
    let count = |n: usize| Cell::number(n.to_string(), n as u64);
    let frozen = network.numbers.as_ref().map_or(0, |numbers| numbers.frozen);
    let mut cells = vec![
        Cell::words(&entry.name),
        Cell::number(entry.vni.to_string(), entry.vni.get().into()),
        Cell::number(entry.mtu.to_string(), entry.mtu.get().into()),
        count(entry.ports.len()),
        count(entry.peers.len()),
        Cell::number(format!("{}/{}", entry.macs, entry.max_macs), entry.macs),
        Cell::number(frozen.to_string(), frozen).tone(if frozen > 0 { Tone::Warn } else { Tone::Plain }),
    ];
    cells.extend(paces(&network.flow));
    cells.push(Cell::history(network.flow.history()));
    Row { id: id.to_owned(), cells }
}

fn port_row(id: &str, row: &PortRow) -> Row {
    let entry = &row.entry;
    // The worst first.
    let (order, tone) = match entry.state {
        PortState::Down => (0, Tone::Bad),
        PortState::Waiting => (1, Tone::Warn),
        PortState::Up => (2, Tone::Good),
    };
    let mut cells = vec![
        Cell::words(&entry.name),
        Cell::number(port::state(entry.state), order).tone(tone),
        Cell::words(&entry.network),
        Cell::number(entry.mtu.to_string(), entry.mtu.get().into()),
    ];
    cells.extend(paces(&row.flow));
    cells.push(Cell::history(row.flow.history()));
    cells.push(Cell::words(table::list(&entry.addresses)));
    Row { id: id.to_owned(), cells }
}

fn reason_row(id: &str, reason: &ReasonRow) -> Row {
    let count = |meter: &Meter| Cell::number(meter.total.count.to_string(), meter.total.count);
    let pace = reason.pace();
    let tone = if pace.unwrap_or(0) > 0 { Tone::Warn } else { Tone::Plain };
    let cells = vec![
        Cell::words(id),
        count(&reason.inbound),
        count(&reason.outbound),
        Cell::number(table::or_dash(pace.map(|pace| scaled(pace, "pps"))), pace.unwrap_or(0)).tone(tone),
        Cell::history(reason.history()),
        Cell::words(why(id, reason)),
    ];
    Row { id: id.to_owned(), cells }
}

fn cause_row(item: &DegradedSubject) -> Row {
    let cells = vec![
        Cell::words(&item.subject),
        Cell::number(table::duration(item.since_s), item.since_s),
        Cell::words(&item.cause).tone(Tone::Warn),
    ];
    Row { id: cause_id(item), cells }
}

/// Tells a cause from the others.
pub(super) fn cause_id(item: &DegradedSubject) -> String {
    format!("{} {}", item.subject, code(&item.cause))
}

/// Bits there and back, then frames.
fn paces(flow: &Flow) -> [Cell; 4] {
    let cell = |meter: &Meter, unit: &str, of: fn(Pace) -> u64| {
        let pace = meter.pace.map(of);
        Cell::number(table::or_dash(pace.map(|pace| scaled(pace, unit))), pace.unwrap_or(0))
    };
    [
        cell(&flow.received, "bit/s", |pace| pace.bits),
        cell(&flow.sent, "bit/s", |pace| pace.bits),
        cell(&flow.received, "pps", |pace| pace.frames),
        cell(&flow.sent, "pps", |pace| pace.frames),
    ]
}

/// The state of a peer in a word.
pub(super) fn health_name(row: &PeerRow) -> &'static str {
    match row.health() {
        PeerHealth::Degraded => "degraded",
        _ => peer::state(&row.entry),
    }
}

/// Its tone.
pub(super) const fn health_tone(health: PeerHealth) -> Tone {
    match health {
        PeerHealth::Down => Tone::Bad,
        PeerHealth::Suspect | PeerHealth::Degraded => Tone::Warn,
        PeerHealth::Up => Tone::Good,
        PeerHealth::Left => Tone::Dim,
    }
}

fn parts_per_million(lost: Lost) -> u64 {
    lost.count.saturating_mul(1_000_000) / lost.of.max(1)
}

/// The names of causes, each once.
fn codes(degraded: &[Degraded]) -> String {
    let mut codes: Vec<&str> = degraded.iter().map(|item| code(&item.cause)).collect();
    codes.dedup();
    codes.join(", ")
}

/// The name that a cause begins with; of a cause without one, all of it.
pub(super) fn code(cause: &str) -> &str {
    cause.split_once(": ").map_or(cause, |(code, _)| code)
}

/// What a reason means.
pub(super) fn why(name: &str, reason: &ReasonRow) -> String {
    if reason.before {
        return "The kernel lost it before weft saw it: more came than weft could take.".to_owned();
    }
    let known = DropReason::ALL.iter().find(|reason| reason.name() == name);
    known.map_or("A reason that this version of the command does not know.", |it| it.sentence()).to_owned()
}

#[cfg(test)]
mod tests;
