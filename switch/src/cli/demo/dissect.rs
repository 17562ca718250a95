//! One packet of the underlay, field by field: what is outside, what is inside, and who is named where.
//!
//! ```text
//!  | Ethernet 14 | IPv4 20 | UDP 8 | VXLAN or Geneve 8 | Ethernet 14 | IPv4 20 | ICMP 64 |
//!  |<------------------- outside: nodes ------------->|<-------- inside: pods ---------->|
//! ```

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use encap::checksum::Sum;
use encap::ether::IPV4;
use encap::{Format, MacAddr, Vni, ether, tunnel};
use etherparse::{Ethernet2HeaderSlice, Icmpv4Slice, IpNumber, Ipv4HeaderSlice, UdpHeaderSlice, icmpv4};

use super::report::{title, wrapped};
use super::topology::{NETWORK, NodePlan, Plan, PodPlan};

/// Octets of a field that are shown.
const SHOWN: usize = 6;

/// Who has which address.
#[derive(Clone, Debug)]
pub(super) struct Names {
    format: Format,
    nodes: Vec<Named>,
    pods: Vec<Named>,
    /// The pods whose ping is looked for.
    pair: Option<(Ipv4Addr, Ipv4Addr)>,
}

#[derive(Clone, Debug)]
struct Named {
    name: String,
    mac: MacAddr,
    address: Ipv4Addr,
}

impl Names {
    pub(super) fn of(plan: &Plan) -> Self {
        let node = |n: &NodePlan| Named { name: n.name.clone(), mac: n.mac, address: n.underlay };
        let pod = |p: &PodPlan| Named { name: p.name.clone(), mac: p.mac, address: p.address };
        let mut firsts = plan.nodes.iter().filter_map(|node| node.pods.first()).map(|pod| pod.address);
        Self {
            format: plan.format,
            nodes: plan.nodes.iter().map(node).collect(),
            pods: plan.nodes.iter().flat_map(|node| &node.pods).map(pod).collect(),
            pair: firsts.next().zip(firsts.next()),
        }
    }

    pub(super) const fn format(&self) -> Format {
        self.format
    }

    fn all(&self) -> impl Iterator<Item = &Named> {
        self.nodes.iter().chain(&self.pods)
    }

    fn of_mac(&self, octets: [u8; 6]) -> String {
        let mac = MacAddr::new(octets);
        self.all().find(|named| named.mac == mac).map_or_else(|| mac.to_string(), |named| named.name.clone())
    }

    fn of_address(&self, address: Ipv4Addr) -> String {
        let named = self.all().find(|named| named.address == address);
        named.map_or_else(|| address.to_string(), |named| format!("{address}, {}", named.name))
    }
}

/// A packet of the underlay that carries a frame.
pub(super) struct Datagram<'a> {
    packet: &'a [u8],
    format: Format,
    ethernet: Ethernet2HeaderSlice<'a>,
    ip: Ipv4HeaderSlice<'a>,
    udp: UdpHeaderSlice<'a>,
    vni: Vni,
    /// Where the tunnel header starts.
    tunnel: usize,
    /// Where the frame starts.
    frame: usize,
}

/// Where one header's fields lie.
struct Layer {
    title: &'static str,
    fields: Vec<Field>,
}

struct Field {
    size: usize,
    name: &'static str,
    value: String,
}

fn field(size: usize, name: &'static str, value: impl Into<String>) -> Field {
    Field { size, name, value: value.into() }
}

