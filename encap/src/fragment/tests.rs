use etherparse::SlicedPacket;
use etherparse::defrag::IpDefragPool;
use proptest::prelude::*;

use super::*;
use crate::segment::SuperFrame;
use crate::testing::{self, Packet, pattern};
use crate::vnet::{Gso, VnetHeader};

fn mtu(octets: usize) -> Mtu {
    Mtu::new(u32::try_from(octets).unwrap()).unwrap()
}

/// The fragments as frames; `buffer` holds the body.
fn frames(fragments: &Fragments<'_>, buffer: &[u8]) -> Vec<Vec<u8>> {
    let frame = |index| {
        let mut head = vec![0xaa; fragments.head_len(index)];
        fragments.write_head(index, &mut head);
        [&head[..], fragments.body(index).of(buffer)].concat()
    };
    (0..fragments.count()).map(frame).collect()
}

fn cut(frame: &[u8], packet: usize) -> Option<Vec<Vec<u8>>> {
    let fragments = Fragments::of_frame(frame, &Layers::of(frame), mtu(packet))?;
    Some(frames(&fragments, frame))
}

/// What etherparse puts together again: all behind the IP header.
fn join(frames: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for frame in frames {
        assert!(whole.is_none(), "more fragments than there should be");
        assert!(testing::is_valid(frame));
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        whole = pool.process_sliced_packet(&packet, (), ()).unwrap().map(|whole| whole.payload);
    }
    whole
}

/// No DF, so many octets behind the header.
fn packet(len: usize) -> Packet {
    Packet { fragment: 0, protocol: 47, data: pattern(len), ..Packet::udp(0) }
}

/// Flags and offset, total length.
fn ip(frame: &[u8]) -> (u16, u16) {
    (u16::from_be_bytes([frame[20], frame[21]]), u16::from_be_bytes([frame[16], frame[17]]))
}

#[test]
fn offsets_count_in_eights_and_all_but_the_last_have_mf() {
    let frames = cut(&packet(2500).frame(), 1003).unwrap();
    let found: Vec<_> = frames.iter().map(|frame| ip(frame)).collect();
    assert_eq!(found, [(MF, 996), (MF | 122, 996), (244, 568)]);
    assert_eq!(join(&frames).unwrap(), pattern(2500));
}

#[test]
fn a_packet_that_fits_stays_as_it_is() {
    for len in [0, 1, 8, 479, 480] {
        let frame = packet(len).frame();
        assert_eq!(cut(&frame, 500), Some(vec![frame.clone()]), "{len}");
    }
    assert_eq!(cut(&packet(481).frame(), 500).map(|frames| frames.len()), Some(2));
}

#[test]
fn padding_and_tags_are_those_of_the_frame() {
    let mut frame = Packet { tags: 2, ..packet(2000) }.frame();
    frame.extend([0xee; 9]);
    let frames = cut(&frame, 1300).unwrap();
    for fragment in &frames {
        assert_eq!(fragment[..22], frame[..22]);
    }
    assert_eq!(join(&frames).unwrap(), pattern(2000));
}

#[test]
fn fragments_of_a_fragment_are_fragments_of_its_packet() {
    let [middle, last] = [(MF | 10, 1600), (210, 999)].map(|(fragment, len)| {
        let frame = Packet { fragment, ..packet(len) }.frame();
        cut(&frame, 820).unwrap().iter().map(|frame| ip(frame)).collect::<Vec<_>>()
    });
    assert_eq!(middle, [(MF | 10, 820), (MF | 110, 820)]);
    assert_eq!(last, [(MF | 210, 820), (310, 219)]);
}

#[test]
fn a_malformed_fragment_is_not_cut() {
    let cut = |fragment, len| cut(&Packet { fragment, ..packet(len) }.frame(), 820);
    assert!(cut(MF, 1600).is_some());
    assert_eq!(cut(MF, 1601), None, "more would follow at no multiple of 8");
    assert!(cut(8089, 803).is_some());
    assert_eq!(cut(8089, 804), None, "it ends at 65,516, behind a header of 20");
    assert_eq!(cut(0x1fff, 1000), None);
}

#[test]
fn only_options_with_the_copied_flag_are_in_the_others() {
    // Record route, fill, router alert (copied), stream id (copied), end.
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0, 136, 4, 9, 9, 0, 0, 0, 0];
    let frame = Packet { ip_options: options.to_vec(), ..packet(1000) }.frame();
    let frames = cut(&frame, 500).unwrap();
    assert_eq!(frames.len(), 3);
    assert_eq!((frames[0][14], &frames[0][34..54]), (0x4a, &options[..]));
    for other in &frames[1..] {
        assert_eq!((other[14], &other[34..42]), (0x47, &[148, 4, 0, 0, 136, 4, 9, 9][..]));
    }
    assert_eq!(join(&frames).unwrap(), pattern(1000));

    let odd = Packet { ip_options: vec![0x82, 3, 5, 0], ..packet(1000) }.frame();
    for other in &cut(&odd, 500).unwrap()[1..] {
        assert_eq!((other[14], &other[34..38]), (0x46, &[0x82, 3, 5, 0][..]), "filled up");
    }
    let wrong = Packet { ip_options: vec![0x82, 9, 5, 0], ..packet(1000) }.frame();
    assert_eq!(cut(&wrong, 500), None);
}

