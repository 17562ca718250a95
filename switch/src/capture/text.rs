//! A record in words: the lines that `weft capture` prints, and the comments in the files that it writes.
//!
//! ```text
//!  10:01:02.123456 port:web    in  vni 100 02:..:01 > 02:..:02 10.32.0.5.443 > 10.32.0.9.5123 tcp [.] ... -> peer:node-b #1.7
//!  10:01:02.123467 peer:node-b out 10.0.0.1.9 > 10.0.0.2.4789 vxlan vni 100 | 02:..:01 > 02:..:02 10.32.0.5 ... #1.7
//! ```
//!
//! Any octets give a line; what is cut off or makes no sense ends it early.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use encap::relay::Relay;
use encap::{Format, Vni, control, geneve, tunnel};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use super::outer;
use super::record::{Decision, Flow, Ids, Point, Record};

mod frame;

pub use self::frame::frame;

/// Octets of a header that is none, which are shown instead.
const SHOWN: usize = 16;

/// What the points of a capture are called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    points: BTreeMap<Point, Named>,
    width: usize,
}

/// What one point is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `port:web`, `peer:node-b`, `gossip`, `strangers`.
    pub name: String,
    /// What it is, for a person.
    pub description: String,
}

impl Names {
    /// Calls a point so from now on.
    pub fn set(&mut self, point: Point, name: &str, description: &str) {
        self.width = self.width.max(name.chars().count());
        self.points.insert(point, Named { name: name.to_owned(), description: description.to_owned() });
    }

    /// What a point is called, if that was told.
    #[must_use]
    pub fn get(&self, point: Point) -> Option<&Named> {
        self.points.get(&point)
    }

    /// What a point is called; what was told of it before, if it has no name.
    #[must_use]
    pub fn of(&self, point: Point) -> Cow<'_, str> {
        match (self.get(point), point) {
            (Some(named), _) => named.name.as_str().into(),
            (None, Point::Port(id)) => format!("port {}", id.get()).into(),
            (None, Point::Peer(ip)) => format!("peer:{ip}").into(),
            (None, Point::Strangers) => "strangers".into(),
            (None, Point::Gossip) => "gossip".into(),
        }
    }
}

/// One line about a record; `time` is how its moment is to be told.
///
/// # Examples
///
/// ```
/// use weft::capture::record::{Decision, Flow, Ids, Point, Record};
/// use weft::capture::text::{Names, line};
///
/// let mut names = Names::default();
/// let point = Point::Port(encap::PortId::new(3));
/// names.set(point, "port:web", "the port web");
/// let mut frame = [0; 60];
/// frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
/// let record = Record {
///     at: 0,
///     point,
///     direction: Flow::In,
///     ids: Ids { first: 7, count: 1 }.into(),
///     size: 0,
///     vni: Some(encap::Vni::new(100)?),
///     inside: None,
///     decision: Decision::Answered,
///     dropped: None,
///     outer: 0,
///     len: 60,
///     octets: &frame,
/// };
/// assert_eq!(
///     line(&record, &names, "08:01:02.000000"),
///     "08:01:02.000000 port:web in  vni 100 02:00:00:00:00:01 > 02:00:00:00:00:02 ethertype 0x88b5 len 60 \
///      -> answered here #0.7"
/// );
/// # Ok::<(), encap::types::VniError>(())
/// ```
#[must_use]
pub fn line(record: &Record<'_>, names: &Names, time: &str) -> String {
    let width = names.width;
    let way = way(record.direction);
    let mut line = format!("{time} {:width$} {way:<3} {}", names.of(record.point), contents(record));
    let mut add = |text: String| {
        line.push(' ');
        line.push_str(&text);
    };
    if let Some(amount) = amount(record) {
        add(format!("({amount})"));
    }
    if let Some(to) = destination(record.decision, names) {
        add(format!("-> {to}"));
    }
    if let Some(dropped) = dropped(record) {
        add(dropped);
    }
    if let Some(nanoseconds) = record.inside {
        add(format!("{} inside", duration(nanoseconds)));
    }
    add(numbers(record));
    line
}