impl<'a> Datagram<'a> {
    /// Reads the outer headers; `None` for a packet that is no datagram of the tunnel.
    pub(super) fn parse(packet: &'a [u8], format: Format) -> Option<Self> {
        let ethernet = Ethernet2HeaderSlice::from_slice(packet).ok()?;
        if ethernet.ether_type().0 != IPV4 {
            return None;
        }
        let ip = Ipv4HeaderSlice::from_slice(&packet[ether::HEADER_LEN..]).ok()?;
        let at = ether::HEADER_LEN + ip.slice().len();
        if ip.protocol() != IpNumber::UDP || ip.is_fragmenting_payload() {
            return None;
        }
        let udp = UdpHeaderSlice::from_slice(&packet[at..]).ok()?;
        if udp.destination_port() != port(format) {
            return None;
        }
        let tunnel = at + tunnel::UDP_HEADER_LEN;
        let (vni, start) = tunnel::decode(format, &packet[tunnel..], true).ok()?;
        Some(Self { packet, format, ethernet, ip, udp, vni, tunnel, frame: tunnel + start })
    }

    /// Whether an address field outside holds an address of a pod.
    pub(super) fn leaks(&self, names: &Names) -> bool {
        let (macs, addresses) = (
            [self.ethernet.source(), self.ethernet.destination()],
            [self.ip.source_addr(), self.ip.destination_addr()],
        );
        names.pods.iter().any(|pod| macs.contains(&pod.mac.octets()) || addresses.contains(&pod.address))
    }

    /// Whether it carries an echo request between the two pods, and nothing behind it.
    pub(super) fn is_ping(&self, names: &Names) -> bool {
        self.echo().is_some_and(|(ip, icmp)| {
            let between = (ip.source_addr(), ip.destination_addr());
            let end = self.frame + ether::HEADER_LEN + usize::from(ip.total_len());
            names.pair == Some(between)
                && icmp.type_u8() == icmpv4::TYPE_ECHO_REQUEST
                && end == self.packet.len()
        })
    }

    /// The inner headers, where they are IPv4 and ICMP.
    fn echo(&self) -> Option<(Ipv4HeaderSlice<'a>, Icmpv4Slice<'a>)> {
        let frame = Ethernet2HeaderSlice::from_slice(&self.packet[self.frame..]).ok()?;
        if frame.ether_type().0 != IPV4 {
            return None;
        }
        let packet = &self.packet[self.frame + ether::HEADER_LEN..];
        let ip = Ipv4HeaderSlice::from_slice(packet).ok()?;
        if ip.protocol() != IpNumber::ICMP || ip.is_fragmenting_payload() {
            return None;
        }
        let icmp = packet.get(ip.slice().len()..usize::from(ip.total_len()))?;
        Some((ip, Icmpv4Slice::from_slice(icmp).ok()?))
    }

    /// What tcpdump prints of it, without its time: a line for the outside, one for the inside.
    fn summary(&self) -> Option<[String; 2]> {
        let (ip, icmp) = self.echo()?;
        let vni = self.vni.get();
        let (from, to) = (self.ip.source_addr(), self.ip.destination_addr());
        let tunnel = match self.format {
            Format::Vxlan => format!("VXLAN, flags [I] (0x08), vni {vni}"),
            Format::Geneve => format!("Geneve, Flags [none], vni {vni:#x}:"),
        };
        let (id, sequence) = echo_numbers(&icmp);
        Some([
            format!("IP {from}.{} > {to}.{}: {tunnel}", self.udp.source_port(), self.udp.destination_port()),
            format!(
                "IP {} > {}: ICMP echo request, id {id}, seq {sequence}, length {}",
                ip.source_addr(),
                ip.destination_addr(),
                icmp.slice().len()
            ),
        ])
    }

    /// Every octet of the packet, by header and field.
    fn layers(&self, names: &Names) -> Option<Vec<Layer>> {
        let (ip, icmp) = self.echo()?;
        let frame = Ethernet2HeaderSlice::from_slice(&self.packet[self.frame..]).ok()?;
        Some(vec![
            Layer { title: "Outer Ethernet", fields: ethernet(&self.ethernet, names) },
            Layer { title: "Outer IPv4", fields: ipv4(&self.ip, names) },
            Layer { title: "UDP", fields: self.udp() },
            Layer { title: title(self.format), fields: self.tunnel() },
            Layer { title: "Inner Ethernet", fields: ethernet(&frame, names) },
            Layer { title: "Inner IPv4", fields: ipv4(&ip, names) },
            Layer { title: "ICMP", fields: echo(&icmp) },
        ])
    }

