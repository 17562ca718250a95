//! A frame that is really sent, in a letter: marked as one that is for nobody, by what carries it.

use encap::Format;
use encap::tunnel::{self, IpVersion, UDP_HEADER_LEN};

use crate::datapath::memory::SentMessage;
use crate::path::{Load, least_packet};
use crate::topology::PeerView;

/// A frame on its way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Its octets as the stages let it go.
    pub load: Load,
    /// Octets of the outer IP packet: as many as the frame's own would have, or what the letter needs.
    pub size: u16,
}

impl Marked {
    /// The frame of the first datagram of a message for a peer; `None` = there is none in it.
    #[must_use]
    pub fn new(peer: &PeerView, message: &SentMessage) -> Option<Self> {
        let format = peer.via.map_or(peer.format, |_| Format::Geneve);
        let datagram = message.datagrams().next()?;
        let (_, start) = tunnel::decode(format, datagram, false).ok()?;
        let frame = datagram.get(start..)?;
        let outer = IpVersion::from(message.route.to.ip());
        let own = outer.header_len() + UDP_HEADER_LEN + datagram.len();
        let size = own.max(least_packet(outer, format, frame.len()));
        Some(Self { load: Load::new(frame)?, size: u16::try_from(size).unwrap_or(u16::MAX) })
    }
}
