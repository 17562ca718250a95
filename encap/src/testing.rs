//! Frames for the tests of this crate.

use crate::checksum::Sum;
use crate::inet::{Layers, Net, TCP, UDP};

pub(crate) const SOURCE: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const DESTINATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// IPv4: don't fragment.
pub(crate) const DF: u16 = 0x4000;
/// IPv4: more fragments follow.
pub(crate) const MF: u16 = 0x2000;

/// One IP packet in a frame from [`SOURCE`] to [`DESTINATION`], as a test describes it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) v6: bool,
    /// VLAN tags, at most two.
    pub(crate) tags: usize,
    /// IPv4: flags and offset in eights.
    pub(crate) fragment: u16,
    /// IPv4 options, a multiple of 4 octets.
    pub(crate) ip_options: Vec<u8>,
    pub(crate) protocol: u8,
    /// All behind the IP header; checksums of TCP and UDP are made.
    pub(crate) data: Vec<u8>,
}

impl Packet {
    /// UDP with so many octets of payload, DF set.
    pub(crate) fn udp(payload: usize) -> Self {
        let length = u16::try_from(8 + payload).unwrap().to_be_bytes();
        let data = [&[0x30, 0x39, 0, 53], &length[..], &[0, 0], &pattern(payload)].concat();
        Self { v6: false, tags: 0, fragment: DF, ip_options: vec![], protocol: UDP, data }
    }

    /// TCP with these flags and options, a multiple of 4 octets, and so many octets of payload; DF set.
    pub(crate) fn tcp(flags: u8, options: &[u8], payload: usize) -> Self {
        let offset = u8::try_from(20 + options.len()).unwrap() << 2;
        let fixed = [0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, offset, flags, 5, 6, 0, 0, 0, 0];
        let data = [&fixed[..], options, &pattern(payload)].concat();
        Self { protocol: TCP, data, ..Self::udp(0) }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut frame = [DESTINATION, SOURCE].concat();
        frame.extend([0x81, 0, 0xa0, 5, 0x81, 0, 0, 6][..4 * self.tags].iter());
        let l3 = frame.len() + 2;
        let (options, data) = (self.ip_options.len(), self.data.len());
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 1]);
            frame.extend(u16::try_from(data).unwrap().to_be_bytes());
            frame.extend([self.protocol, 64]);
            for host in [1, 2] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
        } else {
            frame.extend([8, 0, 0x45 + u8::try_from(options / 4).unwrap(), 0]);
            frame.extend(u16::try_from(20 + options + data).unwrap().to_be_bytes());
            frame.extend([0x12, 0x34]);
            frame.extend(self.fragment.to_be_bytes());
            frame.extend([64, self.protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            frame.extend(&self.ip_options);
            let sum = Sum::of(&frame[l3..]).complement();
            frame[l3 + 10..l3 + 12].copy_from_slice(&sum);
        }
        frame.extend(&self.data);
        finish(&mut frame);
        frame
    }
}

/// Octets of which no two stretches are alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at % 251) ^ (at / 251)) as u8).collect()
}

/// Writes the right TCP or UDP checksum, if the frame has one.
pub(crate) fn finish(frame: &mut [u8]) {
    let layers = Layers::of(frame);
    let field = layers.l4 + if layers.transport == TCP { 16 } else { 6 };
    if layers.transport != 0 {
        frame[field..field + 2].fill(0);
        let sum = transport_sum(frame, &layers).complement();
        frame[field..field + 2].copy_from_slice(&sum);
    }
}

/// Writes what a kernel leaves in the field of TCP for a NIC to finish.
pub(crate) fn leave_unfinished(frame: &mut [u8]) {
    let layers = Layers::of(frame);
    let sum = pseudo_sum(frame, &layers).fold();
    frame[layers.l4 + 16..layers.l4 + 18].copy_from_slice(&sum);
}

/// Whether the checksums of IPv4, TCP and UDP are right.
pub(crate) fn is_valid(frame: &[u8]) -> bool {
    let layers = Layers::of(frame);
    let ip = layers.net != Net::V4 || Sum::of(&frame[layers.l3..layers.l4]).is_valid();
    ip && (layers.transport == 0 || transport_sum(frame, &layers).is_valid())
}

fn pseudo_sum(frame: &[u8], layers: &Layers) -> Sum {
    let length = u16::try_from(layers.end - layers.l4).unwrap();
    Sum::of(layers.address_octets(frame)).and_u16(u16::from(layers.transport)).and_u16(length)
}

fn transport_sum(frame: &[u8], layers: &Layers) -> Sum {
    pseudo_sum(frame, layers).and(&frame[layers.l4..layers.end])
}