    fn udp(&self) -> Vec<Field> {
        let (from, to) = (self.udp.source_port(), self.udp.destination_port());
        vec![
            field(2, "source port", format!("{from}, by the inner flow")),
            field(2, "destination port", format!("{to}, {}", title(self.format))),
            field(2, "length", self.udp.length().to_string()),
            field(2, "checksum", self.udp_checksum()),
        ]
    }

    /// What the UDP checksum is worth. A virtual cable carries packets whose checksum nobody finished.
    fn udp_checksum(&self) -> &'static str {
        let [from, to] = [self.ip.source_addr(), self.ip.destination_addr()].map(IpAddr::V4);
        let start = self.tunnel - tunnel::UDP_HEADER_LEN;
        let pseudo = Sum::of_addresses(from, to, IpNumber::UDP.0).and_u16(self.udp.length());
        match self.udp.checksum() {
            0 => "none",
            _ if pseudo.and(&self.packet[start..]).is_valid() => "right",
            sum if sum.to_be_bytes() == pseudo.fold() => "left to the network card",
            _ => "WRONG",
        }
    }

    fn tunnel(&self) -> Vec<Field> {
        let header = &self.packet[self.tunnel..self.frame];
        let vni = || field(3, "VNI", format!("{}, network {NETWORK}", self.vni.get()));
        match self.format {
            Format::Vxlan => vec![
                field(1, "flags", "I: there is a VNI"),
                field(3, "reserved", ""),
                vni(),
                field(1, "reserved", ""),
            ],
            Format::Geneve => {
                let options = header.len() - tunnel::HEADER_LEN;
                let mut fields = vec![
                    field(1, "version, options", format!("version {}, {options} octets", header[0] >> 6)),
                    field(1, "flags", if header[1] == 0 { "none" } else { "O or C" }),
                    field(2, "protocol", "an Ethernet frame"),
                    vni(),
                    field(1, "reserved", ""),
                ];
                if options > 0 {
                    fields.push(field(options, "options", ""));
                }
                fields
            }
        }
    }
}

/// The UDP port that the demo's datagrams go to.
pub(super) const fn port(format: Format) -> u16 {
    match format {
        Format::Vxlan => encap::vxlan::PORT,
        Format::Geneve => encap::geneve::PORT,
    }
}

fn ethernet(header: &Ethernet2HeaderSlice<'_>, names: &Names) -> Vec<Field> {
    let kind = header.ether_type().0;
    vec![
        field(6, "destination", names.of_mac(header.destination())),
        field(6, "source", names.of_mac(header.source())),
        field(2, "type", if kind == IPV4 { "IPv4".to_owned() } else { format!("{kind:#06x}") }),
    ]
}

fn ipv4(header: &Ipv4HeaderSlice<'_>, names: &Names) -> Vec<Field> {
    let octets = header.slice();
    let fragments = match (header.dont_fragment(), header.is_fragmenting_payload()) {
        (true, false) => "DF: not to be fragmented",
        (false, false) => "may be fragmented",
        (_, true) => "a fragment",
    };
    let protocol = match header.protocol() {
        IpNumber::UDP => "UDP".to_owned(),
        IpNumber::ICMP => "ICMP".to_owned(),
        other => other.0.to_string(),
    };
    let mut fields = vec![
        field(1, "version, length", format!("4, {} octets", octets.len())),
        field(1, "DSCP, ECN", format!("{}, {}", header.dcp().value(), header.ecn().value())),
        field(2, "total length", header.total_len().to_string()),
        field(2, "identification", header.identification().to_string()),
        field(2, "fragmentation", fragments),
        field(1, "TTL", header.ttl().to_string()),
        field(1, "protocol", protocol),
        field(2, "checksum", if Sum::of(octets).is_valid() { "right" } else { "WRONG" }),
        field(4, "source", names.of_address(header.source_addr())),
        field(4, "destination", names.of_address(header.destination_addr())),
    ];
    if !header.options().is_empty() {
        fields.push(field(header.options().len(), "options", ""));
    }
    fields
}

