//! Ethernet frames as they cross the overlay: destination, source, up to two VLAN tags, EtherType.
//!
//! ```text
//!  0       6       12     14            18            22
//!  | dst   | src   | type | L3 ...                             untagged: L3 at 14
//!  | dst   | src   | TPID | TCI | type  | L3 ...               802.1Q:   L3 at 18
//!  | dst   | src   | TPID | TCI | TPID  | TCI | type | L3 ...  802.1ad:  L3 at 22
//! ```
//!
//! There is no FCS and no padding rule: runts of 14 to 59 octets are ordinary frames here.

use crate::MacAddr;
use crate::tunnel::DecodeError;

/// The octets of an Ethernet header without VLAN tags; no frame is shorter.
pub const HEADER_LEN: usize = 14;
/// The octets that one VLAN tag adds.
pub const TAG_LEN: usize = 4;
/// The VLAN tags that are looked behind; a third one is payload.
pub const MAX_TAGS: usize = 2;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType (TPID) of an IEEE 802.1Q customer tag.
pub const VLAN: u16 = 0x8100;
/// EtherType (TPID) of an IEEE 802.1ad service tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of MAC control, of which PAUSE is the use met in practice (IEEE 802.3, annex 31A).
pub const MAC_CONTROL: u16 = 0x8808;

/// A checked view of one frame; its getters cannot fail.
///
/// Built once when a frame arrives. What follows the Ethernet header is not looked at: `l3()` may be empty or garbage.
///
/// A frame that ends inside a tag is tagged ([`Frame::is_tagged`]), its EtherType is that tag's TPID, and its payload
/// starts at the incomplete tag: it can be forwarded, and nobody takes it for IP.
///
/// # Cost
///
/// Untagged: a length check, one load and two comparisons. No copy, no allocation.
///
/// # Examples
///
/// ```
/// use encap::ether::{self, Frame};
///
/// let mut octets = [0; 60];
/// octets[..6].copy_from_slice(&[0xff; 6]); // to everybody
/// octets[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
/// octets[12..18].copy_from_slice(&[0x81, 0x00, 0x00, 0x07, 0x08, 0x06]); // VLAN 7, ARP
///
/// let frame = Frame::new(&octets)?;
/// assert!(frame.dst().is_broadcast() && frame.is_source_valid());
/// assert_eq!((frame.ethertype(), frame.tags(), frame.l3_offset()), (ether::ARP, 1, 18));
/// assert!(Frame::new(&octets[..13]).is_err());
/// # Ok::<(), encap::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    octets: &'a [u8],
    header: &'a [u8; HEADER_LEN],
    ethertype: u16,
    tags: u8,
}

impl<'a> Frame<'a> {
    /// Checks that `octets`, which start at the destination MAC, hold an Ethernet header.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Runt`]: fewer than 14 octets.
    #[inline]
    pub const fn new(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(header) = octets.first_chunk() else {
            return Err(DecodeError::Runt { len: octets.len() });
        };
        let ethertype = outer_ethertype(header);
        if is_tpid(ethertype) {
            return Ok(Self::behind_tags(octets, header));
        }
        Ok(Self { octets, header, ethertype, tags: 0 })
    }

    const fn behind_tags(octets: &'a [u8], header: &'a [u8; HEADER_LEN]) -> Self {
        let mut frame = Self { octets, header, ethertype: outer_ethertype(header), tags: 0 };
        while is_tpid(frame.ethertype) && (frame.tags as usize) < MAX_TAGS {
            let Some((_, rest)) = octets.split_at_checked(frame.l3_offset()) else { break };
            let Some([_, _, high, low]) = rest.first_chunk() else { break };
            frame.ethertype = u16::from_be_bytes([*high, *low]);
            frame.tags += 1;
        }
        frame
    }

    /// The destination address.
    #[inline]
    #[must_use]
    pub const fn dst(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.header;
        MacAddr::new([a, b, c, d, e, f])
    }

    /// The source address.
    #[inline]
    #[must_use]
    pub const fn src(&self) -> MacAddr {
        let [_, _, _, _, _, _, a, b, c, d, e, f, _, _] = *self.header;
        MacAddr::new([a, b, c, d, e, f])
    }

    /// The EtherType behind at most two VLAN tags. Values below 0x0600 are an IEEE 802.3 length.
    #[inline]
    #[must_use]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// Whether the frame says that it has a VLAN tag (802.1Q or 802.1ad), the tag whole or not.
    #[inline]
    #[must_use]
    pub const fn is_tagged(&self) -> bool {
        is_tpid(outer_ethertype(self.header))
    }

    /// The number of whole VLAN tags in front of [`Frame::ethertype`]: 0, 1 or 2.
    #[inline]
    #[must_use]
    pub const fn tags(&self) -> usize {
        self.tags as usize
    }

    /// Where the network header starts: 14, 18 or 22, never beyond the end of the frame.
    #[inline]
    #[must_use]
    pub const fn l3_offset(&self) -> usize {
        HEADER_LEN + TAG_LEN * self.tags as usize
    }

    /// The octets from [`Frame::l3_offset`] on, padding included; empty when the frame ends there.
    #[inline]
    #[must_use]
    pub fn l3(&self) -> &'a [u8] {
        self.octets.get(self.l3_offset()..).unwrap_or_default()
    }

    /// The whole frame.
    #[inline]
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Whether a station may send from this source address: neither a group address nor all zeros (IEEE 802, 8.2).
    #[inline]
    #[must_use]
    pub const fn is_source_valid(&self) -> bool {
        let src = self.src();
        !src.is_group() && !src.is_zero()
    }

    /// Whether a switch forwards frames to this destination address: all but 01-80-C2-00-00-00 to -0F, which end at
    /// the next bridge (IEEE 802.1D, 7.12.6). See [`Frame::is_pause`] for the EtherType that is not forwarded either.
    #[inline]
    #[must_use]
    pub const fn is_forwardable_destination(&self) -> bool {
        !self.dst().is_link_local()
    }

    /// Whether this is MAC control (PAUSE, priority flow control): meant for the other end of one link, never forwarded.
    #[inline]
    #[must_use]
    pub const fn is_pause(&self) -> bool {
        self.ethertype == MAC_CONTROL
    }
}

