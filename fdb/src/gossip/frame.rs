//! Messages on a stream of octets: `length 4 | message`.

use std::collections::VecDeque;

/// Octets of a message at most: a roster of as many members as there may be.
pub const MAX_MESSAGE: usize = 2 << 20;

const LENGTH: usize = size_of::<u32>();

/// A message that is too long: close the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {octets} octets on a stream is above {MAX_MESSAGE}: the other end has a fault")]
pub struct TooLong {
    /// Its length.
    pub octets: usize,
}

/// Puts the length before a message.
///
/// # Errors
///
/// [`TooLong`].
pub fn encode(message: &[u8]) -> Result<Vec<u8>, TooLong> {
    let octets = message.len();
    let length = u32::try_from(octets).ok().filter(|_| octets <= MAX_MESSAGE).ok_or(TooLong { octets })?;
    Ok([&length.to_be_bytes()[..], message].concat())
}

/// What arrived of a stream and is no whole message yet.
///
/// # Examples
///
/// ```
/// use fdb::gossip::frame::{Frames, encode};
///
/// let wire = encode(b"hello")?;
/// let mut frames = Frames::default();
/// frames.push(&wire[..6]);
/// assert_eq!(frames.next_message()?, None);
/// frames.push(&wire[6..]);
/// assert_eq!(frames.next_message()?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Frames {
    octets: VecDeque<u8>,
}

impl Frames {
    /// Adds octets as they arrive.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.extend(octets);
    }

    /// The next message, once it is whole.
    ///
    /// # Errors
    ///
    /// [`TooLong`] before the message was read.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        if self.octets.len() < LENGTH {
            return Ok(None);
        }
        let length: [u8; LENGTH] = std::array::from_fn(|n| self.octets[n]);
        let octets = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if octets > MAX_MESSAGE {
            return Err(TooLong { octets });
        }
        if self.octets.len() < LENGTH + octets {
            return Ok(None);
        }
        self.octets.drain(..LENGTH);
        Ok(Some(self.octets.drain(..octets).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_above_the_limit_is_refused_before_it_came() {
        let octets = MAX_MESSAGE + 1;
        assert_eq!(encode(&vec![0; octets]), Err(TooLong { octets }));
        let mut frames = Frames::default();
        frames.push(&u32::try_from(octets).unwrap().to_be_bytes());
        assert_eq!(frames.next_message(), Err(TooLong { octets }));
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
            cut in 1_usize..50,
        ) {
            let wire: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut frames = Frames::default();
            let mut there = Vec::new();
            for part in wire.chunks(cut) {
                frames.push(part);
                while let Some(message) = frames.next_message().unwrap() {
                    there.push(message);
                }
            }
            prop_assert_eq!(there, messages);
        }
    }
}