fn echo(icmp: &Icmpv4Slice<'_>) -> Vec<Field> {
    let (id, sequence) = echo_numbers(icmp);
    let data = icmp.payload().len();
    vec![
        field(1, "type", "echo request"),
        field(1, "code", ""),
        field(2, "checksum", if Sum::of(icmp.slice()).is_valid() { "right" } else { "WRONG" }),
        field(2, "identifier", id.to_string()),
        field(2, "sequence", sequence.to_string()),
        field(data, "data", format!("{data} octets")),
    ]
}

fn echo_numbers(icmp: &Icmpv4Slice<'_>) -> (u16, u16) {
    let [a, b, c, d] = icmp.bytes5to8();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// A captured ping for a person, octet by octet; `None` if it is none.
pub(super) fn render(packet: &[u8], names: &Names) -> Option<String> {
    let datagram = Datagram::parse(packet, names.format)?;
    let [outside, inside] = datagram.summary()?;
    let mut text = format!(
        "FRAME: one ping of this run as it crossed the underlay, {} octets\n  As tcpdump says it:\n    {outside}\n    \
         {inside}\n\n  AT SIZE  FIELD             OCTETS             WHAT IT SAYS\n",
        packet.len()
    );
    let mut at = 0;
    for Layer { title, fields } in datagram.layers(names)? {
        let size: usize = fields.iter().map(|field| field.size).sum();
        let _ = writeln!(text, "{title}, {size} octets");
        for Field { size, name, value } in fields {
            let octets = hex(&packet[at..at + size]);
            let line = format!("{at:>4} {size:>4}  {name:<17} {octets:<18} {value}");
            let _ = writeln!(text, "{}", line.trim_end());
            at += size;
        }
    }
    let _ = writeln!(text, "\n{}", addresses(&datagram, names).trim_end());
    Some(text)
}

/// The first octets, and a sign that there are more.
fn hex(octets: &[u8]) -> String {
    let shown = if octets.len() > SHOWN { &octets[..SHOWN - 1] } else { octets };
    let mut text = shown.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(" ");
    if shown.len() < octets.len() {
        text.push_str(" ..");
    }
    text
}

/// Where in the packet pods' addresses are.
fn addresses(datagram: &Datagram<'_>, names: &Names) -> String {
    let mut places = Vec::new();
    for pod in &names.pods {
        for (what, octets) in [
            (pod.mac.to_string(), pod.mac.octets().as_slice()),
            (pod.address.to_string(), pod.address.octets().as_slice()),
        ] {
            let found = datagram.packet.windows(octets.len()).position(|window| window == octets);
            places.extend(found.map(|at| (at, what.clone())));
        }
    }
    places.sort_unstable();
    let (outside, inside): (Vec<_>, Vec<_>) = places.into_iter().partition(|(at, _)| *at < datagram.frame);
    let mut text = String::new();
    let head = format!("Pods' addresses outside, in octets 0 to {}: ", datagram.frame - 1);
    for (head, places) in [(head.as_str(), outside), ("Inside: ", inside)] {
        let mut words: Vec<_> = places.into_iter().map(|(at, what)| format!("{what} at {at}, ")).collect();
        match words.last_mut() {
            Some(last) => last.truncate(last.len() - 2),
            None => words.push("none".to_owned()),
        }
        wrapped(&mut text, head, &words);
    }
    text
}

#[cfg(test)]
mod tests;