/// What is known of a record beyond its octets, for the comment of its packet; `entry` is what the FDB says of its
/// destination.
#[must_use]
pub fn comment(record: &Record<'_>, names: &Names, entry: Option<&str>) -> String {
    let mut parts = Vec::new();
    match destination(record.decision, names) {
        Some(to) if record.decision == Decision::Answered => parts.push(to),
        Some(to) => parts.push(format!("to {to}")),
        None => {}
    }
    parts.extend(dropped(record).map(|text| text.trim_end_matches('.').to_owned()));
    parts.extend(Datagram::of(outside(record).0).and_then(|datagram| relayed(datagram.payload)));
    parts.extend(entry.map(str::to_owned));
    parts.extend(record.inside.map(|nanoseconds| format!("{nanoseconds} ns inside")));
    if let Some(amount) = amount(record) {
        parts.push(if record.size == 0 {
            format!("{amount}, uncut")
        } else {
            format!("{amount}, here is the first")
        });
    }
    parts.push(numbers(record));
    parts.join("; ")
}

/// The frame, or the datagram with the frame in it, without what became of it.
#[must_use]
pub fn contents(record: &Record<'_>) -> String {
    let len = record.len as usize;
    let inner_at = usize::from(record.outer);
    let (head, inner) = outside(record);
    if inner_at == 0 {
        let network = record.vni.map_or_else(String::new, |vni| format!("vni {} ", vni.get()));
        return network + &frame(inner, len);
    }
    let Some(datagram) = Datagram::of(head) else { return format!("cut off len {len}") };
    let ends = datagram.ends();
    if inner_at >= len {
        return format!(
            "{ends} {} len {}",
            datagram.kind(record.point),
            len.saturating_sub(datagram.headers)
        );
    }
    // Cut off so early that the format is not there.
    let format = datagram.format().map_or_else(|| "tunnel".to_owned(), |format| format.to_string());
    format!("{ends} {}", tunnelled(&format, record.vni, datagram.payload, (inner, len - inner_at)))
}

/// What there is of the headers outside, and of the frame.
fn outside<'a>(record: &Record<'a>) -> (&'a [u8], &'a [u8]) {
    record.octets.split_at(usize::from(record.outer).min(record.octets.len()))
}

/// A datagram of `len` octets, from its tunnel header on, of which these are the first.
///
/// # Examples
///
/// ```
/// use encap::Format;
/// use weft::capture::text::datagram;
///
/// assert_eq!(datagram(Format::Vxlan, &[0; 8], 60), "vxlan, no frame, len 60: 00 00 00 00 00 00 00 00");
/// ```
#[must_use]
pub fn datagram(format: Format, octets: &[u8], len: usize) -> String {
    match tunnel::decode(format, octets, false) {
        Ok((vni, start)) => {
            let (header, frame) = octets.split_at(start);
            tunnelled(&format.to_string(), Some(vni), header, (frame, len.saturating_sub(start)))
        }
        Err(_) => {
            let header: Vec<_> = octets.iter().take(SHOWN).map(|octet| format!("{octet:02x}")).collect();
            format!("{format}, no frame, len {len}: {}", header.join(" "))
        }
    }
}

/// A frame behind a tunnel header.
fn tunnelled(format: &str, vni: Option<Vni>, header: &[u8], (octets, len): (&[u8], usize)) -> String {
    let network = vni.map_or_else(String::new, |vni| format!(" vni {}", vni.get()));
    let relayed = relayed(header).map_or_else(String::new, |relayed| format!(" {relayed}"));
    format!("{format}{network}{relayed} | {}", frame(octets, len))
}

/// From where to where a node passes a frame on, if the tunnel header says so.
fn relayed(header: &[u8]) -> Option<String> {
    Relay::of(header).map(|relay| format!("relayed from {} for {}", relay.origin.ip(), relay.to))
}

