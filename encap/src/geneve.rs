//! The Geneve header and its options ([RFC 8926 §3.4 and §3.5](https://www.rfc-editor.org/rfc/rfc8926#section-3.4)).
//!
//! ```text
//!  octet 0              1               2      3      4      5      6      7         8
//!  | Ver 2 | OptLen 6 | O C | reserved | protocol     | VNI, 24 bits       | reserved | options, 4 x OptLen octets
//!
//!  each option:  class 16 | critical 1, type 7 | reserved 3, length 5 (of 4 octets) | data, 0 to 124 octets
//! ```
//!
//! Reserved bits are ignored. The option list is always walked, C bit or not, because a list that does not add up or
//! holds an option that must be understood makes the whole packet one that must not be delivered.

use crate::ether;
use crate::tunnel::{DecodeError, HEADER_LEN};
use crate::types::Vni;

/// The UDP port that IANA gave to Geneve.
pub const PORT: u16 = 6081;
/// The protocol type of an Ethernet frame (Transparent Ethernet Bridging), the only one accepted.
pub const ETHERNET: u16 = 0x6558;
/// The largest option list: 63 words of 4 octets.
pub const MAX_OPTION_OCTETS: usize = 252;

/// The O flag: a control packet, of which no frame is ever delivered.
const FLAG_CONTROL: u8 = 0x80;
/// The bit of an option's type that says it must be understood.
const TYPE_CRITICAL: u8 = 0x80;
const OPTION_HEADER_LEN: usize = 4;

/// Reads the header of one Geneve datagram: its network, and where in `datagram` the inner frame starts.
///
/// `datagram` is a UDP payload; the frame is what follows the options, starts at the inner destination MAC and is at
/// least 14 octets long. No option is understood here, so every critical one is an error; others are skipped. Whether
/// this host serves the network is not decided here.
///
/// # Errors
///
/// Every variant is also a drop counter. The first that applies, in this order:
///
/// - [`DecodeError::Truncated`]: fewer than 8 octets.
/// - [`DecodeError::GeneveVersion`]: a version other than 0.
/// - [`DecodeError::GeneveControl`]: the O flag is set.
/// - [`DecodeError::GeneveProtocol`]: the payload is not Ethernet.
/// - [`DecodeError::GeneveOptions`]: the options end beyond the datagram, or their lengths do not add up.
/// - [`DecodeError::GeneveCritical`]: an option has the critical bit set.
/// - [`DecodeError::Runt`]: fewer than 14 octets of frame.
///
/// # Cost
///
/// Constant time without options, else linear in their number (63 at most); no copy, no allocation, no panic for any
/// input.
///
/// # Examples
///
/// ```
/// use encap::{DecodeError, Vni, geneve};
///
/// let mut datagram = [0; 22];
/// datagram[..8].copy_from_slice(&geneve::encode(Vni::new(42)?));
/// assert_eq!(geneve::decode(&datagram), Ok((Vni::new(42)?, 8)));
///
/// datagram[0] = 0x40;
/// assert_eq!(geneve::decode(&datagram), Err(DecodeError::GeneveVersion { version: 1 }));
/// # Ok::<(), encap::types::VniError>(())
/// ```
#[inline]
pub fn decode(datagram: &[u8]) -> Result<(Vni, usize), DecodeError> {
    let Some(([first, flags, p, q, vni @ .., _], rest)) = datagram.split_first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::Truncated { len: datagram.len() });
    };
    if first >> 6 != 0 {
        return Err(DecodeError::GeneveVersion { version: first >> 6 });
    }
    if flags & FLAG_CONTROL != 0 {
        return Err(DecodeError::GeneveControl);
    }
    let protocol = u16::from_be_bytes([*p, *q]);
    if protocol != ETHERNET {
        return Err(DecodeError::GeneveProtocol { protocol });
    }
    let options = option_octets(*first);
    if options > 0 {
        refuse_critical(rest, options)?;
    }
    let len = rest.len() - options;
    if len < ether::HEADER_LEN {
        return Err(DecodeError::Runt { len });
    }
    Ok((Vni::from_octets(*vni), HEADER_LEN + options))
}

