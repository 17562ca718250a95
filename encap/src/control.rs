//! What carries control on the data ports, where it takes the very way of the frames: probes of a path, and the like.
//!
//! ```text
//!  VXLAN port    | 0 | 'w' 'f' 't' | length 16 | 0 0 | the sealed part, `length` octets | padding, any octets |
//!  Geneve port   | Geneve header: O flag, protocol 0x88b5, VNI 0 | then as above                              |
//! ```
//!
//! A VTEP that is not weft drops both, the first for its missing I flag ([RFC 7348 §5]), the second as a control packet of
//! a protocol that it does not know ([RFC 8926 §3.4]). Only members say or hear any of it, and what is inside is sealed:
//! nothing here says who sent it. The padding makes a datagram as long as a path is to be tried with; it is not sealed.
//!
//! [RFC 7348 §5]: https://www.rfc-editor.org/rfc/rfc7348#section-5
//! [RFC 8926 §3.4]: https://www.rfc-editor.org/rfc/rfc8926#section-3.4

use crate::tunnel::{self, IpVersion};
use crate::types::{Format, Mtu};

/// The octets before the sealed part on the VXLAN port.
pub const VXLAN_HEAD_LEN: usize = 8;
/// The octets before the sealed part on the Geneve port.
pub const GENEVE_HEAD_LEN: usize = tunnel::HEADER_LEN + VXLAN_HEAD_LEN;

/// No VXLAN flags, and who speaks here.
const MARK: [u8; 4] = [0, b'w', b'f', b't'];
/// Version 0, no options, the O flag, EtherType for local experiments (IEEE 802, 9.2.3), VNI 0.
const GENEVE: [u8; tunnel::HEADER_LEN] = [0, 0x80, 0x88, 0xb5, 0, 0, 0, 0];

/// The octets before the sealed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    octets: [u8; GENEVE_HEAD_LEN],
    start: usize,
}

impl Head {
    /// The octets of the head: [`head_len`] of them.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[self.start..]
    }
}

/// The octets before the sealed part on the port of this format.
#[must_use]
pub const fn head_len(format: Format) -> usize {
    match format {
        Format::Vxlan => VXLAN_HEAD_LEN,
        Format::Geneve => GENEVE_HEAD_LEN,
    }
}

/// The head of a datagram to the port of `format`, with `sealed` octets of sealed part behind it.
///
/// # Examples
///
/// ```
/// use encap::{DecodeError, Format, control, geneve, vxlan};
///
/// let [vxlan, geneve] = [Format::Vxlan, Format::Geneve]
///     .map(|format| [control::write_head(format, 6).octets(), b"sealed", &[0; 100]].concat());
/// assert_eq!(control::open(Format::Vxlan, &vxlan), Some(&b"sealed"[..]));
/// assert_eq!(control::open(Format::Geneve, &geneve), Some(&b"sealed"[..]));
/// assert_eq!(control::open(Format::Geneve, &vxlan), None);
///
/// // Nobody takes them for frames.
/// assert_eq!(vxlan::decode(&vxlan, false), Err(DecodeError::VxlanNoVni { flags: 0 }));
/// assert_eq!(geneve::decode(&geneve), Err(DecodeError::GeneveControl));
/// ```
#[must_use]
pub fn write_head(format: Format, sealed: u16) -> Head {
    let mut octets = [0; GENEVE_HEAD_LEN];
    let (geneve, ours) = octets.split_at_mut(GENEVE.len());
    geneve.copy_from_slice(&GENEVE);
    ours[..4].copy_from_slice(&MARK);
    ours[4..6].copy_from_slice(&sealed.to_be_bytes());
    Head { octets, start: GENEVE_HEAD_LEN - head_len(format) }
}

