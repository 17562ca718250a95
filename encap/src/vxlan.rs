//! The VXLAN header ([RFC 7348 §5](https://www.rfc-editor.org/rfc/rfc7348#section-5)).
//!
//! ```text
//!  octet 0            1      2      3      4      5      6      7
//!  | R R R R I R R R | reserved, 24 bits  | VNI, 24 bits       | reserved |
//! ```

use crate::ether;
use crate::tunnel::{DecodeError, HEADER_LEN};
use crate::types::Vni;

/// The UDP port that IANA gave to VXLAN.
pub const PORT: u16 = 4789;

/// The I flag: the VNI is valid.
const FLAG_VNI: u8 = 0x08;
/// Every bit of the header that is neither the I flag nor part of the VNI.
const RESERVED: u64 = !0x0800_0000_ffff_ff00;

/// Reads the header of one VXLAN datagram: its network, and where in `datagram` the inner frame starts.
///
/// `datagram` is a UDP payload; the frame is the rest of it, starts at the inner destination MAC and is at least 14
/// octets long. With `strict`, any reserved bit that is set is an error, as for the Linux kernel; else reserved bits
/// are ignored, as RFC 7348 §5 asks. Whether this host serves the network is not decided here.
///
/// # Errors
///
/// Every variant is also a drop counter.
///
/// - [`DecodeError::Truncated`]: fewer than 8 octets.
/// - [`DecodeError::VxlanNoVni`]: the I flag is clear.
/// - [`DecodeError::VxlanReserved`]: `strict`, and a reserved bit is set.
/// - [`DecodeError::Runt`]: fewer than 14 octets of frame.
///
/// # Cost
///
/// Constant time; no copy, no allocation, no panic for any input.
///
/// # Examples
///
/// ```
/// use encap::{DecodeError, Vni, vxlan};
///
/// let mut datagram = [0; 22];
/// datagram[..8].copy_from_slice(&vxlan::encode(Vni::new(42)?));
/// assert_eq!(vxlan::decode(&datagram, true), Ok((Vni::new(42)?, 8)));
///
/// datagram[0] = 0;
/// assert_eq!(vxlan::decode(&datagram, true), Err(DecodeError::VxlanNoVni { flags: 0 }));
/// # Ok::<(), encap::types::VniError>(())
/// ```
#[inline]
pub const fn decode(datagram: &[u8], strict: bool) -> Result<(Vni, usize), DecodeError> {
    let Some(header) = datagram.first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::Truncated { len: datagram.len() });
    };
    let [flags, _, _, _, vni @ .., _] = *header;
    if flags & FLAG_VNI == 0 {
        return Err(DecodeError::VxlanNoVni { flags });
    }
    if strict && u64::from_be_bytes(*header) & RESERVED != 0 {
        return Err(DecodeError::VxlanReserved { header: *header });
    }
    let len = datagram.len() - HEADER_LEN;
    if len < ether::HEADER_LEN {
        return Err(DecodeError::Runt { len });
    }
    Ok((Vni::from_octets(vni), HEADER_LEN))
}

/// The header to put in front of a frame of network `vni`: the I flag and the VNI, all else zero.
#[inline]
#[must_use]
pub const fn encode(vni: Vni) -> [u8; HEADER_LEN] {
    let [a, b, c] = vni.octets();
    [FLAG_VNI, 0, 0, 0, a, b, c, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    const VNI: Vni = Vni::from_octets([0xab, 0xcd, 0xef]);

    fn datagram(header: [u8; 8]) -> Vec<u8> {
        [header.as_slice(), &[0; 14]].concat()
    }

    #[test]
    fn encode_sets_the_i_flag_and_leaves_reserved_bits_zero() {
        assert_eq!(encode(VNI), [0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
    }

    #[test]
    fn under_8_octets_is_truncated() {
        let datagram = datagram(encode(VNI));
        for len in 0..8 {
            assert_eq!(decode(&datagram[..len], false), Err(DecodeError::Truncated { len }));
        }
    }

    #[test]
    fn a_clear_i_flag_is_an_error_whatever_the_other_bits_say() {
        let datagram = datagram([0xf7, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(decode(&datagram, false), Err(DecodeError::VxlanNoVni { flags: 0xf7 }));
        assert_eq!(decode(&datagram, true), Err(DecodeError::VxlanNoVni { flags: 0xf7 }));
    }

    #[test]
    fn each_reserved_bit_is_ignored_unless_strict() {
        for bit in 0..64 {
            let header = (u64::from_be_bytes(encode(Vni::from_octets([0; 3]))) | 1 << bit).to_be_bytes();
            let vni = Vni::from_octets([header[4], header[5], header[6]]);
            let reserved = bit < 8 || (32..64).contains(&bit) && bit != 59;
            let strict = if reserved { Err(DecodeError::VxlanReserved { header }) } else { Ok((vni, 8)) };
            assert_eq!(decode(&datagram(header), false), Ok((vni, 8)), "bit {bit}");
            assert_eq!(decode(&datagram(header), true), strict, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_under_14_octets_is_a_runt() {
        let datagram = datagram(encode(VNI));
        for len in 0..14 {
            assert_eq!(decode(&datagram[..8 + len], true), Err(DecodeError::Runt { len }));
        }
        assert_eq!(decode(&datagram, true), Ok((VNI, 8)));
    }
}
