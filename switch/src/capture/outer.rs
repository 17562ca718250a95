//! The headers before a tunnel header: a UDP socket neither writes nor sees them, so they are made up for captures.
//!
//! Addresses, ports, TOS and lengths are those of the datagram; MAC addresses, the time to live and the IPv4 identification
//! are not known. The UDP checksum is left out for IPv4 (RFC 768), as it may be for tunnels over IPv6 (RFC 6935).

use std::net::SocketAddr;

use encap::checksum::Sum;

/// The most octets of made-up headers: Ethernet, IPv6, UDP.
pub const MAX_LEN: usize = 14 + 40 + 8;

/// Adds Ethernet, IP and UDP headers for a payload of so many octets.
///
/// # Examples
///
/// ```
/// let mut out = Vec::new();
/// weft::capture::outer::write(("10.0.0.1:4789".parse()?, "10.0.0.2:4789".parse()?), 0, 100, &mut out);
/// assert_eq!(out.len(), 14 + 20 + 8);
/// assert_eq!(out[16..18], (20u16 + 8 + 100).to_be_bytes()); // total length
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn write((from, to): (SocketAddr, SocketAddr), tos: u8, payload: usize, out: &mut Vec<u8>) {
    // Made up, of the range that belongs to nobody: "weft" and who sends.
    out.extend_from_slice(&[0x02, b'w', b'e', b'f', b't', 1]);
    out.extend_from_slice(&[0x02, b'w', b'e', b'f', b't', 0]);
    let udp = u16::try_from(payload + 8).unwrap_or(u16::MAX);
    match (from, to) {
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
        }
        _ => {
            out.extend_from_slice(&[0x86, 0xdd]);
            out.extend_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0]);
            out.extend_from_slice(&udp.to_be_bytes());
            out.extend_from_slice(&[17, 64]);
            for address in [from, to] {
                let v6 = match address.ip() {
                    std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    std::net::IpAddr::V6(v6) => v6,
                };
                out.extend_from_slice(&v6.octets());
            }
        }
    }
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&udp.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests;