#[test]
fn what_must_not_be_cut_is_not() {
    let right = packet(1000);
    assert!(cut(&right.frame(), 500).is_some());
    assert_eq!(cut(&Packet { fragment: DF, ..right.clone() }.frame(), 500), None);
    assert_eq!(cut(&Packet { v6: true, ..right.clone() }.frame(), 500), None);
    let mut corrupt = right.frame();
    corrupt[22] ^= 1;
    assert_eq!(cut(&corrupt, 500), None, "a wrong header checksum is not made right");
    assert_eq!(cut(&right.frame()[..600], 500), None);
    assert_eq!(cut(&[], 500), None);
}

#[test]
fn the_number_of_fragments_is_bounded() {
    let frame = packet(65_515).frame();
    assert_eq!(cut(&frame, 576).map(|frames| frames.len()), Some(119));
    assert_eq!(cut(&frame, 100), None);
    let frame = Packet { ip_options: vec![0; 40], ..packet(65_475) }.frame();
    assert_eq!(cut(&frame, 576).map(|frames| frames.len()), Some(MAX_FRAGMENTS));
}

#[test]
fn a_segment_of_a_udp_super_frame_is_cut_where_it_lies() {
    let frame = Packet { fragment: 0, tags: 1, ..Packet::udp(4300) }.frame();
    let header = VnetHeader { gso: Some((Gso::Udp, 1400)), ..VnetHeader::default() };
    let whole = SuperFrame::new(&frame, &header).unwrap();
    for index in 0..whole.segments() {
        let mut head = vec![0; whole.head_len()];
        whole.write_head(index, &mut head);
        let fragments = Fragments::new(&head, 18, whole.body(index), mtu(576)).unwrap();
        let frames = frames(&fragments, &frame);
        assert_eq!(frames.len(), [3, 3, 3, 1][index]);
        match join(&frames) {
            Some(data) => assert_eq!(data, whole.segment(index)[38..]),
            None => assert_eq!(frames, [whole.segment(index)]),
        }
    }
}

#[test]
fn the_head_must_fit_the_first_fragment_and_agree_with_the_body() {
    let frame = packet(200).frame();
    let new = |at: usize, len, packet| {
        Fragments::new(&frame[..at], 14, Span::new(at, len), mtu(packet)).map(|f| f.count())
    };
    assert_eq!(new(34 + 48, 152, 68), Some(5));
    assert_eq!(new(34 + 49, 151, 68), None);
    assert_eq!(new(34, 199, 68), None);
    assert_eq!(new(33, 201, 68), None);
    assert_eq!(Fragments::new(&frame, 500, Span::default(), mtu(68)).map(|f| f.count()), None);
}

proptest! {
    #[test]
    fn fragments_fit_and_make_the_packet_again(
        len in 0usize..9000, path in 68usize..9300, options in 0usize..=10, tags in 0usize..3, first in 0usize..60,
    ) {
        let packet = Packet { tags, ip_options: vec![1; options * 4], ..packet(len) };
        let frame = packet.frame();
        let l4 = 34 + tags * 4 + options * 4;
        let at = (l4 + first).min(frame.len());
        // As it lies, and with the first of the data in the head.
        let body = Span::new(at, frame.len() - at);
        let halves = Fragments::new(&frame[..at], l4 - 20 - options * 4, body, mtu(path));
        for fragments in [Fragments::of_frame(&frame, &Layers::of(&frame), mtu(path)), halves] {
            let Some(fragments) = fragments else {
                prop_assert!(len / 8 > MAX_FRAGMENTS || path - 20 - options * 4 < first + 8);
                continue;
            };
            prop_assert!(fragments.count() <= MAX_FRAGMENTS);
            let frames = frames(&fragments, &frame);
            for fragment in &frames {
                let layers = Layers::of(fragment);
                prop_assert_eq!(layers.end, fragment.len());
                prop_assert!(layers.end - layers.l3 <= path);
            }
            if frames.len() == 1 {
                prop_assert_eq!(&frames[0], &frame);
            } else {
                prop_assert_eq!(join(&frames).unwrap(), pattern(len));
            }
        }
    }

    #[test]
    fn any_octets_are_cut_or_not(
        mut head in proptest::collection::vec(any::<u8>(), 0..120), l3 in 0usize..130, len in 0usize..3000,
        path in 68usize..1600, plausible: bool,
    ) {
        if plausible && let Some(ip) = head.get_mut(l3..).filter(|ip| ip.len() >= 20) {
            let total = u16::try_from(ip.len() + len).unwrap().to_be_bytes();
            (ip[0], ip[6]) = (0x40 | ip[0] & 7, ip[6] & 0x3f);
            ip[2..4].copy_from_slice(&total);
            let header = (usize::from(ip[0] & 0xf) * 4).min(ip.len()).max(12);
            ip[10..12].fill(0);
            let sum = Sum::of(&ip[..header]).complement();
            ip[10..12].copy_from_slice(&sum);
        }
        let buffer = pattern(len);
        if let Some(fragments) = Fragments::new(&head, l3, Span::new(0, len), mtu(path)) {
            let frames = frames(&fragments, &buffer);
            let header = usize::from(head[l3] & 0xf) * 4;
            let data: usize = frames.iter().map(|frame| frame.len() - l3 - usize::from(frame[l3] & 0xf) * 4).sum();
            prop_assert_eq!(data, head.len() - l3 - header + len);
            prop_assert!(frames.iter().all(|frame| frame.len() - l3 <= path));
        }
    }
}