/// The sealed part of a datagram that came to the port of `format`; `None` when it is not ours: every octet of the head
/// is compared, and the sealed part must be whole.
///
/// # Cost
///
/// Two comparisons; no copy, no panic for any input.
#[must_use]
#[inline]
pub fn open(format: Format, datagram: &[u8]) -> Option<&[u8]> {
    let ours = match format {
        Format::Vxlan => datagram,
        Format::Geneve => datagram.strip_prefix(&GENEVE)?,
    };
    match ours.strip_prefix(&MARK)? {
        [high, low, 0, 0, rest @ ..] => rest.get(..usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

/// Whether the first octets of a datagram are those of control, on either port.
#[must_use]
pub fn is_head(octets: &[u8]) -> bool {
    octets.starts_with(&MARK) || octets.starts_with(&GENEVE)
}

/// The octets of padding with which the outer IP packet has exactly `packet` octets; `None` when it has more without any.
///
/// # Examples
///
/// ```
/// use encap::tunnel::IpVersion;
/// use encap::{Format, Mtu, control};
///
/// let padding = |packet| control::padding(Format::Geneve, 64, IpVersion::V6, packet);
/// assert_eq!(padding(Mtu::new(1400)?), Some(1400 - 40 - 8 - 16 - 64));
/// assert_eq!(padding(Mtu::new(127)?), None);
/// # Ok::<(), encap::types::MtuError>(())
/// ```
#[must_use]
pub const fn padding(format: Format, sealed: u16, outer: IpVersion, packet: Mtu) -> Option<usize> {
    tunnel::datagram_len(packet, outer).checked_sub(head_len(format) + sealed as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tunnel::DecodeError;
    use crate::{geneve, vxlan};

    const FORMATS: [Format; 2] = [Format::Vxlan, Format::Geneve];

    fn datagram(format: Format, sealed: &[u8], padding: usize) -> Vec<u8> {
        let len = u16::try_from(sealed.len()).unwrap();
        [write_head(format, len).octets(), sealed, &vec![0x5a; padding]].concat()
    }

    #[test]
    fn the_octets_are_those_of_the_wire_rules() {
        let ours = [0, b'w', b'f', b't', 1, 2, 0, 0];
        assert_eq!(write_head(Format::Vxlan, 0x0102).octets(), ours);
        let geneve = [[0, 0x80, 0x88, 0xb5, 0, 0, 0, 0], ours].concat();
        assert_eq!(write_head(Format::Geneve, 0x0102).octets(), geneve);
        for format in FORMATS {
            assert_eq!(write_head(format, 7).octets().len(), head_len(format));
        }
    }

    #[test]
    fn a_foreign_vtep_drops_both() {
        for padding in [0, 14, 1000] {
            let vxlan = datagram(Format::Vxlan, &[9; 40], padding);
            for strict in [false, true] {
                assert_eq!(vxlan::decode(&vxlan, strict), Err(DecodeError::VxlanNoVni { flags: 0 }));
            }
            let geneve = datagram(Format::Geneve, &[9; 40], padding);
            assert_eq!(geneve::decode(&geneve), Err(DecodeError::GeneveControl));
        }
    }

    #[test]
    fn a_head_with_any_other_bit_is_not_ours() {
        for format in FORMATS {
            let right = datagram(format, b"sealed", 0);
            let length = head_len(format) - 4..head_len(format) - 2;
            for at in (0..head_len(format)).filter(|at| !length.contains(at)) {
                for bit in 0..8 {
                    let mut other = right.clone();
                    other[at] ^= 1 << bit;
                    assert_eq!(open(format, &other), None, "{format}: bit {bit} of octet {at}");
                }
            }
        }
    }

    #[test]
    fn a_sealed_part_that_is_not_whole_is_not_ours() {
        for format in FORMATS {
            let whole = datagram(format, b"sealed", 0);
            for len in 0..whole.len() {
                assert_eq!(open(format, &whole[..len]), None);
            }
            assert_eq!(open(format, &datagram(format, b"", 0)), Some(&b""[..]));
        }
    }

    #[test]
    fn with_its_padding_a_datagram_is_as_long_as_the_path_is_tried_with() {
        for format in FORMATS {
            for outer in [IpVersion::V4, IpVersion::V6] {
                for packet in 68..=9216 {
                    let padding = padding(format, 48, outer, Mtu::new(packet).unwrap());
                    let without = outer.header_len() + tunnel::UDP_HEADER_LEN + head_len(format) + 48;
                    assert_eq!(padding, (packet as usize).checked_sub(without));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_comes_out_whatever_is_behind_it(sealed: Vec<u8>, padding in 0usize..2000) {
            for format in FORMATS {
                let datagram = datagram(format, &sealed, padding);
                prop_assert_eq!(open(format, &datagram), Some(&sealed[..]));
            }
        }

        #[test]
        fn no_frame_is_taken_for_control(octets: Vec<u8>, header: [u8; 8], plausible: bool) {
            for format in FORMATS {
                let head = if plausible { write_head(format, 9).octets().to_vec() } else { header.to_vec() };
                let datagram = [&head[..], &octets].concat();
                if tunnel::decode(format, &datagram, false).is_ok() {
                    prop_assert_eq!(open(format, &datagram), None);
                }
            }
        }
    }
}
