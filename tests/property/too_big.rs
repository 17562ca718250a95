//! Frames that are larger than the path takes: in pieces that fit and are the same together, or dropped and told.

use encap::inet::Layers;
use encap::relay::RELAY_HEADER_LEN;
use encap::tunnel::HEADER_LEN;
use encap::vnet::VnetHeader;
use encap::{Mtu, VtepAddr};
use fdb::Location;
use proptest::prelude::*;
use weft::clock;
use weft::counters::{Direction, DropReason};
use weft::datapath::memory::MemoryWorker;
use weft::path::Sources;
use weft::topology::ViaView;
use weft_tests::frames::{Packet, is_checksum_valid, mac, reassembled, wire_frames};

use crate::traffic::{formats, packets, stream, vni, vtep};

/// A way from MAC 1, behind the only port, to MAC 2.
#[derive(Clone, Copy, Debug)]
struct Way {
    path: u32,
    outer_v6: bool,
    relayed: bool,
}

fn ways() -> impl Strategy<Value = Way> {
    (600u32..=1500, any::<bool>(), any::<bool>()).prop_map(|(path, outer_v6, relayed)| Way {
        path,
        outer_v6,
        relayed,
    })
}

/// A frame as a kernel hands it over: plain, its checksum unfinished, or a super-frame.
fn frames() -> impl Strategy<Value = (Packet, VnetHeader, Vec<u8>)> {
    let form = prop_oneof![Just(None), Just(Some(None)), (200u16..1450).prop_map(|size| Some(Some(size)))];
    (packets(20_000), form).prop_map(|(packet, form)| {
        // A plain frame is no larger than its port's MTU.
        let most = if matches!(form, Some(Some(_))) { 20_000 } else { 1400 };
        let payload = stream(5, packet.payload.len() % most + 1);
        let packet = Packet { payload, ..packet };
        let (vnet, frame) = match form {
            None => (VnetHeader::default(), packet.plain()),
            Some(None) => packet.unfinished(),
            Some(Some(size)) => packet.super_frame(size),
        };
        (packet, vnet, frame)
    })
}

fn worker(way: Way, format: encap::Format) -> (MemoryWorker, encap::PortId) {
    let [peer, via, own]: [VtepAddr; 3] = if way.outer_v6 {
        ["[2001:db8::2]:4789", "[2001:db8::3]:6081", "[2001:db8::1]:4789"].map(vtep)
    } else {
        ["192.0.2.2:4789", "192.0.2.3:6081", "192.0.2.1:4789"].map(vtep)
    };
    let mut worker = MemoryWorker::new(clock::now());
    let network = worker.add_network(vni());
    let port = worker.add_port(network);
    worker.add_peer(peer, format, network);
    worker.change(|topology| {
        let path_mtu = Mtu::new(way.path).expect("an MTU");
        topology.networks[0].vlan_pass = true;
        topology.encap.seen_as = vec![own];
        topology.peers[0].path_mtu = path_mtu;
        topology.peers[0].via =
            way.relayed.then_some(ViaView { to: via, path_mtu, dead: Sources::default() });
    });
    worker.table.add_static(vni(), mac(2), Location::Remote(peer)).expect("room in the table");
    (worker, port)
}

/// TCP segments as one: their payload, which must lie one behind the other, and the flags of all.
fn joined(frames: &[Vec<u8>]) -> Result<(Vec<u8>, u8), TestCaseError> {
    let (mut payload, mut flags, mut next) = (Vec::new(), 0, None);
    for frame in frames {
        let layers = Layers::of(frame);
        let tcp = &frame[layers.l4..];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let body = &frame[layers.payload(frame)..layers.end];
        prop_assert!(next.is_none_or(|next| next == sequence), "a gap before {}", sequence);
        next = Some(sequence.wrapping_add(body.len() as u32));
        payload.extend(body);
        flags |= tcp[13];
    }
    Ok((payload, flags))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn what_leaves_fits_and_is_what_was_sent_or_is_dropped_for_its_size(
        way in ways(), (packet, vnet, frame) in frames(), format in formats(),
    ) {
        let (mut worker, port) = worker(way, format);
        worker.read(port, &vnet, &mut frame.clone());
        worker.sink.flush();
        let totals = worker.totals();
        prop_assert!(totals.balanced(), "{:?}", totals);

        let header = if way.relayed { RELAY_HEADER_LEN } else { HEADER_LEN };
        let room = way.path as usize - if way.outer_v6 { 48 } else { 28 } - header;
        let sent = std::mem::take(&mut worker.sink.sent);
        let datagrams = sent.iter().flat_map(weft::datapath::memory::SentMessage::datagrams);
        let frames: Vec<_> = datagrams.map(|datagram| datagram[header..].to_vec()).collect();
        prop_assert!(frames.iter().all(|frame| frame.len() <= room));

        let expected = wire_frames(&vnet, &frame);
        let largest = expected[0].len();
        if totals.dropped() > 0 {
            prop_assert!(largest > room && (packet.v6 || packet.dont_fragment));
            prop_assert!(packet.udp || vnet.gso.is_none(), "a TCP super-frame can be cut");
            prop_assert_eq!(totals.dropped(), too_big(&totals));
            prop_assert_eq!((totals.dropped(), frames.len()), (expected.len() as u64, 0));
            let packet_len = largest - Layers::of(&expected[0]).l3;
            let told = worker.sink.originated.len();
            prop_assert_eq!(told, usize::from(!packet.v6 || packet_len > 1280));
            return Ok(());
        }
        prop_assert_eq!(worker.sink.originated.len(), 0);
        let arrived = reassembled(&frames);
        prop_assert!(arrived.iter().all(|frame| is_checksum_valid(frame)));
        if arrived != expected {
            prop_assert!(!packet.udp && largest > room, "only TCP is cut, and only where it must be");
            prop_assert_eq!(frames.len(), arrived.len(), "what is cut is not fragmented");
            prop_assert_eq!(joined(&arrived)?, joined(&expected)?);
        }
    }
}

/// The frames that were dropped as too big.
fn too_big(totals: &weft::counters::Totals) -> u64 {
    totals.drops[DropReason::PktTooBig as usize][Direction::Outbound as usize]
}