/// Walks the first `octets` of `rest` as options; afterwards `octets <= rest.len()` holds.
fn refuse_critical(rest: &[u8], octets: usize) -> Result<(), DecodeError> {
    for option in Options::new(rest, octets) {
        let GeneveOption { class, kind, critical, .. } = option?;
        if critical {
            return Err(DecodeError::GeneveCritical { class, kind });
        }
    }
    Ok(())
}

/// The header to put in front of a frame of network `vni`: version 0, no options, Ethernet, all else zero.
#[inline]
#[must_use]
pub const fn encode(vni: Vni) -> [u8; HEADER_LEN] {
    let [p, q] = ETHERNET.to_be_bytes();
    let [a, b, c] = vni.octets();
    [0, 0, p, q, a, b, c, 0]
}

/// The options of a Geneve datagram, for a reader that wants to see them, whatever [`decode`] says of the packet.
///
/// # Errors
///
/// [`DecodeError::Truncated`]: fewer than 8 octets. What is wrong with the list comes as an item.
///
/// # Examples
///
/// ```
/// use encap::geneve;
///
/// let datagram = [2, 0, 0x65, 0x58, 0, 0, 42, 0, /* option */ 0x01, 0x02, 0x80, 1, b'a', b'b', b'c', b'd'];
/// let option = geneve::options(&datagram)?.next().ok_or("no option")??;
/// assert_eq!((option.class, option.kind, option.critical, option.data), (0x0102, 0x80, true, &b"abcd"[..]));
/// assert!(geneve::options(&datagram[..15])?.any(|option| option.is_err()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn options(datagram: &[u8]) -> Result<Options<'_>, DecodeError> {
    match datagram.split_first_chunk::<HEADER_LEN>() {
        Some(([first, ..], rest)) => Ok(Options::new(rest, option_octets(*first))),
        None => Err(DecodeError::Truncated { len: datagram.len() }),
    }
}

#[inline]
const fn option_octets(first: u8) -> usize {
    (first & 0x3f) as usize * 4
}

/// One option of a Geneve header ([RFC 8926 §3.5](https://www.rfc-editor.org/rfc/rfc8926#section-3.5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    /// The namespace of the type, assigned by IANA; 0xff00 and above is experimental.
    pub class: u16,
    /// The type, with the critical bit (0x80) as on the wire: types that differ in it are different types.
    pub kind: u8,
    /// Whether a receiver that does not know this option must drop the packet.
    pub critical: bool,
    /// The data: 0 to 124 octets, a multiple of 4.
    pub data: &'a [u8],
}

/// Iterator over the options of a header, in their order; ends after the first error.
///
/// An item is [`DecodeError::GeneveOptions`] when the list ends beyond the datagram, or an option beyond the list.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    list: Result<&'a [u8], DecodeError>,
}

impl<'a> Options<'a> {
    fn new(rest: &'a [u8], octets: usize) -> Self {
        Self { list: rest.get(..octets).ok_or(DecodeError::GeneveOptions { octets, available: rest.len() }) }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<GeneveOption<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.list, Ok([])) {
            return None;
        }
        let parsed = self.list.and_then(parse_option);
        self.list = Ok(parsed.map_or(&[], |(_, rest)| rest));
        Some(parsed.map(|(option, _)| option))
    }
}

impl std::iter::FusedIterator for Options<'_> {}

/// The first option of a list that is not empty, and the list behind it.
fn parse_option(list: &[u8]) -> Result<(GeneveOption<'_>, &[u8]), DecodeError> {
    let available = list.len();
    let Some(([a, b, kind, length], rest)) = list.split_first_chunk::<OPTION_HEADER_LEN>() else {
        return Err(DecodeError::GeneveOptions { octets: OPTION_HEADER_LEN, available });
    };
    let octets = usize::from(length & 0x1f) * 4;
    let Some((data, rest)) = rest.split_at_checked(octets) else {
        return Err(DecodeError::GeneveOptions { octets: OPTION_HEADER_LEN + octets, available });
    };
    let class = u16::from_be_bytes([*a, *b]);
    Ok((GeneveOption { class, kind: *kind, critical: kind & TYPE_CRITICAL != 0, data }, rest))
}

#[cfg(test)]
mod tests;