/// The outer headers of a datagram.
struct Datagram<'a> {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    /// Octets of Ethernet, IP and UDP.
    headers: usize,
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn of(octets: &'a [u8]) -> Option<Self> {
        let packet = LaxSlicedPacket::from_ethernet(octets).ok()?;
        let (from, to): (IpAddr, IpAddr) = match &packet.net {
            Some(LaxNetSlice::Ipv4(v4)) => {
                (v4.header().source_addr().into(), v4.header().destination_addr().into())
            }
            Some(LaxNetSlice::Ipv6(v6)) => {
                (v6.header().source_addr().into(), v6.header().destination_addr().into())
            }
            _ => return None,
        };
        let Some(TransportSlice::Udp(udp)) = &packet.transport else { return None };
        let (from, to) = ((from, udp.source_port()), (to, udp.destination_port()));
        let headers = if from.0.is_ipv4() { outer::MAX_LEN - 20 } else { outer::MAX_LEN };
        Some(Self { from, to, headers, payload: octets.get(headers..)? })
    }

    fn ends(&self) -> String {
        format!("{}.{} > {}.{}", self.from.0, self.from.1, self.to.0, self.to.1)
    }

    /// Of a datagram that holds a frame: in Geneve the protocol stands where VXLAN has zeros.
    fn format(&self) -> Option<Format> {
        let is_geneve = self.payload.get(2..4)? == geneve::ETHERNET.to_be_bytes();
        Some(if is_geneve { Format::Geneve } else { Format::Vxlan })
    }

    /// Of a datagram that holds none.
    fn kind(&self, point: Point) -> &'static str {
        match point {
            Point::Gossip => "gossip",
            _ if control::is_head(self.payload) => "weft control",
            _ => "no frame",
        }
    }
}

/// `in` or `out`.
#[must_use]
pub const fn way(direction: Flow) -> &'static str {
    match direction {
        Flow::In => "in",
        Flow::Out => "out",
    }
}

/// How many frames, and octets, where there are several.
fn amount(record: &Record<'_>) -> Option<String> {
    let frames = record.ids.frames();
    let octets = if record.size == 0 { record.len.into() } else { u64::from(record.size) * frames };
    (frames > 1).then(|| format!("{frames} frames, {}", size(octets)))
}

/// Where a frame goes.
#[must_use]
pub fn destination(decision: Decision, names: &Names) -> Option<String> {
    let several = |count: u16, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    match decision {
        Decision::None => None,
        Decision::ToPorts => Some("ports here".to_owned()),
        Decision::ToPort(port) => Some(names.of(Point::Port(port)).into_owned()),
        Decision::ToPeer(peer) => Some(names.of(Point::Peer(peer)).into_owned()),
        Decision::Flooded { ports, peers, .. } => {
            let all: Vec<_> = several(ports, "port").into_iter().chain(several(peers, "peer")).collect();
            Some(if all.is_empty() { "nobody".to_owned() } else { all.join(" and ") })
        }
        Decision::Answered => Some("answered here".to_owned()),
    }
}

/// Why it was dropped.
fn dropped(record: &Record<'_>) -> Option<String> {
    let (reason, _) = record.dropped?;
    let (name, sentence) = (reason.name(), reason.sentence());
    Some(match record.decision {
        Decision::Flooded { dropped: 1, .. } => format!("ONE COPY DROPPED, {name}: {sentence}"),
        Decision::Flooded { dropped, .. } => format!("{dropped} COPIES DROPPED, the last {name}: {sentence}"),
        _ => format!("DROPPED, {name}: {sentence}"),
    })
}

/// The ids of the frames: worker and number.
fn numbers(record: &Record<'_>) -> String {
    let runs: Vec<_> = record.ids.runs().iter().map(run).collect();
    let named: u64 = record.ids.runs().iter().map(|run| u64::from(run.count)).sum();
    let more = if record.ids.frames() > named { ",.." } else { "" };
    runs.join(",") + more
}

/// A run of ids as people read it: `#1.4711`, or `#1.4711-4755` for several.
#[must_use]
pub fn run(ids: &Ids) -> String {
    const NUMBER: u64 = (1 << 48) - 1;
    let (worker, first) = (ids.first >> 48, ids.first & NUMBER);
    match ids.count {
        0 | 1 => format!("#{worker}.{first}"),
        count => format!("#{worker}.{first}-{}", first + u64::from(count) - 1),
    }
}

/// Nanoseconds, as a person says them.
#[allow(clippy::cast_precision_loss, clippy::cast_lossless)] // shown with three digits
fn duration(nanoseconds: u32) -> String {
    match nanoseconds {
        0..1000 => format!("{nanoseconds} ns"),
        1000..1_000_000 => format!("{:.1} us", f64::from(nanoseconds) / 1e3),
        _ => format!("{:.1} ms", f64::from(nanoseconds) / 1e6),
    }
}

/// Octets, as a person says them.
#[allow(clippy::cast_precision_loss)] // shown with three digits
fn size(octets: u64) -> String {
    match octets {
        0..1000 => format!("{octets} B"),
        1000..1_000_000 => format!("{:.1} kB", octets as f64 / 1e3),
        _ => format!("{:.1} MB", octets as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests;
