//! Frames as a pod's kernel hands them over.

use encap::checksum::Sum;
use encap::inet::{Layers, TCP, UDP};
use encap::segment::{SuperFrame, finish_checksum};
use encap::vnet::{Gso, Unfinished, VnetHeader};
use encap::{MacAddr, ether};

/// The octets of Ethernet, IPv4 and UDP headers.
pub const UDP_V4_HEADERS: usize = 14 + 20 + 8;
/// The octets of a TCP header with time stamps, as Linux sends it.
const TCP_HEADER: usize = 32;

/// The headers of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The destination MAC address.
    pub dst: MacAddr,
    /// The source MAC address.
    pub src: MacAddr,
    /// IPv6 rather than IPv4.
    pub v6: bool,
    /// TCP rather than UDP.
    pub tcp: bool,
    /// The source port, which tells flows of two hosts apart.
    pub port: u16,
}

impl Default for Flow {
    /// UDP over IPv4.
    fn default() -> Self {
        let (dst, src) = (MacAddr::new([2, 0, 0, 0, 0, 2]), MacAddr::new([2, 0, 0, 0, 0, 1]));
        Self { dst, src, v6: false, tcp: false, port: 40_000 }
    }
}

impl Flow {
    /// A frame with `payload` octets behind its headers and all checksums right.
    ///
    /// # Panics
    ///
    /// When that is more than an IP packet holds.
    #[must_use]
    pub fn frame(&self, payload: usize) -> Vec<u8> {
        let (vnet, mut frame) = self.unfinished(payload);
        if let Some(unfinished) = vnet.unfinished {
            finish_checksum(&mut frame, unfinished);
        }
        frame
    }

    /// A super-frame of `segments` segments, each of `size` octets of payload.
    ///
    /// # Panics
    ///
    /// When that is more than an IP packet holds.
    #[must_use]
    pub fn super_frame(&self, segments: usize, size: u16) -> (VnetHeader, Vec<u8>) {
        let (vnet, frame) = self.unfinished(segments * usize::from(size));
        let gso = match (self.tcp, self.v6) {
            (true, false) => Gso::TcpV4,
            (true, true) => Gso::TcpV6,
            (false, _) => Gso::Udp,
        };
        (VnetHeader { gso: Some((gso, size)), ..vnet }, frame)
    }

    /// The segments of [`Flow::super_frame`], as they cross the underlay.
    ///
    /// # Panics
    ///
    /// When it holds more than an IP packet does.
    #[must_use]
    pub fn segments(&self, segments: usize, size: u16) -> Vec<Vec<u8>> {
        let (vnet, frame) = self.super_frame(segments, size);
        let whole = SuperFrame::new(&frame, &vnet).expect("a super-frame made here can be cut");
        (0..whole.segments()).map(|index| whole.segment(index)).collect()
    }

    fn unfinished(&self, payload: usize) -> (VnetHeader, Vec<u8>) {
        let (protocol, l4_header, offset) = if self.tcp { (TCP, TCP_HEADER, 16) } else { (UDP, 8, 6) };
        let length = u16::try_from(l4_header + payload).expect("no more than an IP packet holds");
        let mut frame = [self.dst.octets(), self.src.octets()].concat();
        self.add_ip(&mut frame, protocol, length);
        let l4 = frame.len();
        self.add_transport(&mut frame, length);
        let header_len = frame.len();
        frame.extend((0..payload).map(|i| (i % 251) as u8));
        let addresses = Sum::of(Layers::of(&frame).address_octets(&frame));
        let pseudo = addresses.and_u16(u16::from(protocol)).and_u16(length);
        frame[l4 + offset..l4 + offset + 2].copy_from_slice(&pseudo.fold());
        let unfinished = Unfinished { start: l4 as u16, offset: offset as u16 };
        let vnet = VnetHeader {
            unfinished: Some(unfinished),
            header_len: header_len as u16,
            ..VnetHeader::default()
        };
        (vnet, frame)
    }

    fn add_ip(&self, frame: &mut Vec<u8>, protocol: u8, length: u16) {
        if self.v6 {
            frame.extend(ether::IPV6.to_be_bytes());
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 64]);
            for host in [1, 2] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
            return;
        }
        frame.extend(ether::IPV4.to_be_bytes());
        let l3 = frame.len();
        let total = length.checked_add(20).expect("no more than an IP packet holds");
        frame.extend([0x45, 0]);
        frame.extend(total.to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum = Sum::of(&frame[l3..]).complement();
        frame[l3 + 10..l3 + 12].copy_from_slice(&sum);
    }

    fn add_transport(&self, frame: &mut Vec<u8>, length: u16) {
        frame.extend(self.port.to_be_bytes());
        frame.extend(5201u16.to_be_bytes());
        if !self.tcp {
            frame.extend(length.to_be_bytes());
            frame.extend([0, 0]);
            return;
        }
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0x10, 1, 0, 0, 0, 0, 0]);
        frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1]); // two no-operations, the time stamps
    }
}
