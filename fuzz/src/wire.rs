//! The decoders of the data path.

use encap::checksum::Sum;
use encap::coalesce::{Coalescer, Offload};
use encap::ecn::{self, Ecn};
use encap::ether::{Frame, HEADER_LEN};
use encap::inet::{Layers, Net};
use encap::neighbor::{self, Binding, Message};
use encap::relay::Relay;
use encap::segment::{MAX_SEGMENTS, SuperFrame, finish_checksum};
use encap::vnet::{self, VnetHeader};
use encap::{MacAddr, Span, flow, geneve};

/// Octets: a VXLAN datagram.
pub fn vxlan(octets: &[u8]) {
    for strict in [false, true] {
        let Ok((vni, at)) = encap::vxlan::decode(octets, strict) else { continue };
        assert!(octets.len() - at >= HEADER_LEN);
        let again = [&encap::vxlan::encode(vni)[..], &octets[at..]].concat();
        assert_eq!(encap::vxlan::decode(&again, true), Ok((vni, at)));
        assert!(!strict || again == octets, "a reserved bit was taken");
    }
}

/// Octets: a Geneve datagram, perhaps one that is relayed.
pub fn geneve(octets: &[u8]) {
    let options = geneve::options(octets).map(Vec::from_iter).unwrap_or_default();
    let decoded = geneve::decode(octets);
    if let Ok((vni, at)) = decoded {
        assert!(octets.len() - at >= HEADER_LEN);
        assert!(options.iter().all(|option| option.is_ok_and(|option| !option.critical)));
        let again = [&geneve::encode(vni)[..], &octets[at..]].concat();
        assert_eq!(geneve::decode(&again), Ok((vni, geneve::encode(vni).len())));
    }
    if let Some(relay) = Relay::of(octets) {
        let vni = decoded.map_or(encap::Vni::MAX, |decoded| decoded.0);
        assert_eq!(Relay::of(&relay.encode(vni)), Some(relay));
    }
}

/// Octets: three frames, the first two of the lengths that the first two octets say.
pub fn frame(octets: &[u8]) {
    let Some(([one, two], buffer)) = octets.split_first_chunk() else { return };
    let cut = |at: usize, len: u8| at + usize::from(len).min(buffer.len() - at);
    let first = cut(0, *one);
    let second = cut(first, *two);
    let mut coalescer = Coalescer::new(Offload { tcp: true, udp: true });
    for (from, to) in [(0, first), (first, second), (second, buffer.len())] {
        let (frame, span) = (&buffer[from..to], Span::new(from, to - from));
        let layers = Layers::of(frame);
        check_layers(frame, &layers);
        check_neighbor(frame, &layers);
        if Frame::new(frame).is_ok() {
            coalescer.push(7, buffer, span, &layers);
        }
    }
    for write in coalescer.finish() {
        assert!(write.frames() >= 1);
        let pieces: usize = write.pieces().iter().map(|piece| piece.of(buffer).len()).sum();
        assert!(pieces <= buffer.len());
    }
}

fn check_layers(frame: &[u8], layers: &Layers) {
    assert!(layers.end <= frame.len() && layers.l3 <= frame.len());
    assert_eq!(layers.addresses(frame).is_some(), layers.net != Net::Other);
    assert!(layers.transport == 0 || layers.payload(frame) <= layers.end);
    if layers.net != Net::Other {
        let padded = [frame, &[0; 4]].concat();
        assert_eq!(flow::hash(&padded, &Layers::of(&padded)), flow::hash(frame, layers));
    }
    for outer in [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce] {
        let mut copy = frame.to_vec();
        let changed = ecn::apply(&mut copy, layers.l3, outer);
        assert_eq!(changed == Ok(true), copy != frame, "it says whether it changed the frame");
    }
}

fn check_neighbor(frame: &[u8], layers: &Layers) {
    let Ok(ethernet) = Frame::new(frame) else { return };
    let Some(message) = Message::decode(&ethernet, layers) else { return };
    let owner = MacAddr::new([2, 0, 0, 0, 0, 1]);
    if let Some(question) = message.question {
        let answer = question.answer(owner, true);
        assert_eq!(told(answer.octets()).map(|told| (told.ip, told.mac)), Some((question.target(), owner)));
    }
    if let Some(Binding { ip, mac, .. }) = message.binding {
        let announced = neighbor::announcement(ip, mac, false);
        assert_eq!(told(announced.octets()).map(|told| (told.ip, told.mac)), Some((ip, mac)));
    }
}

fn told(frame: &[u8]) -> Option<Binding> {
    Message::decode(&Frame::new(frame).ok()?, &Layers::of(frame))?.binding
}

/// Octets: a virtio-net header and the frame behind it.
pub fn super_frame(octets: &[u8]) {
    let Ok(header) = VnetHeader::decode(octets) else { return };
    assert_eq!(VnetHeader::decode(&header.encode()), Ok(header));
    let frame = &octets[vnet::LEN..];
    if let Some(unfinished) = header.unfinished {
        let mut copy = frame.to_vec();
        finish_checksum(&mut copy, unfinished);
        assert_eq!(copy.len(), frame.len());
    }
    let Ok(whole) = SuperFrame::new(frame, &header) else { return };
    assert!((1..=MAX_SEGMENTS).contains(&whole.segments()));
    let layers = Layers::of(frame);
    let bodies: Vec<u8> =
        (0..whole.segments()).flat_map(|index| whole.body(index).of(frame).to_vec()).collect();
    assert_eq!(bodies, &frame[whole.head_len()..layers.end], "the segments are the whole payload");
    for index in [0, whole.segments() - 1] {
        let segment = whole.segment(index);
        assert_eq!(segment.len(), whole.segment_len(index));
        if layers.net == Net::V4 {
            assert!(
                Sum::of(&segment[layers.l3..header.unfinished.map_or(layers.l4, |u| u.start.into())])
                    .is_valid()
            );
        }
    }
}
