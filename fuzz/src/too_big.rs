//! What becomes of a packet that is too big for a path, and what goes another way.

use encap::fragment::{Fragments, MAX_FRAGMENTS};
use encap::inet::{Layers, Net, TCP};
use encap::relay::{Hops, Relay};
use encap::segment::{MAX_SEGMENTS, SuperFrame};
use encap::vnet::{self, VnetHeader};
use encap::{Format, Mtu, Span, control as carrier, icmp, mss, tunnel};

/// Octets: the MTU of the path, a virtio-net header and the frame behind it.
pub fn too_big(octets: &[u8]) {
    let Some((mtu, rest)) = octets.split_first_chunk() else { return };
    let Ok(mtu) = Mtu::new(u16::from_be_bytes(*mtu).into()) else { return };
    let Ok(header) = VnetHeader::decode(rest) else { return };
    let frame = &rest[vnet::LEN..];
    let layers = Layers::of(frame);
    check_icmp(frame, &layers, mtu);
    check_mss(frame, &layers, mtu, &header);
    if let Some(fragments) = Fragments::of_frame(frame, &layers, mtu) {
        check_fragments(&fragments, frame, layers.l3, mtu);
    }
    if let Some(whole) = SuperFrame::of_plain(frame, &layers, header.unfinished) {
        assert_eq!((whole.segments(), whole.segment_len(0)), (1, layers.end));
        check_fitting(whole, frame, layers.l3, mtu);
    }
    let Ok(whole) = SuperFrame::new(frame, &header) else { return };
    check_fitting(whole, frame, layers.l3, mtu);
    let mut out = [0; icmp::MAX_LEN];
    if let Some(answer) = icmp::first_too_big(&whole, mtu, &mut out) {
        check_answer(answer, whole.segment_len(0) - layers.l3, mtu);
    }
    let mut head = vec![0; whole.head_len()];
    whole.write_head(0, &mut head);
    if let Some(fragments) = Fragments::new(&head, layers.l3, whole.body(0), mtu) {
        check_fragments(&fragments, frame, layers.l3, mtu);
    }
}

fn check_icmp(frame: &[u8], layers: &Layers, mtu: Mtu) {
    let mut out = [0; icmp::MAX_LEN];
    if let Some(answer) = icmp::too_big(frame, layers, mtu, &mut out) {
        check_answer(answer, layers.end - layers.l3, mtu);
    }
}

/// An answer to a packet of so many octets.
fn check_answer(answer: &[u8], packet: usize, mtu: Mtu) {
    let layers = Layers::of(answer);
    assert!(packet > usize::from(mtu.get()) && layers.net != Net::Other);
    assert_eq!(layers.end, answer.len());
    let mut again = [0; icmp::MAX_LEN];
    assert_eq!(icmp::too_big(answer, &layers, Mtu::MIN, &mut again), None, "an answer to an answer");
}

fn check_mss(frame: &[u8], layers: &Layers, mtu: Mtu, header: &VnetHeader) {
    let mut copy = frame.to_vec();
    let changed = mss::clamp(&mut copy, layers, header.unfinished, mtu);
    assert_eq!(changed, copy != frame, "it says whether it changed the frame");
    assert!(!changed || layers.transport == TCP);
    assert!(!mss::clamp(&mut copy, layers, header.unfinished, mtu), "once is enough");
}

/// The body is in `buffer`.
fn check_fragments(fragments: &Fragments<'_>, buffer: &[u8], l3: usize, mtu: Mtu) {
    assert!((1..=MAX_FRAGMENTS).contains(&fragments.count()));
    let mut end = None;
    for index in 0..fragments.count() {
        let mut head = vec![0; fragments.head_len(index)];
        fragments.write_head(index, &mut head);
        let body = fragments.body(index);
        let frame = [&head[..], body.of(buffer)].concat();
        let layers = Layers::of(&frame);
        assert!(frame.len() - l3 <= usize::from(mtu.get()));
        assert!(layers.net != Net::V4 || layers.end == frame.len());
        assert!(end.is_none_or(|end| end == body.start), "bodies lie one behind the other");
        end = Some(body.start + body.len);
    }
}

fn check_fitting(whole: SuperFrame<'_>, frame: &[u8], l3: usize, mtu: Mtu) {
    let Some(cut) = whole.fitting(mtu.get().into()) else { return };
    assert!((whole.segments()..=MAX_SEGMENTS).contains(&cut.segments()));
    let mut end = cut.head_len();
    for index in 0..cut.segments() {
        let Span { start, len } = cut.body(index);
        assert_eq!(start as usize, end);
        end += len as usize;
        assert!(cut.segment_len(index) - l3 <= usize::from(mtu.get()));
    }
    assert_eq!(&frame[..end], &frame[..Layers::of(frame).end], "the segments are the whole payload");
}

/// Octets: a datagram of either format that is none with a frame, or that goes over a third node.
pub fn control(octets: &[u8]) {
    for format in [Format::Vxlan, Format::Geneve] {
        let Some(sealed) = carrier::open(format, octets) else { continue };
        assert!(tunnel::decode(format, octets, false).is_err(), "no frame");
        let len = u16::try_from(sealed.len()).expect("16 bits say it");
        let again = [carrier::write_head(format, len).octets(), sealed].concat();
        assert_eq!(again, octets[..again.len()]);
    }
    let before = Relay::of(octets);
    let mut copy = octets.to_vec();
    let passed = Relay::pass_on(&mut copy);
    assert_eq!(passed.is_some(), before.is_some_and(|relay| relay.hops == Hops::One));
    assert_eq!(passed.or(before), Relay::of(&copy));
    let changed = copy.iter().zip(octets).filter(|(new, old)| new != old).count();
    assert_eq!(changed, usize::from(passed.is_some()), "nothing but the hops");
    assert_eq!(Relay::pass_on(&mut copy), None);
}
