//! Frames and super-frames as a pod's kernel hands them over, described by what matters to a test.

use encap::checksum::Sum;
use encap::inet::{Layers, Net, TCP, UDP};
use encap::segment::SuperFrame;
use encap::vnet::{Gso, Unfinished, VnetHeader};
use encap::{MacAddr, ether};

/// The ACK flag of TCP.
pub const ACK: u8 = 0x10;
/// The PSH flag of TCP.
pub const PSH: u8 = 0x08;

/// A MAC address that ends in `last`.
#[must_use]
pub const fn mac(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

/// A TCP or UDP packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The destination.
    pub dst: MacAddr,
    /// The source.
    pub src: MacAddr,
    /// The VLAN tag, if there is one.
    pub vlan: Option<u16>,
    /// IPv6 rather than IPv4.
    pub v6: bool,
    /// UDP rather than TCP.
    pub udp: bool,
    /// The last octets of source and destination address: 10.0.0.x or fd00::x.
    pub hosts: [u8; 2],
    /// Source and destination port.
    pub ports: [u16; 2],
    /// IPv4 TOS or IPv6 traffic class.
    pub tos: u8,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 DF.
    pub dont_fragment: bool,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP flags.
    pub flags: u8,
    /// Words of TCP options, 0 to 10.
    pub options: u8,
    /// What is carried.
    pub payload: Vec<u8>,
}

impl Packet {
    /// TCP over IPv4 from MAC 1 to MAC 2, with DF.
    #[must_use]
    pub fn tcp(payload: Vec<u8>) -> Self {
        Self {
            dst: mac(2),
            src: mac(1),
            vlan: None,
            v6: false,
            udp: false,
            hosts: [1, 2],
            ports: [40_000, 80],
            tos: 0,
            id: 1,
            dont_fragment: true,
            sequence: 1,
            flags: ACK,
            options: 0,
            payload,
        }
    }

    /// UDP over IPv4 from MAC 1 to MAC 2, with DF.
    #[must_use]
    pub fn udp(payload: Vec<u8>) -> Self {
        Self { udp: true, ..Self::tcp(payload) }
    }

