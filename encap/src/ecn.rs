//! Congestion marks across a tunnel: [RFC 6040](https://www.rfc-editor.org/rfc/rfc6040), normal mode.
//!
//! The field is the low two bits of the IPv4 TOS or IPv6 traffic class octet, called TOS here for both; the high six
//! are the DSCP. Outbound the inner field is copied out ([`encapsulate`]); inbound a mark that the underlay made is
//! moved in ([`apply`]). A frame that is not IP has no field: it leaves with TOS 0 and arrives as it is.

use crate::checksum;

/// The explicit congestion notification field ([RFC 3168 §5](https://www.rfc-editor.org/rfc/rfc3168#section-5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// 00: the transport does not react to marks; congestion must be shown by loss.
    NotEct = 0b00,
    /// 01: the transport reacts to marks, ECT(1).
    Ect1 = 0b01,
    /// 10: the transport reacts to marks, ECT(0).
    Ect0 = 0b10,
    /// 11: congestion was experienced.
    Ce = 0b11,
}

impl Ecn {
    /// The field of a TOS octet; the DSCP is ignored.
    #[inline]
    #[must_use]
    pub const fn from_tos(tos: u8) -> Self {
        match tos & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// `tos` with this field; the DSCP stays.
    #[inline]
    #[must_use]
    pub const fn in_tos(self, tos: u8) -> u8 {
        tos & !0b11 | self as u8
    }
}

/// What the end of a tunnel does with a packet (RFC 6040, figure 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Deliver it as it is.
    Keep,
    /// Deliver it with this field.
    Set(Ecn),
    /// Drop it: the underlay signals congestion, and loss is the only signal that its transport knows.
    Drop,
}

/// The underlay marked congestion on a packet whose transport does not react to marks, so it must be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the underlay marked congestion on an inner packet that is not ECN-capable, so it counts as lost (RFC 6040)"
)]
pub struct CongestionLost;

/// The TOS of the outer packet for an inner packet with `inner_tos` ([RFC 6040 §4.1], normal mode).
///
/// The ECN field is copied; the DSCP is copied with `dscp_inherit`, else 0.
///
/// # Examples
///
/// ```
/// use encap::ecn;
///
/// assert_eq!(ecn::encapsulate(0xb8 | 0b10, false), 0b10);
/// assert_eq!(ecn::encapsulate(0xb8 | 0b10, true), 0xb8 | 0b10);
/// ```
///
/// [RFC 6040 §4.1]: https://www.rfc-editor.org/rfc/rfc6040#section-4.1
#[inline]
#[must_use]
pub const fn encapsulate(inner_tos: u8, dscp_inherit: bool) -> u8 {
    if dscp_inherit { inner_tos } else { inner_tos & 0b11 }
}

/// What becomes of a packet with field `inner` that came in one with field `outer` ([RFC 6040 §4.2], figure 4).
///
/// | inner \ outer | Not-ECT | ECT(0) | ECT(1) | CE |
/// |---|---|---|---|---|
/// | Not-ECT | keep | keep | keep | drop |
/// | ECT(0) | keep | keep | ECT(1) | CE |
/// | ECT(1) | keep | keep | keep | CE |
/// | CE | keep | keep | keep | keep |
///
/// [RFC 6040 §4.2]: https://www.rfc-editor.org/rfc/rfc6040#section-4.2
#[inline]
#[must_use]
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Outcome {
    match (outer, inner) {
        (Ecn::Ce, Ecn::NotEct) => Outcome::Drop,
        (Ecn::Ce, Ecn::Ect0 | Ecn::Ect1) => Outcome::Set(Ecn::Ce),
        (Ecn::Ect1, Ecn::Ect0) => Outcome::Set(Ecn::Ect1),
        _ => Outcome::Keep,
    }
}

/// Moves the mark of the outer packet into `frame`, whose network header starts at `l3`.
///
/// The caller has seen in the EtherType that this is IPv4 or IPv6. A header that is neither, or not whole, is left
/// alone. The IPv4 header checksum is updated, not recomputed: one that was wrong stays wrong. True when `frame`
/// was changed.
///
/// # Errors
///
/// [`CongestionLost`]: the frame must be dropped; it was not changed.
///
/// # Cost
///
/// Nothing but one comparison unless `outer` is CE or ECT(1).
///
/// # Examples
///
/// ```
/// use encap::ecn::{self, CongestionLost, Ecn};
///
/// let mut packet = [0; 40];
/// packet[..2].copy_from_slice(&[0x60, 0x20]); // IPv6, ECT(0)
/// assert_eq!(ecn::apply(&mut packet, 0, Ecn::Ce), Ok(true));
/// assert_eq!(ecn::tos(&packet, 0), Some(0b11));
///
/// packet[1] = 0; // not ECN-capable
/// assert_eq!(ecn::apply(&mut packet, 0, Ecn::Ce), Err(CongestionLost));
/// ```
#[inline]
pub fn apply(frame: &mut [u8], l3: usize, outer: Ecn) -> Result<bool, CongestionLost> {
    if matches!(outer, Ecn::NotEct | Ecn::Ect0) {
        return Ok(false);
    }
    let Some(tos) = tos(frame, l3) else { return Ok(false) };
    match decapsulate(Ecn::from_tos(tos), outer) {
        Outcome::Keep => Ok(false),
        Outcome::Set(ecn) => Ok(set(frame, l3, ecn)),
        Outcome::Drop => Err(CongestionLost),
    }
}

