//! Numbers and addresses as octets: what membership and replication write alike.

use std::net::IpAddr;

/// The octets that [`put_varint`] takes for `n`.
pub(crate) const fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number, seven bits an octet, the lowest first; all but the last octet have the top bit.
#[allow(clippy::cast_possible_truncation)] // masked
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends 4 or 6, then the address.
pub(crate) fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
}
