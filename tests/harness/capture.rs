//! Captures: taken by tcpdump, judged by tshark or by a look at the outer addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::command::{Process, try_run};
use crate::netns::Netns;
use crate::pcap;
use crate::wait;

/// Octets of a whole packet, for a capture that tshark is to judge.
pub const WHOLE: u32 = 262_144;

/// A capture that is running.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures what passes a device, `snap` octets of each packet, into a file.
    #[must_use]
    #[track_caller]
    pub fn start(ns: &Netns, device: &str, file: &Path, snap: u32) -> Self {
        let snap = format!("-s{snap}");
        let path = file.to_str().expect("a path in UTF-8");
        let words = [
            "tcpdump",
            "-i",
            device,
            "-n",
            "--immediate-mode",
            "-B",
            "16384",
            &snap,
            "-Z",
            "root",
            "-w",
            path,
        ];
        let tcpdump = ns.start(&words, &[], &file.with_extension("log"));
        wait::until(wait::secs(10), "tcpdump to listen", || tcpdump.log().contains("listening on"));
        Self { tcpdump, file: file.to_owned() }
    }

    /// Ends the capture; returns its file.
    #[track_caller]
    pub fn stop(mut self) -> PathBuf {
        wait::sleep_ms(200);
        self.tcpdump.signal(Signal::INT);
        self.tcpdump.wait(wait::secs(10));
        self.file.clone()
    }
}

/// The packets that tshark finds malformed or with a wrong checksum, outside or inside, a line each.
///
/// # Panics
///
/// When tshark cannot read the file or sees no packet in it.
#[must_use]
#[track_caller]
pub fn problems(file: &Path) -> Vec<String> {
    let path = file.to_str().expect("a path in UTF-8");
    let checks = ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE"];
    let mut base = vec!["tshark", "-n", "-r", path];
    checks.iter().for_each(|check| base.extend(["-o", check]));
    // Streams are not put together: a retransmission of TCP is no fault of a packet.
    base.extend(["-o", "tcp.desegment_tcp_streams:FALSE"]);
    // An ICMP error quotes the head of a packet, which is cut short by design. Linux writes a TCP checksum of 0
    // as 0xffff, as UDP demands; it is right all the same, but tshark minds.
    let bad = "(_ws.malformed or ip.checksum.status == 0 or udp.checksum.status == 0 or tcp.checksum.status == 0 \
               or icmp.checksum.status == 0 or icmpv6.checksum.status == 0) \
               and not icmp.type == 3 and not icmpv6.type in {1, 2} and not tcp.checksum == 0xffff";
    let list = |filter: &str| {
        let mut words = base.clone();
        words.extend(["-Y", filter]);
        let done = try_run(&words);
        assert!(done.ok(), "tshark could not read {path}: {}", done.err);
        done.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(!list("vxlan or geneve").is_empty(), "no tunnel packet in {path}");
    list(bad)
}

/// The addresses in the outer headers (IPv4, IPv6, ARP) of a capture that do not belong to the underlay.
///
/// # Panics
///
/// When the file is no capture of Ethernet.
#[must_use]
#[track_caller]
pub fn foreign_addresses(file: &Path) -> BTreeSet<IpAddr> {
    let capture = pcap::read(file).unwrap_or_else(|e| panic!("{e:#}"));
    assert_eq!(capture.link_type, pcap::ETHERNET, "{}", file.display());
    let mut found = BTreeSet::new();
    capture.packets.iter().for_each(|packet| outer_addresses(&packet.octets, &mut found));
    found.retain(|address| !of_underlay(*address));
    found
}

/// Whether hosts use this address between themselves.
fn of_underlay(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [10, 99, 0] || v4.octets()[0] == 224 || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.segments()[0] == 0xfd99 || v6.segments()[0] == 0xff02 || v6.is_unspecified(),
    }
}

/// Adds source and destination of the outermost header.
fn outer_addresses(packet: &[u8], found: &mut BTreeSet<IpAddr>) {
    let v4 = |at: usize| packet.get(at..at + 4).map(|b| IpAddr::from(<[u8; 4]>::try_from(b).expect("4")));
    let v6 = |at: usize| packet.get(at..at + 16).map(|b| IpAddr::from(<[u8; 16]>::try_from(b).expect("16")));
    match packet.get(12..14) {
        Some([0x08, 0x00]) => found.extend(v4(26).into_iter().chain(v4(30))),
        Some([0x08, 0x06]) => found.extend(v4(28).into_iter().chain(v4(38))),
        Some([0x86, 0xdd]) => found.extend(v6(22).into_iter().chain(v6(38))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// A capture file with these packets.
    fn capture(packets: &[Vec<u8>]) -> tempfile::NamedTempFile {
        let mut bytes =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for packet in packets {
            bytes.extend([0; 8]);
            bytes.extend((packet.len() as u32).to_le_bytes());
            bytes.extend((packet.len() as u32).to_le_bytes());
            bytes.extend(packet);
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    #[test]
    fn a_pod_address_in_an_outer_header_is_found() {
        let packet = |source: Ipv4Addr| {
            let mut packet = vec![0; 12];
            packet.extend([0x08, 0x00]);
            packet.extend([0x45; 12]);
            packet.extend(source.octets());
            packet.extend([10, 99, 0, 2]);
            packet
        };
        let pod = Ipv4Addr::new(10, 32, 0, 1);
        let host = Ipv4Addr::new(10, 99, 0, 1);
        assert!(foreign_addresses(capture(&[packet(host)]).path()).is_empty());
        let found = foreign_addresses(capture(&[packet(host), packet(pod)]).path());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [IpAddr::V4(pod)]);
    }

    #[test]
    fn ipv6_and_arp_are_looked_into_too() {
        let pod: Ipv6Addr = "fd32::1".parse().expect("an address");
        let mut ip = vec![0; 12];
        ip.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 17, 64]);
        ip.extend(pod.octets());
        ip.extend([0; 16]);
        let mut arp = vec![0; 12];
        arp.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 32, 0, 9, 0, 0, 0, 0, 0, 0]);
        arp.extend([10, 99, 0, 2]);
        let found = foreign_addresses(capture(&[ip, arp]).path());
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
