//! What leaves, counted for the peer that gets it: once a message, not once a frame.

use encap::{Format, tunnel};

use crate::batch::SendBatch;
use crate::topology::Topology;

/// Counts all groups of a batch, whose bodies lie in `bodies`. A frame that another node is to pass on is that node's.
///
/// # Cost
///
/// One lookup a group; no allocation.
pub(super) fn count(topology: &Topology, worker: usize, batch: &SendBatch, bodies: &[u8]) {
    for group in batch.groups() {
        let Some(peer) = topology.by_source.get(&group.route().to.ip()) else { continue };
        let first = batch.payload(group, bodies).pieces().next();
        let format = first.map_or(Format::Vxlan, tunnel::format_of);
        let (frames, octets) = (group.count() as u64, group.octets() as u64);
        topology.peer(*peer).traffic.count_sent(worker, format, frames, octets);
    }
}

#[cfg(test)]
mod tests {
    use encap::{Span, Vni, VtepAddr};

    use super::*;
    use crate::batch::Route;
    use crate::datapath::memory::peer_view;
    use crate::topology::PeerIndex;

    fn vtep(last: u8, port: u16) -> VtepAddr {
        VtepAddr::new([192, 0, 2, last].into(), port)
    }

    fn topology() -> Topology {
        let mut topology = Topology::default();
        for last in 0..2 {
            topology.by_source.insert(vtep(last, 4789).ip(), PeerIndex(last.into()));
            topology.peers.push(peer_view(vtep(last, 4789), Format::Vxlan, Vec::new()));
        }
        topology
    }

    #[test]
    fn each_group_counts_for_the_peer_at_its_address_by_the_format_of_its_datagrams() {
        let (topology, mut batch) = (topology(), SendBatch::new(128));
        let header = |format| tunnel::encode(format, Vni::new(100).unwrap());
        let mut send = |last, port, format, body: usize| {
            let route = Route { to: vtep(last, port), source: 0, tos: 0 };
            batch.datagram(route, 8, Span::new(0, body), &[0; 1000]).copy_from_slice(&header(format));
        };
        send(0, 4789, Format::Vxlan, 100);
        send(0, 4789, Format::Vxlan, 100);
        send(0, 6081, Format::Geneve, 800);
        send(1, 4789, Format::Vxlan, 60);
        send(9, 4789, Format::Vxlan, 60); // nobody's
        count(&topology, 0, &batch, &[0; 1000]);
        let [one, two] = [0, 1].map(|index| topology.peer(PeerIndex(index)).traffic.read());
        assert_eq!((one.vxlan_sent, one.vxlan_sent_octets), (2, 216));
        assert_eq!((one.geneve_sent, one.geneve_sent_octets), (1, 808));
        assert_eq!((two.vxlan_sent, two.vxlan_sent_octets, two.geneve_sent), (1, 68, 0));
    }

    #[test]
    fn a_datagram_that_is_passed_on_whole_has_its_header_in_its_body() {
        let (topology, mut batch) = (topology(), SendBatch::new(128));
        let mut datagram = tunnel::encode(Format::Geneve, Vni::new(100).unwrap()).to_vec();
        datagram.resize(900, 0);
        let route = Route { to: vtep(1, 6081), source: 0, tos: 0 };
        batch.datagram(route, 0, Span::new(0, 900), &datagram);
        count(&topology, 0, &batch, &datagram);
        assert_eq!(topology.peer(PeerIndex(1)).traffic.read().geneve_sent, 1);
    }
}
