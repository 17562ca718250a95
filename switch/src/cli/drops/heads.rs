//! What was dropped last for one reason: lines for a person, and a file for Wireshark and tcpdump.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::capture::pcapng::{InterfaceId, Packet, SnapLen, Way, Writer};
use crate::capture::{outer, text};
use crate::cli::table;
use crate::control::protocol::{DatagramHead, DropHead, DropHeads};
use crate::counters::DropReason;

pub(super) fn render(heads: &DropHeads) -> String {
    let missing = missing(heads).map(|missing| format!("\n{missing}\n")).unwrap_or_default();
    if heads.entries.is_empty() {
        return format!("Nothing was dropped for {} since weft started.\n{missing}", heads.reason);
    }
    let row = |head: &DropHead| {
        let (octets, len) = (octets(head), usize::try_from(head.len).unwrap_or(usize::MAX));
        let what = match head.datagram {
            Some(datagram) => text::datagram(datagram.format, &octets, len),
            None => text::frame(&octets, len),
        };
        let frames = head.frames.to_string();
        [table::duration(head.age_us / 1_000_000), head.direction.clone(), head.at.clone(), frames, what]
    };
    let rows: Vec<_> = heads.entries.iter().map(row).collect();
    let table = table::render(["AGE", "WAY", "AT", "FRAMES", "THE FIRST OF THEM"], &rows);
    format!("{}: {}\n\n{table}{missing}", heads.reason, heads.sentence)
}

/// What is not among them, if anything.
pub(super) fn missing(heads: &DropHeads) -> Option<String> {
    let workers = match heads.silent_workers {
        0 => return None,
        1 => "1 worker".to_owned(),
        more => format!("{more} workers"),
    };
    Some(format!("{workers} did not answer within half a second: what they dropped is missing; ask again."))
}

/// Writes them as pcapng, one interface a port or peer; `now` is since 1970.
pub(super) fn write(heads: &DropHeads, now: Duration, out: impl Write) -> io::Result<()> {
    let name = concat!("weft ", env!("CARGO_PKG_VERSION"));
    let mut file = Writer::new(out, SnapLen::MAX, name)?;
    let mut interfaces: BTreeMap<&str, InterfaceId> = BTreeMap::new();
    for head in &heads.entries {
        let way = way(&heads.reason, head);
        let interface = match interfaces.get(&*head.at) {
            Some(interface) => *interface,
            None => {
                let made_up = "; Ethernet, IP and UDP headers of its datagrams are made up";
                let made_up = if head.datagram.is_some() { made_up } else { "" };
                let interface = file.interface(&head.at, &format!("dropped by weft{made_up}"))?;
                interfaces.insert(&head.at, interface);
                interface
            }
        };
        let (mut packet, mut len) = (Vec::new(), usize::try_from(head.len).unwrap_or(usize::MAX));
        let kept = octets(head);
        if let Some(datagram) = &head.datagram {
            outer::write(ends(datagram, way), 0, ([&kept[..]], len), &mut packet);
            len = len.saturating_add(packet.len());
        }
        packet.extend_from_slice(&kept);
        let why = format!("dropped, frames: {}, reason: {}: {}", head.frames, heads.reason, heads.sentence);
        let time = now.saturating_sub(Duration::from_micros(head.age_us));
        let (octets, way, comments) = (&packet[..], Some(way), &[&*why][..]);
        file.packet(&Packet { interface, time, octets, len, way, id: None, comments })?;
    }
    if interfaces.is_empty() {
        // libpcap reads no file that has none.
        file.interface("any", "nothing was dropped")?;
    }
    file.flush()
}

/// What a device refused was on its way out there; all else came from its place. A datagram for a port that is gone did, too.
fn way(reason: &str, head: &DropHead) -> Way {
    let is = |reasons: &[DropReason]| reasons.iter().any(|one| one.name() == reason);
    let refused = match head.datagram {
        Some(_) => is(&[DropReason::SendError]),
        None => is(&[DropReason::TapFull, DropReason::TapGone]),
    };
    if refused { Way::Out } else { Way::In }
}

/// Who sent a datagram, and to whom; by which port is not known.
fn ends(datagram: &DatagramHead, way: Way) -> (SocketAddr, SocketAddr) {
    let own = datagram.own.unwrap_or(datagram.peer);
    let (from, to) = match way {
        Way::In => (datagram.peer, own),
        Way::Out => (own, datagram.peer),
    };
    (SocketAddr::new(from, 0), SocketAddr::new(to, datagram.port))
}

/// What the digits stand for; they end where they are none.
fn octets(head: &DropHead) -> Vec<u8> {
    let pairs = head.octets.as_bytes().chunks_exact(2);
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map_while(digits).collect()
}

#[cfg(test)]
mod tests;
