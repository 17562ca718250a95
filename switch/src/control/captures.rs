//! Captures: what a client names, in terms of this node.

use super::Control;
use super::devices::Devices;
use super::protocol::{CaptureAt, ErrorReply};
use super::requests::no_such;
use crate::capture::ring::{At, NamedPort};

impl<D: Devices> Control<D> {
    /// The points that a client wants to see.
    ///
    /// # Errors
    ///
    /// There is no such port or peer, or the port is not up; the reply names those that are there.
    pub fn capture_at(&self, at: &CaptureAt) -> Result<At, ErrorReply> {
        match at {
            CaptureAt::Any => Ok(At::Any),
            CaptureAt::Port(name) => match self.ports.get(name).map(super::ports::Port::id) {
                Some(Some(id)) => Ok(At::Port(NamedPort::new(name, id))),
                Some(None) => Err(ErrorReply::failed(format!(
                    "port {name} is not up, so nothing is to be seen there: `weft port list` says why"
                ))),
                None => Err(no_such("port", name, self.ports.keys().map(String::as_str), "weft port list")),
            },
            CaptureAt::Peer(name) => {
                let topology = self.build();
                let by_name =
                    topology.peers.iter().find(|peer| *peer.name == **name).map(|peer| peer.vtep.ip());
                let found = by_name.or_else(|| topology.known_by(name.parse().ok()?));
                let known = topology.peers.iter().map(|peer| &*peer.name);
                found.map(At::Peer).ok_or_else(|| no_such("peer", name, known, "weft peer list"))
            }
        }
    }
}