#[inline]
const fn outer_ethertype(header: &[u8; HEADER_LEN]) -> u16 {
    let [.., high, low] = *header;
    u16::from_be_bytes([high, low])
}

#[inline]
const fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | SERVICE_VLAN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DST: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn frame(dst: [u8; 6], src: [u8; 6], rest: &[u8]) -> Vec<u8> {
        [&dst, &src, rest].concat()
    }

    /// EtherType, whole tags, start of the network header and whether the frame is tagged.
    fn layout(rest: &[u8]) -> (u16, usize, usize, bool) {
        let octets = frame(DST, SRC, rest);
        let view = Frame::new(&octets).unwrap();
        assert_eq!(view.l3(), &octets[view.l3_offset()..]);
        (view.ethertype(), view.tags(), view.l3_offset(), view.is_tagged())
    }

    #[test]
    fn under_14_octets_is_a_runt_and_14_is_a_frame() {
        let octets = frame(DST, SRC, &[0x88, 0xb5]);
        assert_eq!(Frame::new(&octets[..13]).unwrap_err(), DecodeError::Runt { len: 13 });
        assert_eq!(Frame::new(&[]).unwrap_err(), DecodeError::Runt { len: 0 });
        let view = Frame::new(&octets).unwrap();
        assert_eq!((view.dst(), view.src()), (MacAddr::new(DST), MacAddr::new(SRC)));
        assert_eq!((view.ethertype(), view.l3()), (0x88b5, [].as_slice()));
    }

    #[test]
    fn the_ethertype_is_the_one_behind_at_most_two_tags() {
        assert_eq!(layout(&[0x08, 0x00, 0x45]), (IPV4, 0, 14, false));
        assert_eq!(layout(&[0x81, 0x00, 0, 7, 0x86, 0xdd]), (IPV6, 1, 18, true));
        assert_eq!(layout(&[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x06, 1]), (ARP, 2, 22, true));
        assert_eq!(layout(&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0]), (VLAN, 2, 22, true));
    }

    #[test]
    fn a_frame_that_ends_inside_a_tag_is_tagged_and_no_ip() {
        assert_eq!(layout(&[0x81, 0x00]), (VLAN, 0, 14, true));
        assert_eq!(layout(&[0x81, 0x00, 0, 7, 0x08]), (VLAN, 0, 14, true));
        assert_eq!(layout(&[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08]), (VLAN, 1, 18, true));
    }

    #[test]
    fn group_and_zero_sources_are_not_valid() {
        let valid = |src| Frame::new(&frame(DST, src, &[8, 0])).unwrap().is_source_valid();
        assert!(valid(SRC));
        assert!(!valid([0; 6]));
        assert!(!valid([0xff; 6]));
        assert!(!valid([1, 0, 0x5e, 0, 0, 1]));
    }

    #[test]
    fn link_local_group_destinations_are_not_forwardable() {
        let forwardable = |dst| Frame::new(&frame(dst, SRC, &[8, 0])).unwrap().is_forwardable_destination();
        for last in 0..=0x0f {
            assert!(!forwardable([1, 0x80, 0xc2, 0, 0, last]));
        }
        assert!(forwardable([1, 0x80, 0xc2, 0, 0, 0x10]));
        assert!(forwardable([0xff; 6]));
        assert!(forwardable([0x33, 0x33, 0, 0, 0, 1]));
    }

    #[test]
    fn mac_control_is_pause() {
        assert!(Frame::new(&frame(DST, SRC, &[0x88, 0x08, 0, 1])).unwrap().is_pause());
        assert!(Frame::new(&frame(DST, SRC, &[0x81, 0, 0, 1, 0x88, 0x08])).unwrap().is_pause());
        assert!(!Frame::new(&frame(DST, SRC, &[0x08, 0x00])).unwrap().is_pause());
    }

    proptest! {
        #[test]
        fn any_octets_make_a_view_that_reads_within_them(octets: Vec<u8>) {
            match Frame::new(&octets) {
                Err(error) => prop_assert_eq!(error, DecodeError::Runt { len: octets.len() }),
                Ok(view) => {
                    prop_assert!(view.l3_offset() <= octets.len());
                    prop_assert_eq!(view.l3(), &octets[view.l3_offset()..]);
                    prop_assert!(view.tags() <= MAX_TAGS && (view.tags() == 0 || view.is_tagged()));
                }
            }
        }

        #[test]
        fn tags_written_are_tags_found(tags in prop::collection::vec(any::<(bool, u16)>(), 0..=2), payload: Vec<u8>) {
            let mut rest = Vec::new();
            for (service, tci) in &tags {
                rest.extend_from_slice(&if *service { SERVICE_VLAN } else { VLAN }.to_be_bytes());
                rest.extend_from_slice(&tci.to_be_bytes());
            }
            rest.extend_from_slice(&IPV6.to_be_bytes());
            rest.extend_from_slice(&payload);
            prop_assert_eq!(layout(&rest), (IPV6, tags.len(), 14 + 4 * tags.len(), !tags.is_empty()));
        }
    }
}
