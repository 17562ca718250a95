//! What the demo tells a person, at most 80 columns wide.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use encap::tunnel::{HEADER_LEN, IpVersion, Overhead, UDP_HEADER_LEN};
use encap::{Format, Mtu, ether};

use super::capture::Captured;
use super::node::is_balanced;
use super::pod::Pinged;
use super::topology::{NETWORK, Plan, UNDERLAY_MTU, VNI};
use crate::cli::{drops, fdb};
use crate::control::protocol::{Drops, Fdb};

const WIDTH: usize = 80;

/// The pings of one pod.
pub(super) struct Row {
    pub(super) from: Ipv4Addr,
    pub(super) results: Vec<Pinged>,
}

/// A TCP transfer that ended.
pub(super) struct Transfer {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) intact: bool,
    pub(super) micros: u64,
}

/// Who is where.
pub(super) fn topology(plan: &Plan) -> String {
    let format = title(plan.format);
    let mut text = format!(
        "TOPOLOGY\nNetwork {NETWORK} (VNI {VNI}) over {format}; the underlay is a bridge with MTU {UNDERLAY_MTU}.\n"
    );
    for node in &plan.nodes {
        let head = format!("  {:<7} {:<10} ", node.name, node.underlay);
        let pods: Vec<_> = node.pods.iter().map(|pod| format!(" {} {} ", pod.name, pod.address)).collect();
        wrapped(&mut text, &head, &pods);
    }
    text
}

/// A format as people write it.
pub(super) const fn title(format: Format) -> &'static str {
    match format {
        Format::Vxlan => "VXLAN",
        Format::Geneve => "Geneve",
    }
}