/// The TOS of the IPv4 or IPv6 header at `l3`; `None` when there is no whole one (20 or 40 octets).
#[inline]
#[must_use]
pub fn tos(frame: &[u8], l3: usize) -> Option<u8> {
    let packet = frame.get(l3..)?;
    match packet {
        [first, tos, ..] if first >> 4 == 4 && packet.len() >= IPV4_HEADER_LEN => Some(*tos),
        [first, second, ..] if first >> 4 == 6 && packet.len() >= IPV6_HEADER_LEN => {
            Some(first << 4 | second >> 4)
        }
        _ => None,
    }
}

/// Writes the field into the IPv4 or IPv6 header at `l3` and keeps the DSCP; false when there is no whole header.
pub fn set(frame: &mut [u8], l3: usize, ecn: Ecn) -> bool {
    let Some(old) = tos(frame, l3) else { return false };
    let new = ecn.in_tos(old);
    match frame.get_mut(l3..) {
        Some([first, second, ..]) if *first >> 4 == 6 => *second = *second & 0x0f | new << 4,
        Some([first, second, _, _, _, _, _, _, _, _, high, low, ..]) => {
            *second = new;
            let checksum = u16::from_be_bytes([*high, *low]);
            let word = |tos| u16::from_be_bytes([*first, tos]);
            [*high, *low] = checksum::updated(checksum, word(old), word(new)).to_be_bytes();
        }
        _ => return false,
    }
    true
}

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Ecn; 4] = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce];

    /// The one's complement sum of a whole header; 0xffff when its checksum is right.
    fn sum(header: &[u8]) -> u16 {
        let sum: u32 = header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
    }

    /// An IPv4 header of these octets with the right checksum, behind `l3` octets of something else.
    fn ipv4(l3: usize, mut header: [u8; 20], tos: u8) -> Vec<u8> {
        header[..2].copy_from_slice(&[0x45, tos]);
        header[10..12].fill(0);
        let checksum = !sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        [vec![0xee; l3].as_slice(), &header].concat()
    }

    fn ipv6(l3: usize, tos: u8, flow: u8) -> Vec<u8> {
        [vec![0xee; l3].as_slice(), &[0x60 | tos >> 4, tos << 4 | flow & 0x0f], &[0x77; 38]].concat()
    }

    #[test]
    fn encapsulation_copies_the_field_and_the_dscp_only_if_told() {
        for tos in 0..=u8::MAX {
            assert_eq!(encapsulate(tos, true), tos);
            assert_eq!(encapsulate(tos, false), tos & 3);
        }
    }

    #[test]
    fn decapsulation_is_figure_4_of_rfc_6040() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        use Outcome::{Drop, Keep, Set};
        let figure = [
            (NotEct, [Keep, Keep, Keep, Drop]),
            (Ect0, [Keep, Keep, Set(Ect1), Set(Ce)]),
            (Ect1, [Keep, Keep, Keep, Set(Ce)]),
            (Ce, [Keep, Keep, Keep, Keep]),
        ];
        for (inner, row) in figure {
            assert_eq!(ALL.map(|outer| decapsulate(inner, outer)), row, "inner {inner:?}");
        }
    }

    #[test]
    fn a_frame_that_is_dropped_or_kept_is_not_changed() {
        for (tos, outer, result) in [
            (0b00, Ecn::Ce, Err(CongestionLost)),
            (0b00, Ecn::Ect1, Ok(false)),
            (0b10, Ecn::Ect0, Ok(false)),
            (0b11, Ecn::Ce, Ok(false)),
        ] {
            for mut frame in [ipv4(14, [7; 20], tos), ipv6(14, tos, 5)] {
                let before = frame.clone();
                assert_eq!(apply(&mut frame, 14, outer), result);
                assert_eq!(frame, before);
            }
        }
    }

    #[test]
    fn a_header_that_is_not_whole_or_not_ip_is_left_alone() {
        let arp = [[0, 1, 8, 0, 6, 4].as_slice(), &[0; 40]].concat();
        for mut packet in [ipv4(0, [7; 20], 2)[..19].to_vec(), ipv6(0, 2, 0)[..39].to_vec(), arp, vec![]] {
            let before = packet.clone();
            assert_eq!(tos(&packet, 0), None);
            assert_eq!(apply(&mut packet, 0, Ecn::Ce), Ok(false));
            assert_eq!(apply(&mut packet, 1000, Ecn::Ce), Ok(false));
            assert!(!set(&mut packet, 0, Ecn::Ce));
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong() {
        let mut packet = ipv4(0, [7; 20], 2);
        packet[10] ^= 0x40;
        assert_eq!(apply(&mut packet, 0, Ecn::Ce), Ok(true));
        assert_ne!(sum(&packet), 0xffff);
    }

    proptest! {
        #[test]
        fn a_field_that_is_set_changes_nothing_else_and_the_checksum_stays_right(
            header: [u8; 20], old: u8, l3 in 0_usize..30, new in 0_usize..4,
        ) {
            let ecn = ALL[new];
            let mut frame = ipv4(l3, header, old);
            prop_assert!(set(&mut frame, l3, ecn));
            prop_assert_eq!(tos(&frame, l3), Some(ecn.in_tos(old)));
            prop_assert_eq!(&frame, &ipv4(l3, header, ecn.in_tos(old)));

            let mut frame = ipv6(l3, old, header[0]);
            prop_assert!(set(&mut frame, l3, ecn));
            prop_assert_eq!(tos(&frame, l3), Some(ecn.in_tos(old)));
            prop_assert_eq!(&frame, &ipv6(l3, ecn.in_tos(old), header[0]));
        }

        #[test]
        fn no_octets_make_it_panic(mut frame: Vec<u8>, l3 in 0_usize..80, outer in 0_usize..4) {
            let before = frame.clone();
            if apply(&mut frame, l3, ALL[outer]) != Ok(true) {
                prop_assert_eq!(frame, before);
            }
        }
    }
}
