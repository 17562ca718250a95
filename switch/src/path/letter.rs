//! Letters: what one node asks another by the way that frames take, and the answer.
//!
//! A letter goes straight to the node that it is for, or through the one that passes frames on to it, and so does the
//! answer. Who passes a question on hears it, too, and may answer for itself. What a letter says is not the business of
//! this module.
//!
//! An answer brings back when the question left, by the asker's clock, and how long it lay at the other node: the round
//! trip is known without any memory of what was asked.
//!
//! A question may carry a frame, its [`Load`]: the packet has the size that is asked for, and of the frame it carries as
//! much as there is room for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encap::Format;
use fdb::gossip::identity::NodeId;

/// Octets that a letter can say.
pub const MAX_CONTENT: usize = 120;

/// What a letter says: up to [`MAX_CONTENT`] octets.
///
/// # Examples
///
/// ```
/// use weft::path::{Content, MAX_CONTENT};
///
/// assert_eq!(Content::new(b"who is there?").unwrap().octets(), b"who is there?");
/// assert_eq!(Content::new(&[0; MAX_CONTENT + 1]), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    octets: [u8; MAX_CONTENT],
    len: u8,
}

impl Content {
    /// A copy of these octets; `None` = more than there is room for.
    #[must_use]
    pub fn new(content: &[u8]) -> Option<Self> {
        let mut octets = [0; MAX_CONTENT];
        octets.get_mut(..content.len())?.copy_from_slice(content);
        Some(Self { octets, len: u8::try_from(content.len()).ok()? })
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// Octets of a frame that a letter carries, at most: one of a network with an MTU of 9,000. Of a longer one that many.
pub const MAX_LOAD: usize = 9_018;
/// Octets of a frame at most: those that a UDP datagram has room for, behind any tunnel header.
const MAX_FRAME: usize = 65_400;
/// Octets of a frame that are never left out: Ethernet with a tag, IPv6 and TCP without options.
pub(super) const HEADERS: usize = 14 + 4 + 40 + 20;

/// A frame that a letter carries, or as many of its first octets as there is room for.
///
/// # Examples
///
/// ```
/// use weft::path::Load;
///
/// let load = Load::new(&[7; 60]).unwrap();
/// assert_eq!((load.octets(), load.frame()), (&[7; 60][..], vec![7; 60]));
/// assert_eq!(Load::new(&[]), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// How long the frame is.
    len: u16,
    octets: Arc<[u8]>,
}

impl Load {
    /// This frame; `None` = it has no octets, or more than any datagram.
    #[must_use]
    pub fn new(frame: &[u8]) -> Option<Self> {
        let carried = &frame[..frame.len().min(MAX_LOAD)];
        Self::of_parts(u16::try_from(frame.len()).ok()?, carried)
    }

    /// The first octets of a frame of `len`; `None` = there are none, more than the frame has, or than are carried.
    pub(super) fn of_parts(len: u16, octets: &[u8]) -> Option<Self> {
        let most = usize::from(len).min(MAX_LOAD);
        let is_one = (1..=most).contains(&octets.len()) && usize::from(len) <= MAX_FRAME;
        is_one.then(|| Self { len, octets: octets.into() })
    }

    /// How long the frame is.
    #[must_use]
    pub fn frame_len(&self) -> u16 {
        self.len
    }

    /// The octets that are carried.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The frame, with zeros for what was left out, as frames that are made for traces have there.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = self.octets.to_vec();
        frame.resize(self.len.into(), 0);
        frame
    }

    /// As much of it as fits into `room` octets, its headers in any case.
    pub(super) fn within(self, room: usize) -> Self {
        let fits = room.max(HEADERS);
        if fits >= self.octets.len() { self } else { Self { octets: self.octets[..fits].into(), ..self } }
    }
}

/// A letter to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// For whom.
    pub to: NodeId,
    /// The hash of the flow ([`encap::flow::hash`]) whose source port it takes.
    pub flow: u32,
    /// Octets of the outer IP packet; it has more where the letter needs them.
    pub size: u16,
    /// The question that it answers; `None` = it is one itself.
    pub answers: Option<Question>,
    /// What it says.
    pub content: Content,
    /// The frame that it carries.
    pub load: Option<Load>,
}

/// What an answer needs of its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// When it left, by the asker's clock: microseconds, which come round after 71 minutes.
    pub stamp: u32,
    /// When it arrived.
    pub arrived: Instant,
}

/// A letter that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who wrote it.
    pub from: NodeId,
    /// For whom: this node, or the one that it was passed on to.
    pub to: NodeId,
    /// Who brought it: its writer, or who passed it on.
    pub by: NodeId,
    /// The underlay address that it came from.
    pub source: IpAddr,
    /// To which port it came.
    pub format: Format,
    /// The hash of the flow whose source port it took.
    pub flow: u32,
    /// Whether it asks or answers.
    pub sort: Sort,
    /// What it says.
    pub content: Content,
    /// The frame that it carries.
    pub load: Option<Load>,
}

/// What a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It asks.
    Question(Question),
    /// It answers.
    Answer {
        /// From when the question left until this arrived, without the next.
        round_trip: Duration,
        /// How long the question lay at the other node.
        inside: Duration,
    },
}