/// Words after a head, wrapped under each other.
pub(super) fn wrapped(text: &mut String, head: &str, words: &[String]) {
    let mut line = head.to_owned();
    for word in words {
        if line.len() + word.trim_end().len() > WIDTH && line.len() > head.len() {
            text.push_str(line.trim_end());
            line = format!("\n{:1$}", "", head.len());
        }
        line.push_str(word);
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The link that leads from this host to others.
pub(super) struct HostLink {
    pub(super) name: String,
    pub(super) mtu: Mtu,
}

/// What the tunnel takes of an MTU, on this host and in the demo.
pub(super) fn mtu(format: Format, host: Option<&HostLink>, ports: &[Mtu]) -> String {
    let mut text = "MTU: what is left for a pod's IP packet\n".to_owned();
    if let Some(HostLink { name, mtu }) = host {
        let _ = writeln!(text, "  on this host, whose default route leaves through {name}:");
        for outer in [IpVersion::V4, IpVersion::V6] {
            let _ = writeln!(text, "    {}", sum(*mtu, outer, format));
        }
    }
    if let Ok(underlay) = Mtu::new(UNDERLAY_MTU) {
        let _ = writeln!(text, "  in this demo:\n    {}", sum(underlay, IpVersion::V4, format));
    }
    let mut set: Vec<_> = ports.iter().map(ToString::to_string).collect();
    set.sort_unstable();
    set.dedup();
    let _ = writeln!(text, "    weft has set the eth0 of all {} pods to {}", ports.len(), set.join(", "));
    text
}

/// One subtraction.
fn sum(underlay: Mtu, outer: IpVersion, format: Format) -> String {
    let ip = if outer == IpVersion::V4 { "IPv4" } else { "IPv6" };
    let left = Overhead { outer, option_octets: 0, vlan: false }.inner_mtu(underlay);
    let left = left.map_or_else(|| "too little".to_owned(), |mtu| mtu.to_string());
    format!(
        "{underlay} - {} {ip} - {UDP_HEADER_LEN} UDP - {HEADER_LEN} {} - {} Ethernet = {left}",
        outer.header_len(),
        title(format),
        ether::HEADER_LEN
    )
}

/// One frame taken apart, and what holds for all of them.
pub(super) fn frame(dissected: &str, captured: &Captured) -> String {
    let Captured { datagrams, leaks, .. } = captured;
    format!("{dissected}Of all {datagrams} datagrams until now, {leaks} had a pod's address outside.\n")
}

/// What a capture file has in it.
pub(super) fn capture(path: &Path, captured: &Captured, tcp: u64) -> String {
    let (path, Captured { packets, uncut, lost, .. }) = (path.display(), captured);
    let mut text = format!(
        "CAPTURE: {packets} packets in {path}\n\
         \u{20} All that crossed the underlay until now: pings, and {:.1} MB of TCP.\n",
        tcp as f64 / 1e6
    );
    text.push_str(if *uncut == 0 {
        "  The kernel cut weft's batches before, so each packet is as on a wire; the TCP\n  below goes in batches.\n"
    } else {
        "  The kernel was to cut weft's batches before, and did not:\n"
    });
    if *uncut > 0 {
        let _ =
            writeln!(text, "  {uncut} packets are longer than the MTU, each a batch of several datagrams.");
    }
    if *lost > 0 {
        let _ = writeln!(text, "  {lost} more came too fast for this machine and are missing.");
    }
    let _ = writeln!(text, "  Look at it with one of:\n    wireshark {path}\n    tcpdump -n -r {path}");
    text
}

/// What the capture shows to be wrong; empty = nothing.
pub(super) fn complaints_of_capture(captured: &Captured) -> Vec<String> {
    let mut complaints = Vec::new();
    if captured.leaks > 0 {
        complaints.push(format!("{} datagrams had a pod's address outside", captured.leaks));
    }
    if captured.ping.is_none() && captured.lost == 0 {
        complaints.push("no ping between two hosts was seen on the underlay".to_owned());
    }
    complaints
}

/// Round trips from every pod to every pod; a line a pod where the matrix is too wide.
pub(super) fn pings(rows: &[Row], count: u32) -> String {
    let mut text = format!("PING: {count} from every pod to every other; median round trip in ms\n");
    let column = 11;
    if 12 + column * rows.len() <= WIDTH {
        let heads: String = rows.iter().map(|row| format!("{:>column$}", row.from.to_string())).collect();
        let _ = writeln!(text, "{:12}{heads}", "  from \\ to");
        for row in rows {
            let cells: String =
                rows.iter().map(|to| format!("{:>column$}", cell(row, to.from, count))).collect();
            let _ = writeln!(text, "  {:<10}{cells}", row.from.to_string());
        }
        return text;
    }
    for row in rows {
        let (answered, asked) = (answered(row), u64::from(count) * row.results.len() as u64);
        let mut times: Vec<_> = row.results.iter().filter_map(|result| result.median_us).collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).map_or_else(|| "-".to_owned(), |us| millis(*us));
        let _ = writeln!(text, "  {:<10} {answered}/{asked} answered, {median} ms", row.from.to_string());
    }
    text
}

fn cell(row: &Row, to: Ipv4Addr, count: u32) -> String {
    match row.results.iter().find(|result| result.to == to) {
        None => ".".to_owned(),
        Some(Pinged { answered, median_us: Some(us), .. }) if *answered == count => millis(*us),
        Some(result) => format!("{}/{count}", result.answered),
    }
}

fn answered(row: &Row) -> u64 {
    row.results.iter().map(|result| u64::from(result.answered)).sum()
}

fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// How fast it went.
pub(super) fn transfer(transfer: &Transfer) -> String {
    let Transfer { from, to, received, micros, intact, .. } = transfer;
    let (mega, verdict) = (received / 1_000_000, if *intact { "every octet as sent" } else { "DAMAGED" });
    let seconds = *micros as f64 / 1e6;
    format!(
        "TCP: {from} -> {to}, one connection between two hosts\n  {:.2} Gbit/s ({mega} MB in {seconds:.2} s, {verdict})\n",
        *received as f64 * 8.0 / seconds.max(1e-6) / 1e9
    )
}

/// Who is where, in the eyes of every node.
pub(super) fn fdbs(fdbs: &[(String, Fdb)]) -> String {
    let mut text = "FDB: which MAC address is where\n".to_owned();
    for (name, table) in fdbs {
        let _ = writeln!(text, "{name}");
        text.push_str(&indented(&fdb::render(table)));
    }
    text
}

/// Where every frame went.
pub(super) fn ledgers(ledgers: &[(String, Drops)]) -> String {
    let mut text = "LEDGER: every frame is accounted for\n".to_owned();
    for (name, ledger) in ledgers {
        let _ = writeln!(text, "{name}\n{}", drops::render(ledger, false).trim_end());
    }
    text
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

/// What did not work; empty = all did.
pub(super) fn complaints(
    rows: &[Row],
    count: u32,
    transfers: &[Transfer],
    ledgers: &[(String, Drops)],
) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in rows {
        for Pinged { to, answered, .. } in row.results.iter().filter(|result| result.answered < count) {
            complaints.push(format!("{to} answered {answered} of {count} pings from {}", row.from));
        }
    }
    for Transfer { from, to, sent, received, intact, .. } in transfers {
        if sent != received || *sent == 0 {
            complaints.push(format!("of {sent} octets that {from} sent over TCP, {received} reached {to}"));
        }
        if !intact {
            complaints.push(format!("TCP data changed on its way from {from} to {to}"));
        }
    }
    for (name, _) in ledgers.iter().filter(|(_, ledger)| !is_balanced(ledger)) {
        complaints.push(format!("the ledger of {name} does not balance"));
    }
    complaints
}

#[cfg(test)]
mod tests;
