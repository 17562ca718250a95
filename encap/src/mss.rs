//! The largest segment that a TCP end asks for, lowered to what fits the path ([RFC 9293 §3.7.1], [RFC 6691]).
//!
//! It spares a connection the detour over ICMP, and is all that IPv6 has below 1,280 octets. A SYN without the option
//! needs nothing: its peer sends at most 536 octets over IPv4, 1,220 over IPv6.
//!
//! [RFC 9293 §3.7.1]: https://www.rfc-editor.org/rfc/rfc9293#section-3.7.1
//! [RFC 6691]: https://www.rfc-editor.org/rfc/rfc6691

use crate::Mtu;
use crate::checksum;
use crate::inet::{HeaderOptions, Layers, Net, TCP};
use crate::vnet::Unfinished;

/// No segment size is lowered below this, as Linux never believes in a smaller one (`TCP_MIN_MSS`): 88 octets.
pub const FLOOR: u16 = 88;

const SYN: u8 = 0x02;
/// Kind and length of the option.
const MSS: [u8; 2] = [2, 4];
const CHECKSUM: usize = 16;

/// Lowers the MSS of a SYN, or of its answer, to what fits IP packets of `mtu` octets: `mtu` - 40 over IPv4, `mtu` - 60
/// over IPv6, at least [`FLOOR`]. True when `frame` was changed.
///
/// It is never raised, and nothing else is changed: not a frame that is no SYN, nor one without the option or with
/// options whose lengths do not add up. `layers` are those of the frame.
///
/// The checksum is updated ([RFC 1624]), so that one that was wrong stays wrong. `unfinished` is what the frame's
/// virtio-net header says: a TCP checksum that was left to a NIC covers the option only once it is finished, and is
/// left alone. After [`finish_checksum`](crate::segment::finish_checksum), and for a frame of the underlay, it is `None`.
///
/// # Cost
///
/// Two comparisons for a frame that is no SYN; no allocation, no panic.
///
/// # Examples
///
/// ```
/// use encap::inet::Layers;
/// use encap::{Mtu, mss};
///
/// let mut frame = [0; 58]; // Ethernet, IPv4, TCP with one option
/// frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6]);
/// (frame[46], frame[47]) = (0x60, 0x02); // SYN
/// frame[54..].copy_from_slice(&[2, 4, 5, 180]); // MSS 1460
///
/// let layers = Layers::of(&frame);
/// assert!(mss::clamp(&mut frame, &layers, None, Mtu::new(1230)?));
/// assert_eq!(frame[56..], 1190_u16.to_be_bytes());
/// assert!(!mss::clamp(&mut frame, &layers, None, Mtu::new(1500)?), "never raised");
/// # Ok::<(), encap::types::MtuError>(())
/// ```
///
/// [RFC 1624]: https://www.rfc-editor.org/rfc/rfc1624
#[inline]
pub fn clamp(frame: &mut [u8], layers: &Layers, unfinished: Option<Unfinished>, mtu: Mtu) -> bool {
    is_syn(frame, layers) && lower(frame, layers, unfinished, mtu)
}

/// Whether a frame is a SYN or the answer to one, which [`clamp`] may change; `layers` are those of the frame.
///
/// # Cost
///
/// Two comparisons.
#[must_use]
#[inline]
pub fn is_syn(frame: &[u8], layers: &Layers) -> bool {
    layers.transport == TCP && frame[layers.l4 + 13] & SYN != 0
}

#[cold]
fn lower(frame: &mut [u8], layers: &Layers, unfinished: Option<Unfinished>, mtu: Mtu) -> bool {
    let headers = if layers.net == Net::V6 { 60 } else { 40 };
    let limit = mtu.get().saturating_sub(headers).max(FLOOR);
    let payload = layers.payload(frame);
    let tcp = &mut frame[layers.l4..payload];
    let mut options = HeaderOptions::new(&tcp[20..]).map_while(Result::ok);
    let Some(option) = options.find(|option| option.octets.starts_with(&MSS)) else { return false };
    let (at, old) = (20 + option.at + 2, u16::from_be_bytes([option.octets[2], option.octets[3]]));
    if old <= limit {
        return false;
    }
    tcp[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    if !unfinished.is_some_and(|unfinished| unfinished.is_of_tcp(layers.l4)) {
        // At an odd place of the sum the octets of a word count the other way round.
        let [old, new] = [old, limit].map(|word| if at % 2 == 0 { word } else { word.swap_bytes() });
        let sum = u16::from_be_bytes([tcp[CHECKSUM], tcp[CHECKSUM + 1]]);
        tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&checksum::updated(sum, old, new).to_be_bytes());
    }
    true
}

#[cfg(test)]
mod tests;