    /// The frame with all checksums finished.
    ///
    /// # Panics
    ///
    /// When the payload is too long for an IP packet.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        let (vnet, mut frame) = self.unfinished();
        if let Some(unfinished) = vnet.unfinished {
            encap::segment::finish_checksum(&mut frame, unfinished);
        }
        frame
    }

    /// The frame with its transport checksum left to be finished.
    ///
    /// # Panics
    ///
    /// When the payload is too long for an IP packet.
    #[must_use]
    pub fn unfinished(&self) -> (VnetHeader, Vec<u8>) {
        let mut frame = [self.dst.octets(), self.src.octets()].concat();
        if let Some(vlan) = self.vlan {
            frame.extend(ether::VLAN.to_be_bytes());
            frame.extend(vlan.to_be_bytes());
        }
        let header = if self.udp { 8 } else { 20 + usize::from(self.options) * 4 };
        let length = u16::try_from(header + self.payload.len()).expect("an IP packet");
        self.add_ip(&mut frame, length);
        let l4 = frame.len();
        self.add_transport(&mut frame, length);
        let header_len = u16::try_from(frame.len()).expect("headers are short");
        frame.extend(&self.payload);
        let (offset, protocol) = if self.udp { (6, UDP) } else { (16, TCP) };
        let addresses = Sum::of(Layers::of(&frame).address_octets(&frame));
        let pseudo = addresses.and_u16(u16::from(protocol)).and_u16(length).fold();
        frame[l4 + offset..l4 + offset + 2].copy_from_slice(&pseudo);
        let unfinished = Unfinished { start: header_len - header as u16, offset: offset as u16 };
        (VnetHeader { unfinished: Some(unfinished), header_len, ..VnetHeader::default() }, frame)
    }

    /// The super-frame with `size` octets of payload in each segment.
    ///
    /// # Panics
    ///
    /// When the payload is too long for an IP packet.
    #[must_use]
    pub fn super_frame(&self, size: u16) -> (VnetHeader, Vec<u8>) {
        let (vnet, frame) = self.unfinished();
        let gso = match (self.udp, self.v6) {
            (true, _) => Gso::Udp,
            (_, true) => Gso::TcpV6,
            _ => Gso::TcpV4,
        };
        (VnetHeader { gso: Some((gso, size)), ..vnet }, frame)
    }

    fn add_ip(&self, frame: &mut Vec<u8>, length: u16) {
        let protocol = if self.udp { UDP } else { TCP };
        let [from, to] = self.hosts;
        if self.v6 {
            frame.extend(ether::IPV6.to_be_bytes());
            frame.extend([0x60 | self.tos >> 4, self.tos << 4, 0, 7]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 64]);
            for host in [from, to] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
            return;
        }
        frame.extend(ether::IPV4.to_be_bytes());
        let l3 = frame.len();
        frame.extend([0x45, self.tos]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend([if self.dont_fragment { 0x40 } else { 0 }, 0, 64, protocol, 0, 0]);
        frame.extend([10, 0, 0, from, 10, 0, 0, to]);
        let sum = Sum::of(&frame[l3..]).complement();
        frame[l3 + 10..l3 + 12].copy_from_slice(&sum);
    }

    fn add_transport(&self, frame: &mut Vec<u8>, length: u16) {
        self.ports.iter().for_each(|port| frame.extend(port.to_be_bytes()));
        if self.udp {
            frame.extend(length.to_be_bytes());
            frame.extend([0, 0]);
            return;
        }
        frame.extend(self.sequence.to_be_bytes());
        frame.extend([0, 0, 0, 9, (5 + self.options) << 4, self.flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(std::iter::repeat_n(1, usize::from(self.options) * 4));
    }
}

/// The wire frames that a frame with this header stands for.
///
/// # Panics
///
/// When the header asks for something that the frame does not have.
#[must_use]
pub fn wire_frames(vnet: &VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
    if vnet.gso.is_none() {
        let mut frame = frame.to_vec();
        if let Some(unfinished) = vnet.unfinished {
            encap::segment::finish_checksum(&mut frame, unfinished);
        }
        return vec![frame];
    }
    let whole = SuperFrame::new(frame, vnet).expect("a super-frame that can be cut");
    (0..whole.segments()).map(|index| whole.segment(index)).collect()
}

/// Whether the IPv4 header's and the TCP or UDP checksum of a frame are right.
///
/// # Panics
///
/// When the frame is neither TCP nor UDP.
#[must_use]
pub fn is_checksum_valid(frame: &[u8]) -> bool {
    let layers = Layers::of(frame);
    assert_ne!(layers.transport, 0, "neither TCP nor UDP");
    let l4 = &frame[layers.l4..layers.end];
    let header = layers.net == Net::V6 || Sum::of(&frame[layers.l3..layers.l4]).is_valid();
    let pseudo = Sum::of(layers.address_octets(frame)).and_u16(u16::from(layers.transport));
    header && pseudo.and_u16(u16::try_from(l4.len()).unwrap_or(0)).and(l4).is_valid()
}

/// Frames without padding, their IPv4 fragments put together again; those of a packet lie in order, as they were sent.
///
/// # Panics
///
/// When a fragment is not where the one before it ends.
#[must_use]
pub fn reassembled(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut whole: Vec<Vec<u8>> = Vec::new();
    for frame in frames {
        let Layers { net, l3, l4, end, .. } = Layers::of(frame);
        let fragment = if net == Net::V4 { u16::from_be_bytes([frame[l3 + 6], frame[l3 + 7]]) } else { 0 };
        let offset = usize::from(fragment & 0x1fff) * 8;
        if offset == 0 {
            whole.push(frame[..end].to_vec());
            continue;
        }
        let first = whole.last_mut().expect("a first fragment");
        assert_eq!(Layers::of(first).l4 + offset, first.len(), "the fragments lie one behind the other");
        first.extend(&frame[l4..end]);
        let total = u16::try_from(first.len() - l3).expect("an IP packet");
        first[l3 + 2..l3 + 4].copy_from_slice(&total.to_be_bytes());
        if fragment & 0x2000 == 0 {
            first[l3 + 6] = 0;
        }
        first[l3 + 10..l3 + 12].fill(0);
        let header = l3..Layers::of(first).l4;
        let sum = Sum::of(&first[header]).complement();
        first[l3 + 10..l3 + 12].copy_from_slice(&sum);
    }
    whole
}
