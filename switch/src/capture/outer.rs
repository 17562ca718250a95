//! The headers before a tunnel header: a UDP socket neither writes nor sees them, so they are made up for captures.
//!
//! Addresses, ports, TOS and lengths are those of the datagram; MAC addresses, the time to live and the IPv4 identification
//! are not known. The UDP checksum is left out for IPv4 (RFC 768). Over IPv6 it may be left out by tunnels only (RFC 6935), and
//! Wireshark takes 0 for an error: there it is the right one, or 0xffff where octets are missing.

use std::net::SocketAddr;

use encap::checksum::Sum;

/// The most octets of made-up headers: Ethernet, IPv6, UDP.
pub const MAX_LEN: usize = 14 + 40 + 8;

/// Adds Ethernet, IP and UDP headers for a payload of so many octets, of which these pieces are at hand.
///
/// # Cost
///
/// Over IPv6 the pieces are summed up.
///
/// # Examples
///
/// ```
/// use weft::capture::outer;
///
/// let (mut out, payload) = (Vec::new(), [7; 100]);
/// let ends = ("10.0.0.1:4789".parse()?, "10.0.0.2:4789".parse()?);
/// outer::write(ends, 0, ([&payload[..]], payload.len()), &mut out);
/// assert_eq!(out.len(), 14 + 20 + 8);
/// assert_eq!(out[16..18], (20u16 + 8 + 100).to_be_bytes()); // total length
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn write<'a>(
    (from, to): (SocketAddr, SocketAddr),
    tos: u8,
    (pieces, payload): (impl IntoIterator<Item = &'a [u8]>, usize),
    out: &mut Vec<u8>,
) {
    // Made up, of the range that belongs to nobody: "weft" and who sends.
    out.extend_from_slice(&[0x02, b'w', b'e', b'f', b't', 1]);
    out.extend_from_slice(&[0x02, b'w', b'e', b'f', b't', 0]);
    let udp = u16::try_from(payload + 8).unwrap_or(u16::MAX);
    let addresses = match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            out.extend_from_slice(&[0x08, 0x00]);
            let start = out.len();
            out.extend_from_slice(&[0x45, tos]);
            out.extend_from_slice(&udp.saturating_add(20).to_be_bytes());
            // Identification 0, DF, 64 hops, UDP, and the checksum below.
            out.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
            out.extend_from_slice(&from.ip().octets());
            out.extend_from_slice(&to.ip().octets());
            let sum = Sum::of(&out[start..]).complement();
            out[start + 10..start + 12].copy_from_slice(&sum);
            None
        }
        _ => {
            out.extend_from_slice(&[0x86, 0xdd]);
            out.extend_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0]);
            out.extend_from_slice(&udp.to_be_bytes());
            out.extend_from_slice(&[17, 64]);
            let start = out.len();
            for address in [from, to] {
                let v6 = match address.ip() {
                    std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    std::net::IpAddr::V6(v6) => v6,
                };
                out.extend_from_slice(&v6.octets());
            }
            Some(start)
        }
    };
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&udp.to_be_bytes());
    // The pseudo-header has length and protocol once more (RFC 8200, section 8.1).
    let headers = addresses.map(|start| Sum::of(&out[start..]).and_u16(udp).and_u16(17));
    out.extend_from_slice(&headers.map_or([0, 0], |headers| checksum(headers, pieces, payload)));
}

/// The UDP checksum of so many octets in pieces; 0xffff, which may be right, where some are missing.
fn checksum<'a>(mut sum: Sum, pieces: impl IntoIterator<Item = &'a [u8]>, len: usize) -> [u8; 2] {
    let mut done = 0;
    for piece in pieces {
        let [first, second] = Sum::of(piece).fold();
        // Behind an odd number of octets each is the other half of a word.
        let word = if done % 2 == 0 { [first, second] } else { [second, first] };
        sum = sum.and(&word);
        done += piece.len();
    }
    match sum.complement() {
        // 0 would say that there is none.
        [0, 0] => [0xff; 2],
        right if done == len => right,
        _ => [0xff; 2],
    }
}

#[cfg(test)]
mod tests;
